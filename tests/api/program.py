"""The API over real sockets: the simulated fleet, the pipeline, the web server, and a history in memory."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from kcloud_exporter import app
from kcloud_exporter.api.routes import ApiDeps
from kcloud_exporter.api.serving import api_routes
from kcloud_exporter.clocks import Clocks
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.history.series import History
from kcloud_exporter.runtime import Runtime
from kcloud_exporter.web.server import Site, build_app, start_site
from kcloud_exporter.web.status import WebDeps
from tests.history.test_running import OPTIONS


@dataclass
class Reply:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        assert self.status == 200, (self.status, self.body[:500])
        return self.json["data"]


class Program:
    """A running program, and a client that talks to it."""

    def __init__(self, fleet: Fleet, runtime: Runtime) -> None:
        self.fleet, self.runtime = fleet, runtime
        self.history: History | None = None
        self.port = 0
        self.observed: list[str] = []
        self.session: aiohttp.ClientSession
        self.site: Site

    async def get(self, path: str, method: str = "GET", /, **headers: str) -> Reply:
        """Ask for a path below /api/v1 (or an absolute one)."""
        path = path if path.startswith(("/api", "/docs", "/metrics")) else f"/api/v1{path}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        url = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)
        async with self.session.request(method, url, headers=sent, allow_redirects=False) as response:
            return Reply(response.status, response.headers, await response.read())

    def routes(self) -> list[web.AbstractRouteDef]:
        deps = ApiDeps(lambda: self.runtime.store.current, self.runtime.status, lambda: self.history, self.runtime.page)
        return api_routes(deps)

    def web_deps(self) -> WebDeps:
        return WebDeps(
            page=self.runtime.page,
            status=self.runtime.status,
            reload=self.runtime.reload,
            enable_lifecycle=False,
            auth=None,
            dropped=lambda _: None,
            observe=lambda route, *_: self.observed.append(route),
        )


@asynccontextmanager
async def running(spec: FleetSpec | None = None, *, ticks: int = 2) -> AsyncIterator[Program]:
    async with Fleet(spec or FleetSpec(frozen=True)) as fleet:
        config = parse_config(fleet.kcloud_config("exporter", interval="60s"), {})
        runtime = Runtime(config, lambda: config)
        program = Program(fleet, runtime)
        program.site = await start_site(build_app(program.web_deps(), program.routes()), "127.0.0.1", 0, None)
        program.port = program.site.port
        try:
            for tick in range(ticks):
                await asyncio.sleep(0.5 * bool(tick))  # counters need two samples
                await runtime.tick()
            async with aiohttp.ClientSession(auto_decompress=True) as session:
                program.session = session
                yield program
        finally:
            await program.site.close()
            await runtime.close()


@asynccontextmanager
async def whole_program(folder: Path, *, ticks: int, pause: float) -> AsyncIterator[tuple[Fleet, Runtime, int]]:
    """All that `serve` runs, over the simulated fleet, some cycles later: (fleet, runtime, port).

    The cycles are exactly `pause` seconds apart, by a clock that fleet and program share and nothing else moves.
    """
    moments = count(time.time(), pause)
    now = [next(moments)]
    clock = partial(now.__getitem__, 0)
    async with Fleet(FleetSpec(frozen=True), clock=clock) as fleet:
        config = parse_config(fleet.kcloud_config("exporter", interval="60s"), {})
        running = app.running(config, lambda: config, OPTIONS, folder, clocks=Clocks(clock, clock))
        async with running as (runtime, port):
            for _ in range(ticks):
                now[0] = next(moments)
                await runtime.tick()
            yield fleet, runtime, port
