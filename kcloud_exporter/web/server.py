"""Server: routes, and what surrounds every answer: authentication, one error shape, headers, self-metrics."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiohttp import web

from kcloud_exporter.errors import ListenError
from kcloud_exporter.listening import accept_no_more
from kcloud_exporter.web import pages, protection
from kcloud_exporter.web.auth import TooManyGuessesError
from kcloud_exporter.web.metrics import Metrics
from kcloud_exporter.web.problems import HEADERS, problem
from kcloud_exporter.web.status import DEPS, WebDeps

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CLIENT_GONE: Final = 499
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def build_app(deps: WebDeps, routes: Iterable[web.AbstractRouteDef] = ()) -> web.Application:
    """The application with its own routes and those of the other outlets. Nothing listens yet."""
    app = web.Application(middlewares=[_observed, _explained, _authenticated], client_max_size=protection.BODY_BYTES)
    app[DEPS] = deps
    app.add_routes(
        [
            web.get("/", pages.landing),
            web.get("/metrics", Metrics().page),
            web.get("/-/healthy", pages.healthy),
            web.get("/-/ready", pages.ready),
            web.post("/-/reload", pages.reload),
            *routes,
        ]
    )
    app.on_response_prepare.append(_dressed)
    return app


class Site:
    """A listening server. Closing it ends what is open, within a few seconds."""

    def __init__(self, runner: web.AppRunner, server: asyncio.Server) -> None:
        self._runner, self._server = runner, server

    @property
    def port(self) -> int:
        """The port it listens on, which matters where port 0 was asked for."""
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, let running answers end, close the connections."""
        await accept_no_more(self._server.sockets)
        self._server.close()
        await self._runner.cleanup()


async def start_site(
    app: web.Application,
    host: str,
    port: int,
    ssl_context: ssl.SSLContext | None,
    limits: protection.Limits = protection.DEFAULTS,
) -> Site:
    """Listen. Raises ListenError when the address cannot be had."""
    runner = web.AppRunner(app, shutdown_timeout=5.0)
    await runner.setup()
    try:
        server = await protection.listen(runner, host, port, ssl_context, limits, app[DEPS].dropped)
    except OSError as exc:
        await runner.cleanup()
        mend = "choose another with --web.listen-address"
        raise ListenError(f"cannot listen on {host}:{port}: {exc.strerror or exc}; {mend}") from exc
    return Site(runner, server)


def _route(request: web.Request) -> str:
    """The template of the route, never the path that a client sent: that would be a label without bound."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


@web.middleware
async def _observed(request: web.Request, handler: Handler) -> web.StreamResponse:
    begun, status = time.perf_counter(), 500
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        method = request.method if request.method in _METHODS else "other"
        answered = request.get(protection.STREAM_BEGAN, time.perf_counter())
        request.app[DEPS].observe(_route(request), method, status, answered - begun)


@web.middleware
async def _authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
    auth = request.app[DEPS].auth
    if auth is not None and request.transport is not None and not auth.knows(request.get_extra_info("peercert")):
        return problem(403, "no name of the client's certificate is in client_allowed_sans")
    try:
        allowed = auth is None or await auth.allows(request.headers.get("Authorization", ""), request.remote)
    except TooManyGuessesError as exc:
        return problem(429, "too many unknown credentials", headers={"Retry-After": str(math.ceil(exc.seconds))})
    if auth is not None and not allowed:
        return problem(401, "credentials are needed", headers={"WWW-Authenticate": auth.challenge})
    return await handler(request)


@web.middleware
async def _explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors in their one shape; a defect is logged, and its text goes no further."""
    if (request.content_length or 0) > protection.BODY_BYTES:
        return problem(413, f"a request has at most {protection.BODY_BYTES} bytes")
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return problem(404, "there is no such page; / lists what there is")
    except web.HTTPMethodNotAllowed as exc:
        allowed = ", ".join(sorted(exc.allowed_methods))
        return problem(405, f"this page answers {allowed}", headers={"Allow": allowed})
    except web.HTTPException as exc:
        return problem(exc.status, exc.reason)
    except ConnectionResetError:
        # The client is gone. Raised on, it would be a traceback in the log that any client can cause; an answer that
        # cannot be sent is dropped in silence, and its code is the usual one for this.
        return problem(CLIENT_GONE, "the client is gone")
    except Exception:
        log.exception("request failed", extra={"route": _route(request)})
        return problem(500, "a defect of the exporter; its log has the details")


async def _dressed(request: web.Request, response: web.StreamResponse) -> None:
    """Headers of every answer; those of the web configuration win."""
    response.headers.pop("Server", None)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    auth = request.app[DEPS].auth
    if auth is not None:
        response.headers.update(auth.headers)
