"""Serving: the routes of the API as aiohttp takes them, the document, and the page that shows it."""

from __future__ import annotations

import asyncio
from functools import cache, partial
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web

from kcloud_exporter.api import (
    accelerators,
    clusters,
    hardware,
    infrastructure,
    monitoring,
    system,
    timeseries,
    workloads,
)
from kcloud_exporter.api.legacy import legacy_routes
from kcloud_exporter.api.openapi import document, operation
from kcloud_exporter.api.routes import PREFIX, Answers, ApiDeps, Route, handler
from kcloud_exporter.web.metrics import TEXT
from kcloud_exporter.web.operations import Handler, Operation, describe
from kcloud_exporter.web.problems import problem, unknown_parameters

_STATIC: Final = Path(__file__).parent / "docs"
_PAGES: Final = {
    "docs": ("docs.html", "text/html"),
    "docs/docs.css": ("docs.css", "text/css"),
    "docs/docs.js": ("docs.js", "text/javascript"),
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def all_routes() -> list[Route]:
    """Every route of the API that answers JSON in the envelope, fixed paths before those with a part to fill in."""
    rooms = (accelerators, infrastructure, workloads, hardware, clusters, monitoring, timeseries, system)
    return [route for room in rooms for route in room.routes()]


def api_routes(deps: ApiDeps) -> list[web.AbstractRouteDef]:
    """The API as routes of the web server."""
    answers = Answers(deps)
    served: list[web.AbstractRouteDef] = [
        web.get(PREFIX + _pattern(route.path), describe(handler(route, answers), partial(operation, route)))
        for route in sorted(all_routes(), key=lambda route: "{" in route.path)
    ]

    async def metrics(request: web.Request) -> web.StreamResponse:
        refused = unknown_parameters(request, frozenset())
        if refused is not None:
            return refused
        try:
            page = await deps.page(False, False, frozenset({"snapshot"}), frozenset())
        except LookupError:
            return problem(503, "there is no snapshot yet: the first cycle has not ended")
        return web.Response(body=page, headers={"Content-Type": TEXT, "Cache-Control": "no-store"})

    described = Operation(
        "system",
        "Metrics of the exporter itself",
        "The exporter's own metrics in the Prometheus text format; all metrics are on `/metrics`.",
        (),
        {"text/plain": {"schema": {"type": "string"}, "example": 'kcloud_exporter_build_info{version="0.1.0"} 1\n'}},
        statuses=(503,),
    )
    served.append(web.get(f"{PREFIX}/system/metrics", describe(metrics, described)))
    served.append(web.get(f"{PREFIX}/openapi.json", openapi))
    served += legacy_routes()
    served += [web.get(f"/{path}", _page(*file)) for path, file in _PAGES.items()]
    return served


def _pattern(path: str) -> str:
    """The path as aiohttp matches it: a container's id has slashes in it."""
    return path.replace("{container_id}", "{container_id:.+}")


async def openapi(request: web.Request) -> web.Response:
    """The document, from the router as it is."""
    refused = unknown_parameters(request, frozenset())
    if refused is not None:
        return refused
    body = await asyncio.to_thread(_document, request.app)
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "private, no-cache"})


@cache
def _document(app: web.Application) -> bytes:
    return orjson.dumps(document(app.router.routes()))


def _page(name: str, kind: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        refused = unknown_parameters(request, frozenset())
        if refused is not None:
            return refused
        body = await asyncio.to_thread((_STATIC / name).read_bytes)
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "private, no-cache"}
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    return handle
