"""Pages: the landing page, and whether we are alive and ready."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from kcloud_exporter.web.problems import problem, unknown_parameters
from kcloud_exporter.web.status import DEPS

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def _template() -> Template:
    # A server is ready sooner without it; the first visitor waits a moment.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ago"] = ago
    return environment.get_template("landing.html")


def ago(timestamp: float | None, now: float | None = None) -> str:
    """How long ago a Unix time is, in the largest unit that fits."""
    if timestamp is None:
        return "never"
    seconds = max(0.0, (time.time() if now is None else now) - timestamp)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{seconds:.0f} s ago"


async def landing(request: web.Request) -> web.Response:
    """Name, version, links, and the state of each source."""
    refused = unknown_parameters(request, frozenset())
    if refused is not None:
        return refused
    status = request.app[DEPS].status()
    started = datetime.fromtimestamp(status.started_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    template = await asyncio.to_thread(_template)  # reading it the first time takes a while
    text = template.render(status=status, started=started)
    return web.Response(text=text, content_type="text/html")


async def healthy(_: web.Request) -> web.Response:
    """Alive: the event loop answers."""
    return web.Response(text="kcloud-exporter is healthy\n")


async def ready(request: web.Request) -> web.Response:
    """Ready only with a fresh snapshot."""
    status = request.app[DEPS].status()
    if status.ready:
        return web.Response(text="kcloud-exporter is ready\n")
    return problem(503, f"not ready: {status.ready_reason}")


async def reload(request: web.Request) -> web.Response:
    """Read the configuration again; a bad one leaves the old one running."""
    deps = request.app[DEPS]
    if not deps.enable_lifecycle:
        return problem(403, "reloading over HTTP is off; start with --web.enable-lifecycle or send SIGHUP")
    problems = await deps.reload()
    if problems:
        return problem(500, "the configuration is bad; the old one goes on", {"problems": problems})
    return web.Response(text="reloaded\n")
