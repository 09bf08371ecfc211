"""WebSocket: the same events as over SSE, for clients that want to change their filter without a new connection.

The query string is the first filter; a `subscribe` message takes its place. Close codes: 1001 the server ends the
stream, 1003 a binary message, 1007 text that is no UTF-8, 1008 too many messages, 1009 a message that is too large.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Any, Final

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from kcloud_exporter.errors import StreamError
from kcloud_exporter.stream.access import abort, checked, filter_of, refusal, same_origin
from kcloud_exporter.stream.channel import Event, Reader
from kcloud_exporter.stream.filters import View
from kcloud_exporter.stream.hub import Hub
from kcloud_exporter.stream.messages import MESSAGE_BYTES, Ping, Subscribe, read_message
from kcloud_exporter.web.problems import problem
from kcloud_exporter.web.protection import streaming, upgraded

_PING_SECONDS: Final = 20.0
_CLOSE_SECONDS: Final = 1.0
_MESSAGES: Final = 30.0
_MESSAGES_PER_SECOND: Final = 1.0
"""Messages that a client may send at once, and how fast the right to more comes back."""


async def conversation(hub: Hub, view: View, request: web.Request) -> web.StreamResponse:
    """`GET /api/v1/monitoring/stream/...`, upgraded: the events of one view, until either side ends it."""
    socket = web.WebSocketResponse(
        heartbeat=_PING_SECONDS, max_msg_size=MESSAGE_BYTES, compress=False, timeout=_CLOSE_SECONDS
    )
    if not socket.can_prepare(request).ok:
        return problem(400, "this is a WebSocket: connect with one, or read the events over SSE instead")
    try:
        same_origin(request)
        wanted, last_id = filter_of(request, (view,), view)
        reader = hub.enter("websocket", partial(abort, request))
    except StreamError as exc:
        return refusal(exc)
    try:
        await hub.join(reader, wanted, last_id)
        await socket.prepare(request)
        upgraded(request)
        streaming(request, reader.lost)
        await _Conversation(request, socket, hub, reader, view).run()
    except StreamError as exc:
        return refusal(exc)
    finally:
        hub.leave(reader)
    return socket


class _Conversation:
    """One open WebSocket: a task that sends what waits for it, and a loop that answers what the client says."""

    def __init__(
        self, request: web.Request, socket: web.WebSocketResponse, hub: Hub, reader: Reader, view: View
    ) -> None:
        self._request, self._socket, self._hub, self._reader, self._view = request, socket, hub, reader, view
        self._clock = asyncio.get_running_loop().time
        self._allowed, self._counted_at = _MESSAGES, self._clock()

    async def run(self) -> None:
        """Until either side ends it."""
        sender = asyncio.create_task(self._send())
        try:
            async for message in self._socket:
                if message.type is not WSMsgType.TEXT:
                    await self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"text only")
                elif not self._may_speak():
                    await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"too many messages")
                else:
                    await self._answer(message.data)
        finally:
            self._reader.close()
            await sender

    def _may_speak(self) -> bool:
        now = self._clock()
        self._allowed = min(_MESSAGES, self._allowed + _MESSAGES_PER_SECOND * (now - self._counted_at)) - 1
        self._counted_at = now
        return self._allowed >= 0

    async def _answer(self, text: str) -> None:
        try:
            said = read_message(text)
            if isinstance(said, Ping):
                self._say({"type": "pong"})
            elif isinstance(said, Subscribe):
                wanted = checked(self._request, said.pairs(), (self._view,), self._view)
                first = orjson.dumps({"type": "subscribed", "filter": wanted.told()})
                await self._hub.join(self._reader, wanted, said.last_event_id or "", [first])
            else:
                self._hub.part(self._reader)
                self._say({"type": "unsubscribed"})
        except StreamError as exc:
            details = {"parameter": exc.parameter} if exc.parameter else {}
            code = {404: "not_found", 503: "unavailable"}.get(exc.status, "bad_request")
            self._say({"type": "error", "error": {"code": code, "message": str(exc), "details": details}})

    def _say(self, message: dict[str, Any]) -> None:
        self._reader.offer(orjson.dumps(message))

    async def _send(self) -> None:
        """All that is sent goes through here, in order."""
        with contextlib.suppress(ConnectionResetError):
            while taken := await self._reader.take():
                for each in taken:
                    data = each.data if isinstance(each, Event) else each
                    await self._socket.send_frame(data, WSMsgType.TEXT)
                self._hub.counts.stream_sent("websocket", sum(isinstance(each, Event) for each in taken))
            if not self._reader.cut and not self._socket.closed:
                await self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server ends this stream")
