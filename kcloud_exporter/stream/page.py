"""Page: the live page and its files, as they lie in the package. No build step, nothing from another host."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from kcloud_exporter.web.problems import unknown_parameters

FOLDER: Final = Path(__file__).parent / "browser"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""Its own files and its own stream, and nothing else: no inline script, no inline style."""


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    content_type: str
    etag: str


def _read(path: Path) -> _File:
    body = path.read_bytes()
    return _File(body, _TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:32])


def page_routes() -> list[web.RouteDef]:
    """`/live`, and one route for each of its files, which are read once."""
    files = {path.name: _read(path) for path in sorted(FOLDER.iterdir()) if path.suffix in _TYPES}
    paths = {"live.html": "/live"}
    return [web.get(paths.get(name, f"/live/{name}"), partial(_answer, file)) for name, file in files.items()]


async def _answer(file: _File, request: web.Request) -> web.Response:
    refused = unknown_parameters(request, frozenset())
    if refused is not None:
        return refused
    headers = {
        "Content-Type": file.content_type,
        "Content-Security-Policy": POLICY,
        "Cache-Control": "no-cache",
        "ETag": f'"{file.etag}"',
    }
    if any(tag.value in (file.etag, "*") for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=file.body, headers=headers)
