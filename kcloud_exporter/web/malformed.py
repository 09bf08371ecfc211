"""Malformed: requests that aiohttp's parser refuses, before any middleware can see them.

Of itself aiohttp answers them with its version in a Server header, and logs each with a traceback, so that any client
could fill the log.
"""

from __future__ import annotations

import logging
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from kcloud_exporter.web.problems import HEADERS, problem

log = logging.getLogger(__name__)


class _Bare(web.Response):
    """A response without the Server header, which aiohttp adds where no signal of the application is asked."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.pop("Server", None)


class Answering(RequestHandler):
    """aiohttp's protocol of one connection, with our answer to what is no request."""

    __slots__ = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, access_log=cast("logging.Logger", None), **options)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it repeats what the client sent
    ) -> web.StreamResponse:
        """The answer to a request that could not be read (400) or not be served (500); the connection ends."""
        if status >= 500:
            log.error("request failed", exc_info=exc)
        else:
            log.debug("malformed request", extra={"peer": request.remote, "reason": type(exc).__name__})
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has already begun")
        told = problem(
            status, "this is no HTTP request that can be read" if status < 500 else "a defect of the exporter"
        )
        response = _Bare(status=status, body=told.body, content_type="application/json", headers=HEADERS)
        response.force_close()
        return response
