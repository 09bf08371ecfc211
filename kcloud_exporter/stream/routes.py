"""Routes: the streams and the live page, to be handed to the web server."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from kcloud_exporter.stream.hub import Hub
from kcloud_exporter.stream.operations import EVENTS
from kcloud_exporter.stream.page import page_routes
from kcloud_exporter.stream.sse import power_events
from kcloud_exporter.stream.websocket import conversation
from kcloud_exporter.web.operations import describe


def routes(hub: Hub) -> list[web.RouteDef]:
    """Everything that this room answers."""
    return [
        web.get("/api/v1/monitoring/events/power", describe(partial(power_events, hub), EVENTS)),
        web.get("/api/v1/monitoring/stream/power", partial(conversation, hub, "power"), allow_head=False),
        web.get("/api/v1/monitoring/stream/metrics", partial(conversation, hub, "metrics"), allow_head=False),
        *page_routes(),
    ]
