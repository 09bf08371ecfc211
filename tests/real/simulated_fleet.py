"""The simulated fleet in a thread of its own, so that tests can be plain functions."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Literal

from kcloud_exporter.fleet import Fleet, FleetSpec

START_SECONDS = 30.0


@contextlib.contextmanager
def simulated_fleet(spec: FleetSpec) -> Iterator[Fleet]:
    """Serve the fleet over HTTP on loopback while the block runs."""
    started: Future[Fleet] = Future()
    loop = asyncio.new_event_loop()
    finished = asyncio.Event()

    async def serve() -> None:
        try:
            async with Fleet(spec) as fleet:
                started.set_result(fleet)
                await finished.wait()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise

    def run() -> None:
        with contextlib.closing(loop):
            loop.run_until_complete(serve())

    thread = threading.Thread(target=run, name="simulated-fleet")
    thread.start()
    try:
        yield started.result(START_SECONDS)
    finally:
        with contextlib.suppress(RuntimeError):  # the loop is closed when the start failed
            loop.call_soon_threadsafe(finished.set)
        thread.join(START_SECONDS)


def config_of(
    fleet: Fleet, method: Literal["query", "federate"], urls: Mapping[str, str], interval: str
) -> dict[str, Any]:
    """A kcloud-exporter configuration for the clusters of `urls` alone, without sites."""
    every = {exporter.cluster: "http://127.0.0.1:1" for exporter in fleet.exporters} | dict(urls)
    config = fleet.kcloud_config(method, every, interval)
    clusters = [cluster for cluster in config["clusters"] if cluster["name"] in urls]
    return {**{key: value for key, value in config.items() if key != "sites"}, "clusters": clusters}
