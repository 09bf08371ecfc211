"""SSE: server-sent events over HTTP, which any browser reads with EventSource and any shell with curl."""

from __future__ import annotations

from functools import partial
from typing import Final

from aiohttp import web

from kcloud_exporter.errors import StreamError
from kcloud_exporter.stream.access import abort, filter_of, refusal, same_origin
from kcloud_exporter.stream.channel import Event, Reader
from kcloud_exporter.stream.hub import Hub
from kcloud_exporter.web.protection import streaming

_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    # no-transform: what compresses on the way would hold events back.
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
_FIRST: Final = b"retry: 3000\n\n"
_LAST: Final = b"retry: 1000\n: the server ends this stream; come back\n\n"


async def power_events(hub: Hub, request: web.Request) -> web.StreamResponse:
    """`GET /api/v1/monitoring/events/power`: an event for every cycle, for as long as the client stays."""
    try:
        same_origin(request)
        wanted, last_id = filter_of(request, ("power", "live"), "power")
        if request.method == "HEAD":
            return web.Response(headers=_HEADERS)
        reader = hub.enter("sse", partial(abort, request))
    except StreamError as exc:
        return refusal(exc)
    try:
        await hub.join(reader, wanted, last_id, [_FIRST])
        return await _send(request, hub, reader)
    except StreamError as exc:
        return refusal(exc)
    finally:
        hub.leave(reader)


async def _send(request: web.Request, hub: Hub, reader: Reader) -> web.StreamResponse:
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    streaming(request, reader.lost)
    while taken := await reader.take():
        await response.write(b"".join(each.frame if isinstance(each, Event) else each for each in taken))
        hub.counts.stream_sent("sse", sum(isinstance(each, Event) for each in taken))
    if not reader.cut:
        await response.write(_LAST)
        await response.write_eof()
    return response
