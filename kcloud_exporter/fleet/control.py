"""The fleet's own HTTP interface: an index, the truth, the list of exporters, and faults on request."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, cast

import orjson
from aiohttp import web

from kcloud_exporter.fleet.configs import ExporterEndpoint
from kcloud_exporter.fleet.faults import FAULTS, FaultBoard, FaultKind

_MAX_REQUEST_BYTES = 64 * 1024


def control_app(
    exporters: Sequence[ExporterEndpoint], board: FaultBoard, truth: Callable[[float | None], dict[str, Any]]
) -> web.Application:
    """`GET /`, `GET /truth[?at=<unix>]`, `GET /exporters`, `POST /fault`."""

    async def index(_request: web.Request) -> web.Response:
        return web.Response(text=_index(exporters), content_type="text/html")

    async def show_truth(request: web.Request) -> web.Response:
        text = request.query.get("at")
        try:
            at = None if text is None else float(text)
        except ValueError:
            at = math.nan
        if at is not None and not math.isfinite(at):
            return _json({"error": f"at: {text!r} is no Unix time in seconds"}, status=400)
        return _json(truth(at))

    async def list_exporters(_request: web.Request) -> web.Response:
        return _json([asdict(each) for each in exporters])

    async def fault(request: web.Request) -> web.Response:
        try:
            match, kind, seconds = _fault(await request.read())
        except ValueError as exc:
            return _json({"error": str(exc)}, status=400)
        found = board.set(match, kind, seconds)
        names = [f"{place.cluster}/{place.node}/{place.vendor}" for place in found]
        return _json({"fault": kind, "seconds": seconds, "matched": len(names), "exporters": names})

    app = web.Application(client_max_size=_MAX_REQUEST_BYTES)
    app.add_routes([
        web.get("/", index),
        web.get("/truth", show_truth),
        web.get("/exporters", list_exporters),
        web.post("/fault", fault),
    ])  # fmt: skip
    return app


def _fault(body: bytes) -> tuple[str, FaultKind, float | None]:
    """The fields of a fault request. Raises ValueError (orjson's error is one) that names what is wrong."""
    data = orjson.loads(body)
    if not isinstance(data, dict) or set(data) - {"match", "fault", "seconds"}:
        raise ValueError('expected {"match": text, "fault": name, "seconds": number or null}')
    match, kind, seconds = data.get("match", ""), data.get("fault"), data.get("seconds")
    if not isinstance(match, str):
        raise ValueError("match: expected text")  # noqa: TRY004
    if kind not in (*FAULTS, "clear"):
        raise ValueError(f"fault: {kind!r} is unknown; known: {', '.join(FAULTS)}, clear")
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0):
        raise ValueError(f"seconds: {seconds!r} is no positive number")
    return match, cast("FaultKind", kind), seconds


def _json(data: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")


def _index(exporters: Sequence[ExporterEndpoint]) -> str:
    rows = "\n".join(
        f"<tr><td>{html.escape(each.cluster)}<td>{html.escape(each.node)}<td>{html.escape(each.vendor)}"
        f'<td><a href="{html.escape(each.url)}">{html.escape(each.url)}</a>'
        for each in exporters
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Simulated fleet</title>
<style>body{{font:15px system-ui;margin:2em}}td,th{{padding:.15em 1em .15em 0;text-align:left}}</style>
<h1>Simulated fleet</h1>
<p>{len(exporters)} exporters. <a href="/truth">Truth</a>, <a href="/exporters">exporters</a> as JSON;
<code>POST /fault {{"match": "seoul-a", "fault": "down", "seconds": 30}}</code> lets some of them fail
({html.escape(", ".join(FAULTS))}, clear).</p>
<table><tr><th>cluster<th>node<th>exporter<th>metrics
{rows}
</table>
"""
