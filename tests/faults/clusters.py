"""Small clusters of one exporter each, served by one program, and the pages of a runtime that reads them.

Every cluster has a path of its own on the same server, so fifty of them cost one socket. Values stand still, so that
two runs can be compared byte for byte but for what tells the time.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from kcloud_exporter.config.load import parse_config
from kcloud_exporter.runtime import Runtime
from tests.sources.servers import serving

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
TIME = re.compile(
    r"^kcloud_(source_duration|source_last_success|snapshot|exporter|\w+_energy_joules)\w*|^(process|python)_"
)
"""Families whose values are times, durations, or integrals over time."""


def page_of(cluster: str, devices: int = 2, extra: str = "") -> bytes:
    """What a DCGM exporter of this cluster prints: watts that differ between clusters and stand still."""
    number = sum(cluster.encode()) % 90
    rows = [
        f'DCGM_FI_DEV_POWER_USAGE{{gpu="{n}",UUID="GPU-{cluster}-{n}",device="nvidia{n}",'
        f'modelName="NVIDIA H100",Hostname="{cluster}-n1"}} {100 + number + n % 400}\n'
        for n in range(devices)
    ]
    return ("# TYPE DCGM_FI_DEV_POWER_USAGE gauge\n" + "".join(rows) + extra).encode()


def port_of(url: str) -> int:
    """Where a server listens."""
    return int(url.rsplit(":", 1)[1])


def answering(body: bytes, status: int = 200, **headers: str) -> Answer:
    """Always this answer."""
    sent = {"Content-Type": "text/plain; version=0.0.4", **{k.replace("_", "-"): v for k, v in headers.items()}}

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=sent)

    return answer


@contextlib.asynccontextmanager
async def served(special: Mapping[str, Answer] | None = None) -> AsyncIterator[str]:
    """A server whose /NAME is the exporter of cluster NAME, good unless `special` has another answer for it."""

    async def handler(request: web.Request) -> web.StreamResponse:
        name = request.path.split("/")[1]
        found = (special or {}).get(name)
        return await (found or answering(page_of(name)))(request)

    async with serving(handler) as url:
        yield url


def config_of(targets: Mapping[str, str], *, timeout: str = "2s", **more: Any) -> dict[str, Any]:
    """Cluster → URL of its exporter, as a configuration. `more` are sections."""
    return {
        "global": {"interval": "5s", "timeout": timeout, "max_staleness": "15s"},
        "clusters": [
            {"name": name, "sources": [{"exporter": {"vendor": "dcgm", "targets": [url], "name": "dcgm"}}]}
            for name, url in targets.items()
        ],
        **more,
    }


@contextlib.asynccontextmanager
async def runtime_of(data: dict[str, Any]) -> AsyncIterator[Runtime]:
    """A runtime that ticks by hand."""
    config = parse_config(data, {})
    runtime = Runtime(config, lambda: config)
    try:
        yield runtime
    finally:
        await runtime.close()


async def lines_of(runtime: Runtime, *clusters: str) -> list[str]:
    """The samples of the page, of all clusters or of these."""
    page = (await runtime.page(False, False, frozenset(), frozenset(clusters))).decode()
    return [line for line in page.splitlines() if not line.startswith("#")]


def timeless(lines: list[str]) -> list[str]:
    """Those that do not tell the time."""
    return [line for line in lines if not TIME.match(line)]


def samples(lines: list[str]) -> dict[str, float]:
    """Series → value."""
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}
