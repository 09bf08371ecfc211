"""The simulated fleet in a thread of its own, so that tests can be plain functions."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future

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
