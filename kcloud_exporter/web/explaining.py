"""Explaining: `/api/v1/explain?series=...&depth=...` answers with the tree behind one number."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from aiohttp import web

from kcloud_exporter.errors import SelectorError
from kcloud_exporter.units import rfc3339
from kcloud_exporter.web.operations import Operation, describe, query
from kcloud_exporter.web.problems import problem, unknown_parameters

Explain = Callable[[str, int | None], Awaitable[tuple[dict[str, Any], float]]]
"""(series, depth) → (tree as data, Unix time of its cycle). Raises SelectorError."""
DEEPEST: Final = 64
_PARAMETERS: Final = frozenset({"series", "depth"})


_EXAMPLE: Final = {
    "timestamp": "2026-11-24T00:00:00.000Z",
    "cluster": None,
    "resource_type": "explanation",
    "data": {"value": 75.0, "label": "held of GPU-1"},
    "metadata": {},
}
_OPERATION: Final = Operation(
    "explain",
    "Why is it this number?",
    "The tree of samples, scales, choices and shares whose arithmetic gives one power number.",
    (
        {
            **query(
                "series",
                "Which number, as in a query: a family, and as many labels as it takes to mean one series.",
                {"type": "string", "minLength": 1},
                'kcloud_node_power_watts{cluster="seoul-a",node="gpu-2",component="gpu"}',
            ),
            "required": True,
        },
        query("depth", "Levels of the tree.", {"type": "integer", "minimum": 1, "maximum": DEEPEST}, 4),
    ),
    {
        "application/json": {
            "schema": {
                "type": "object",
                "required": list(_EXAMPLE),
                "properties": {
                    "timestamp": {"type": "string", "format": "date-time"},
                    "cluster": {"type": ["string", "null"]},
                    "resource_type": {"type": "string"},
                    "data": {"type": "object", "description": "The tree."},
                    "metadata": {"type": "object"},
                },
            },
            "example": _EXAMPLE,
        }
    },
    statuses=(404, 503),
)


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
            "timestamp": rfc3339(timestamp),
            "cluster": None,
            "resource_type": "explanation",
            "data": tree,
            "metadata": {},
        }
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    return [web.get("/api/v1/explain", describe(answer, _OPERATION))]
