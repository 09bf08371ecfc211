"""Explaining: `/api/v1/explain?series=...&depth=...` answers with the tree behind one number."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from aiohttp import web

from kcloud_exporter.errors import SelectorError
from kcloud_exporter.web.problems import problem, unknown_parameters

Explain = Callable[[str, int | None], Awaitable[tuple[dict[str, Any], float]]]
"""(series, depth) → (tree as data, Unix time of its cycle). Raises SelectorError."""
DEEPEST: Final = 64
_PARAMETERS: Final = frozenset({"series", "depth"})


def explain_routes(explain: Explain) -> list[web.RouteDef]:
    """The route, given what answers it."""

    async def answer(request: web.Request) -> web.Response:
        refused = unknown_parameters(request, _PARAMETERS)
        if refused is not None:
            return refused
        series, said = request.query.get("series", ""), request.query.get("depth", "")
        if not series:
            return problem(400, 'series: which number? write series=kcloud_node_power_watts{node="n1",...}')
        if said and not (said.isascii() and said.isdecimal() and 1 <= int(said[:9]) <= DEEPEST):
            return problem(400, f"depth: a whole number from 1 to {DEEPEST}", {"parameter": "depth"})
        try:
            tree, timestamp = await explain(series, int(said) if said else None)
        except SelectorError as exc:
            return problem(404 if exc.absent else 400, str(exc), {"parameter": "series"})
        body = {
            "timestamp": datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "cluster": None,
            "resource_type": "explanation",
            "data": tree,
            "metadata": {},
        }
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    return [web.get("/api/v1/explain", answer)]
