"""/metrics: content negotiation and narrowing. The bytes are finished; a scrape costs sending them."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from kcloud_exporter.web.problems import problem, unknown_parameters
from kcloud_exporter.web.status import DEPS

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_PARAMETERS: Final = frozenset({"collect[]", "cluster"})
SEND_SECONDS: Final = 30.0
"""A page that has not left by then is of no use to anyone: newer ones exist."""
_SLICE: Final = 256 * 1024
"""Bytes handed to a connection at a time. asyncio copies what a socket does not take at once, so this, and not the
page, is what a slow reader costs in memory."""
_AT_ONCE: Final = 8
"""Pages being sent at the same time; more wait on slow readers, and are refused."""


class Metrics:
    """The handler, and how many pages are being sent."""

    def __init__(self, send_seconds: float = SEND_SECONDS) -> None:
        self._sending, self._send_seconds = 0, send_seconds

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page, whole or narrowed by `collect[]=level` and `cluster=name`."""
        deps = request.app[DEPS]
        refused = unknown_parameters(request, _PARAMETERS)
        if refused is not None:
            return refused
        status = deps.status()
        levels = frozenset(request.query.getall("collect[]", []))
        clusters = frozenset(request.query.getall("cluster", []))
        for name in sorted(levels - set(status.known_levels)):
            known = ", ".join(status.known_levels)
            return problem(400, f"collect[]: unknown level {name[:60]!r}; known: {known}", {"parameter": "collect[]"})
        for name in sorted(clusters - set(status.known_clusters)):
            return problem(404, f"there is no cluster {name[:200]!r}", {"parameter": "cluster"})
        if self._sending >= _AT_ONCE:
            return problem(503, "too many scrapes at the same time", headers={"Retry-After": "1"})
        self._sending += 1
        try:
            return await self._send(request, levels, clusters)
        finally:
            self._sending -= 1

    async def _send(
        self,
        request: web.Request,
        levels: frozenset[str],
        clusters: frozenset[str],
    ) -> web.StreamResponse:
        openmetrics = prefers_openmetrics(request.headers.get("Accept", ""))
        gzip = accepts_gzip(request.headers.get("Accept-Encoding", ""))
        try:
            page = await request.app[DEPS].page(openmetrics, gzip, levels, clusters)
        except LookupError:
            return problem(503, "there is no snapshot yet: the first cycle has not ended", headers={"Retry-After": "1"})
        headers = {"Content-Type": OPENMETRICS if openmetrics else TEXT, "Vary": "Accept, Accept-Encoding"}
        if gzip:
            headers["Content-Encoding"] = "gzip"
        response = web.StreamResponse(headers=headers)
        response.content_length = len(page)
        # Written here and not after the return, so that a reader that stalls is counted while it does.
        try:
            async with asyncio.timeout(self._send_seconds):
                await _write(request, response, page)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the reader took too long") from None
        return response


async def _write(request: web.Request, response: web.StreamResponse, page: bytes) -> None:
    await response.prepare(request)
    if request.method != "HEAD":
        view = memoryview(page)
        for start in range(0, len(page), _SLICE):
            await response.write(view[start : start + _SLICE])
    await response.write_eof()


def _qualities(header: str) -> dict[str, float]:
    """Media type or coding → its highest q-value. Parameters other than q and version are ignored."""
    found: dict[str, float] = {}
    for item in header.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = min(max(float(parameter[2:]), 0.0), 1.0)
                except ValueError:
                    quality = 0.0
        if name:
            found[name] = max(quality, found.get(name, 0.0))
    return found


def prefers_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics is accepted, and not less than text."""
    qualities = _qualities(accept)
    wanted = qualities.get("application/openmetrics-text", 0.0)
    # The most specific range that holds text/plain counts; a wildcard never asks for OpenMetrics.
    text = next((qualities[r] for r in ("text/plain", "text/*", "*/*") if r in qualities), 0.0)
    return wanted > 0.0 and wanted >= text


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the client takes gzip."""
    qualities = _qualities(accept_encoding)
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0.0
