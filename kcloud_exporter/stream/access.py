"""Access: what both kinds of stream ask of a request before they open."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from kcloud_exporter.errors import StreamError
from kcloud_exporter.stream.filters import Filter, View, parse
from kcloud_exporter.web.problems import problem
from kcloud_exporter.web.status import DEPS

LAST_ID: Final = "last_event_id"
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_ID_LENGTH: Final = 64


def same_origin(request: web.Request) -> None:
    """Refuse a page of another origin: a browser would send it our users' credentials along.

    Browsers hold a WebSocket to no policy of origins. What is no browser sends no Origin. Raises StreamError.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        return
    try:
        of_page, of_host = urlsplit(origin), urlsplit(f"{request.scheme}://{request.headers.get('Host', '')}")
        same = bool(of_page.hostname) and _place(of_page) == _place(of_host, of_page.scheme)
    except ValueError:
        same = False
    if not same:
        raise StreamError(403, "a page of another origin may not read this stream")


def _place(url: SplitResult, scheme: str | None = None) -> tuple[str | None, int | None]:
    """Host and port. Behind a proxy that ends TLS only the page knows the scheme, so its default port counts."""
    return url.hostname, url.port or _PORTS.get(scheme or url.scheme)


def filter_of(request: web.Request, views: Collection[View], default: View) -> tuple[Filter, str]:
    """The filter that the query string asks for, and the id of the last event that the client has seen.

    Raises StreamError.
    """
    last_id = request.headers.get("Last-Event-ID", request.query.get(LAST_ID, ""))
    pairs = ((name, text) for name, text in request.query.items() if name != LAST_ID)
    return checked(request, pairs, views, default), last_id[:_ID_LENGTH]


def checked(request: web.Request, pairs: Iterable[tuple[str, str]], views: Collection[View], default: View) -> Filter:
    """The filter of names and texts, against the clusters that exist now. Raises StreamError."""
    return parse(pairs, request.app[DEPS].status().known_clusters, views, default)


def abort(request: web.Request) -> None:
    """End the connection at once, whatever is still to be sent."""
    if request.transport is not None:
        request.transport.abort()


def refusal(exc: StreamError) -> web.Response:
    """The error answer, in the one shape of all."""
    headers = {"Retry-After": "5"} if exc.status == 503 else None
    return problem(exc.status, str(exc), {"parameter": exc.parameter} if exc.parameter else None, headers=headers)
