"""Exporters: a process that answers for the exporters of a whole cluster, each with its own page.

    http://127.0.0.1:PORT/metrics?module=dcgm&target=gpu-node-00042

Pages are made and compressed before anybody asks: what an exporter spends is spread over the machines it runs on,
and is not measured.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Final

from aiohttp import web
from isal import igzip

from kcloud_exporter.bench.memory import beside
from kcloud_exporter.bench.pages import Series, cluster_series, series_per_node

VENDORS: Final = {"dcgm": "DCGM_", "kepler": "kepler_", "ipmi": "ipmi_"}
"""Vendor tables, and what the names of their series begin with."""
KEPT_OPEN: Final = 128
"""Connections that a reader keeps. Of more exporters, each is connected to anew in every cycle."""
_ADDED: Final = re.compile(r'(?:instance|job)="[^"]*",?')
_PATIENCE: Final = 120.0


def targets(nodes: int, port: int) -> dict[str, list[str]]:
    """Vendor → the URLs of its exporters, one a node."""
    return {
        vendor: [f"http://127.0.0.1:{port}/metrics?module={vendor}&target=gpu-node-{node:05d}" for node in range(nodes)]
        for vendor in VENDORS
    }


def pages(series: Series) -> dict[tuple[str, str], bytes]:
    """(vendor, node) → its page as the exporter itself shows it: without what a Prometheus adds."""
    found: dict[tuple[str, str], list[str]] = {}
    width = series_per_node()
    for at, (key, level) in enumerate(zip(series.keys, series.levels, strict=True)):
        vendor = next(name for name, begin in VENDORS.items() if key.startswith(begin))
        own = _ADDED.sub("", key).replace("exported_", "").replace(",}", "}").replace("{}", "")
        found.setdefault((vendor, f"gpu-node-{at // width:05d}"), []).append(f"{own} {level:.6g}\n")
    return {place: igzip.compress("".join(lines).encode(), 1) for place, lines in found.items()}


@contextmanager
def exporters(nodes: int) -> Iterator[int]:
    """The process, and its port. Raises RuntimeError when it does not start."""
    with beside("the exporters", _PATIENCE, _serve, nodes) as (_, port):
        yield port


def _serve(connection: Connection, nodes: int) -> None:
    asyncio.run(_serving(connection, nodes))


async def _serving(connection: Connection, nodes: int) -> None:
    known = pages(cluster_series(nodes))
    close = len(known) > KEPT_OPEN

    async def page(request: web.Request) -> web.Response:
        body = known[request.query["module"], request.query["target"]]
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain; version=0.0.4"}
        response = web.Response(body=body, headers=headers)
        if close:
            response.force_close()
        return response

    app = web.Application()
    app.add_routes([web.get("/metrics", page)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    connection.send(runner.addresses[0][1])
    with suppress(EOFError):
        await asyncio.to_thread(connection.recv)
    await runner.cleanup()
