"""Routes: `/api/v1/export/...`. Parameters are checked and a turn is waited for before anything is made."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from aiohttp import web

from kcloud_exporter.errors import ExportError
from kcloud_exporter.export.desk import Desk, File
from kcloud_exporter.export.job import Job
from kcloud_exporter.export.operations import FORMATS_LISTED, METRICS, POWER, REPORT, TEMPLATES_LISTED
from kcloud_exporter.export.provenance import Origin
from kcloud_exporter.export.report.asked import FORMATS as REPORT_FORMATS
from kcloud_exporter.export.report.asked import LANGUAGES, LONGEST_DAYS, TEMPLATES, read_report
from kcloud_exporter.export.request import (
    BREAKDOWNS,
    FORMATS,
    LEVELS,
    MEDIA_TYPE,
    PARAMETERS,
    RESOURCES,
    ROWS,
    SUFFIX,
    read_request,
)
from kcloud_exporter.history.place import Place
from kcloud_exporter.units import rfc3339
from kcloud_exporter.web.operations import describe
from kcloud_exporter.web.problems import problem, unknown_parameters

log = logging.getLogger(__name__)
SEND_SECONDS: Final = 60.0
"""A client that takes no byte for so long is gone."""
_HEADER: Final = 4096


@dataclass(frozen=True, slots=True)
class ExportDeps:
    """What exports are given: where history is (with what is not written yet), and what the program says of itself."""

    place: Callable[[], Any]
    origin: Callable[[], Origin]


def routes(deps: ExportDeps, desk: Desk) -> list[web.RouteDef]:
    """Everything that this room answers."""

    def dataset(name: str) -> Any:
        async def answer(request: web.Request) -> web.StreamResponse:
            return await _export(deps, desk, name, request)

        return answer

    async def report(request: web.Request) -> web.StreamResponse:
        return await _report(deps, desk, request)

    return [
        web.get("/api/v1/export/power", describe(dataset("power"), POWER), allow_head=False),
        web.get("/api/v1/export/metrics", describe(dataset("metrics"), METRICS), allow_head=False),
        web.get("/api/v1/export/formats", describe(_formats, FORMATS_LISTED)),
        web.get("/api/v1/export/report", describe(report, REPORT), allow_head=False),
        web.get("/api/v1/export/templates", describe(_templates, TEMPLATES_LISTED)),
    ]


async def _export(deps: ExportDeps, desk: Desk, name: str, request: web.Request) -> web.StreamResponse:
    said = _said(request, PARAMETERS[name])
    if isinstance(said, web.Response):
        return said
    now, origin = time.time(), deps.origin()
    try:
        asked = read_request(name, said, now)
        _known_cluster(said, origin)
    except ExportError as exc:
        return refusal(exc)

    async def job() -> Job:
        place: Place = await deps.place()
        return Job(asked, place, origin, now)

    span = "-".join(datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ") for at in (asked.start, asked.end))
    filename = f"kcloud-{name}-{span}.{SUFFIX[asked.format]}"
    return await send(desk, job, request, MEDIA_TYPE[asked.format], filename)


async def _report(deps: ExportDeps, desk: Desk, request: web.Request) -> web.StreamResponse:
    said = _said(request, PARAMETERS["report"])
    if isinstance(said, web.Response):
        return said
    now, origin = time.time(), deps.origin()
    try:
        asked = read_report(said, origin, now)
    except ExportError as exc:
        return refusal(exc)

    async def job() -> Job:
        return Job(asked, await deps.place(), origin, now)

    filename = f"kcloud-{asked.template}-{asked.first:%Y%m%d}.{SUFFIX[asked.format]}"
    return await send(desk, job, request, MEDIA_TYPE[asked.format], filename)


def _said(request: web.Request, known: frozenset[str]) -> dict[str, str] | web.Response:
    refused = unknown_parameters(request, known)
    if refused is not None:
        return refused
    for name in request.query:
        if len(request.query.getall(name)) > 1:
            return problem(400, f"{name}: given more than once", {"parameter": name})
    return dict(request.query)


def _known_cluster(said: Mapping[str, str], origin: Origin) -> None:
    cluster = said.get("cluster")
    if cluster is not None and cluster not in origin.clusters:
        raise ExportError(404, f"there is no cluster {cluster[:200]!r}", "cluster")


def refusal(exc: ExportError) -> web.Response:
    """The error as an answer."""
    headers = {"Retry-After": "10"} if exc.status in (429, 503) else None
    return problem(exc.status, str(exc), {"parameter": exc.parameter} if exc.parameter else None, headers)


async def send(
    desk: Desk, job: Callable[[], Any], request: web.Request, media_type: str, filename: str
) -> web.StreamResponse:
    """Have the file made and send it as it comes. A file that does not become whole is broken off visibly."""

    def gone() -> bool:
        return request.transport is None or request.transport.is_closing()

    try:
        async with desk.order(job, gone) as file:
            response = web.StreamResponse(
                headers={
                    "Content-Type": media_type,
                    "Content-Disposition": f'attachment; filename="{filename}"',
                    "Cache-Control": "no-store",
                    "X-Kcloud-Provenance": _in_header(file.about),
                }
            )
            await response.prepare(request)
            try:
                await _pour(file, response)
            except (ExportError, TimeoutError) as exc:
                log.warning("an export was broken off", extra={"reason": str(exc) or "the client takes nothing"})
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError("broken off") from exc
            return response
    except ExportError as exc:
        return refusal(exc)


async def _pour(file: File, response: web.StreamResponse) -> None:
    async for chunk in file.chunks:
        async with asyncio.timeout(SEND_SECONDS):
            await response.write(chunk)
    await response.write_eof()


def _in_header(about: Mapping[str, Any]) -> str:
    """The provenance in one header; the list of clusters is left out where it would grow too long for one."""
    text = json.dumps(about)
    if len(text) > _HEADER:
        text = json.dumps({**about, "completeness": {}, "filters": {}})
    return text


async def _formats(request: web.Request) -> web.Response:
    refused = unknown_parameters(request, frozenset())
    if refused is not None:
        return refused
    data = [
        {
            "format": name,
            "media_type": MEDIA_TYPE[name],
            "extension": SUFFIX[name],
            "max_rows": ROWS[name],
            "datasets": ["power", "metrics"],
        }
        for name in FORMATS
    ]
    more = {
        "breakdown_by": list(BREAKDOWNS),
        "resource_type": {"power": list(RESOURCES), "metrics": list(LEVELS)},
    }
    return answer("export_formats", data, more)


async def _templates(request: web.Request) -> web.Response:
    refused = unknown_parameters(request, frozenset())
    if refused is not None:
        return refused
    told = {
        "daily": "the day of start_date, or yesterday",
        "weekly": "the week of start_date from Monday, or last week",
        "monthly": "the month of start_date, or last month",
        "custom": f"the days from start_date to end_date, at most {LONGEST_DAYS}",
    }
    data = [
        {"template": name, "description": told[name], "formats": list(REPORT_FORMATS), "languages": list(LANGUAGES)}
        for name in TEMPLATES
    ]
    return answer("report_templates", data, {"parameters": sorted(PARAMETERS["report"])})


def answer(kind: str, data: Any, metadata: Mapping[str, Any]) -> web.Response:
    """An answer in the envelope of the side API."""
    body = {
        "timestamp": rfc3339(time.time(), "seconds"),
        "cluster": None,
        "resource_type": kind,
        "data": data,
        "metadata": metadata,
    }
    return web.Response(body=orjson.dumps(body), content_type="application/json")
