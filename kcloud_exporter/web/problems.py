"""Problems: every error has one shape, `{"error": {"code", "message", "details"}, "timestamp"}`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from kcloud_exporter.units import rfc3339

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
}
"""Headers of every answer, also of errors."""
_CODES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    410: "gone",
    413: "too_large",
    422: "unprocessable",
    429: "too_many_requests",
    500: "internal",
    503: "unavailable",
}


def problem(
    status: int, message: str, details: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error answer. `message` says what to do; nothing of an exception or of the client's text is trusted."""
    body = {
        "error": {"code": _CODES.get(status, f"http_{status}"), "message": message, "details": details or {}},
        "timestamp": rfc3339(time.time()),
    }
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json", headers=headers)


def unknown_parameters(request: web.Request, known: frozenset[str]) -> web.Response | None:
    """A 400 that names the first query parameter that a route does not know."""
    for name in request.query:
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            return problem(400, f"unknown parameter {name[:60]!r}; known: {allowed}", {"parameter": name[:60]})
    return None
