"""A server over real sockets on loopback, with a stand-in for the running program behind it."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from gzip import compress as pack

import aiohttp
from yarl import URL

from kcloud_exporter.web.auth import WebAuth
from kcloud_exporter.web.protection import Limits
from kcloud_exporter.web.server import build_app, start_site
from kcloud_exporter.web.status import ClusterStatus, SourceStatus, Status, WebDeps

PAGE = b"kcloud_x 1\n"


class Program:
    """Stands in for the running program: what it was asked, and what it answers."""

    def __init__(self) -> None:
        self.ready, self.page_bytes, self.problems = True, PAGE, ["clusters: this key is needed"]
        self.asked: list[tuple[bool, frozenset[str], frozenset[str]]] = []
        self.observed: list[tuple[str, str, int]] = []
        self.dropped: list[str] = []

    async def page(self, openmetrics: bool, gzip: bool, levels: frozenset[str], clusters: frozenset[str]) -> bytes:
        if not self.ready:
            raise LookupError
        self.asked.append((openmetrics, levels, clusters))
        return pack(self.page_bytes) if gzip else self.page_bytes

    async def reload(self) -> list[str]:
        return self.problems

    def status(self) -> Status:
        sources = (SourceStatus("dcgm@h:1", True, time.time(), None, 12), SourceStatus("<b>x", False, None, "a<b", 0))
        return Status(
            "9.9",
            time.time(),
            time.time(),
            self.ready,
            "" if self.ready else "no snapshot yet",
            (ClusterStatus("c1", "s1", sources),),
            ("node", "cluster"),
            ("c1", "c2"),
        )

    def deps(self, auth: WebAuth | None = None, *, lifecycle: bool = False) -> WebDeps:
        return WebDeps(
            page=self.page,
            status=self.status,
            reload=self.reload,
            enable_lifecycle=lifecycle,
            auth=auth,
            dropped=self.dropped.append,
            observe=lambda route, method, code, _: self.observed.append((route, method, code)),
        )


@asynccontextmanager
async def serving(deps: WebDeps, limits: Limits | None = None) -> AsyncIterator[int]:
    site = await start_site(
        build_app(deps), "127.0.0.1", 0, deps.auth.ssl_context() if deps.auth else None, limits or Limits()
    )
    try:
        yield site.port
    finally:
        await site.close()


async def fetch(
    port: int,
    path: str,
    method: str = "GET",
    scheme: str = "http",
    *,
    auth: str | None = None,
    tls: ssl.SSLContext | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if auth is not None:
        sent["Authorization"] = auth
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        url = URL(f"{scheme}://127.0.0.1:{port}{path}", encoded=True)
        async with session.request(method, url, headers=sent, ssl=tls or True) as response:
            return response.status, dict(response.headers), await response.read()


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
