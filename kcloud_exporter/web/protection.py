"""Protection: what every connection must keep to, whatever its client does.

aiohttp bounds neither how long a request's head may take nor how long a reader may stall, so a guard stands
between the transport and aiohttp's own protocol and closes connections that overstay.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from aiohttp import web

from kcloud_exporter.web.malformed import Answering

HEAD_SECONDS: Final = 5.0
"""For the first byte and all of a request's head."""
STALL_SECONDS: Final = 10.0
"""For a reader that takes nothing more while we have something to send."""
CONNECTIONS: Final = 512
BODY_BYTES: Final = 64 * 1024
KEEP_ALIVE_SECONDS: Final = 75.0
_STREAM_BUFFER: Final = 64 * 1024
"""Bytes that the kernel keeps for the reader of a stream; of itself it would let them grow to megabytes."""
_GONE_MILLISECONDS: Final = 60_000
"""How long bytes to a stream's reader may go unacknowledged."""
STREAM_BEGAN: Final = web.RequestKey("stream_began", float)
"""When a request became a stream (perf_counter): it is answered then, however long it stays open."""
_HEAD_END: Final = b"\r\n\r\n"
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


Dropped: TypeAlias = Literal["limit", "head", "stalled"]
"""Why a connection was ended: too many at once, no whole request in time, a reader that takes nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What each connection, and all of them together, must keep to. Times in seconds."""

    connections: int = CONNECTIONS
    head: float = HEAD_SECONDS
    stall: float = STALL_SECONDS


DEFAULTS: Final = Limits()


class Gate:
    """How many connections are open, and who hears of those that are ended."""

    def __init__(self, most: int, dropped: Callable[[Dropped], None]) -> None:
        self.most, self.open, self.dropped = most, 0, dropped


class Guard(asyncio.Protocol):
    """One connection: forwards everything to aiohttp, and keeps the time."""

    def __init__(self, inner: asyncio.Protocol, gate: Gate, limits: Limits) -> None:
        self._inner, self._gate, self._limits = inner, gate, limits
        self._transport: asyncio.Transport | None = None
        self._head: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._tail = b""
        self._counted = self._upgraded = self._streaming = False
        self._lost: Callable[[bool], None] | None = None
        self._stalled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or turn the client away when there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        if self._gate.open >= self._gate.most:
            self._gate.dropped("limit")
            self._transport.write(_BUSY)
            self._transport.close()
            return
        self._gate.open += 1
        self._counted = True
        self._inner.connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request: its head must be complete in time."""
        if not self._counted or (self._streaming and not self._upgraded):
            return  # turned away; or the reader of a stream, who has nothing more to say
        if not self._upgraded:
            # Bytes of a body count as the next head, so a body that drips has the same deadline.
            seen = self._tail + data
            if _HEAD_END in seen:
                self._tail = b""
                self._cancel_head()
            else:
                self._tail = seen[-3:]
                if self._head is None:
                    self._await_head()
        self._inner.data_received(data)

    def upgraded(self) -> None:
        """From here on the bytes are no requests any more."""
        self._upgraded = True
        self._cancel_head()

    def streaming(self, lost: Callable[[bool], None]) -> None:
        """From here on this is a stream: its place is free for requests, as streams have a limit of their own.

        What the kernel keeps for a reader that stalls is made small; a peer that is gone without a word is noticed.
        """
        if self._streaming or self._transport is None:
            return
        self._streaming, self._lost = True, lost
        self._gate.open -= 1
        self._cancel_head()
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _STREAM_BUFFER)
            if hasattr(socket, "TCP_USER_TIMEOUT") and sock.family in (socket.AF_INET, socket.AF_INET6):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_MILLISECONDS)

    def eof_received(self) -> bool | None:
        """Forwarded."""
        return self._inner.eof_received() if self._counted else None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forwarded; the place is free again."""
        self._cancel_head()
        self.resume_writing()
        if self._counted:
            self._gate.open -= not self._streaming
            self._inner.connection_lost(exc)
        if self._lost is not None:
            # The kernel's own time-out: what was sent stayed unacknowledged, or the window closed.
            self._lost(self._stalled or isinstance(exc, TimeoutError))

    def pause_writing(self) -> None:
        """The reader stalls: from now on it has a deadline."""
        self._stall = asyncio.get_running_loop().call_later(self._limits.stall, self._abort_stalled)
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The reader goes on."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
            self._inner.resume_writing()

    def _await_head(self) -> None:
        self._head = asyncio.get_running_loop().call_later(self._limits.head, self._abort_silent)

    def _cancel_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _abort_silent(self) -> None:
        self._abort("head")

    def _abort_stalled(self) -> None:
        self._stalled = True
        self._abort("stalled")

    def _abort(self, reason: Dropped) -> None:
        self._gate.dropped(reason)
        if self._transport is not None:
            self._transport.abort()


def upgraded(request: web.Request) -> None:
    """A handler has made a WebSocket of its connection: what comes now has no head to wait for.

    Only a handler may say so. An `Upgrade` header is only a client's wish, and would free it of its deadline.
    """
    protocol = request.transport.get_protocol() if request.transport is not None else None
    if isinstance(protocol, Guard):
        protocol.upgraded()


def streaming(request: web.Request, lost: Callable[[bool], None]) -> None:
    """A handler makes a stream of its connection, one that may stay open for hours.

    `lost` is called at its end, with True when it was ended because its reader stalled.
    """
    request[STREAM_BEGAN] = time.perf_counter()
    protocol = request.transport.get_protocol() if request.transport is not None else None
    if isinstance(protocol, Guard):
        protocol.streaming(lost)
    else:
        lost(False)  # the client is gone already


async def listen(
    runner: web.AppRunner,
    host: str,
    port: int,
    ssl_context: ssl.SSLContext | None,
    limits: Limits,
    dropped: Callable[[Dropped], None],
) -> asyncio.Server:
    """Serve a set-up runner on an address behind guards. Raises OSError when the address cannot be had.

    `dropped` hears of every connection that a guard ends.
    """
    server, gate = runner.server, Gate(limits.connections, dropped)
    if server is None:
        raise RuntimeError("the runner is not set up")

    loop = asyncio.get_running_loop()

    def guarded() -> Guard:
        return Guard(Answering(server, loop=loop, keepalive_timeout=KEEP_ALIVE_SECONDS), gate, limits)

    return await loop.create_server(
        guarded,
        host,
        port,
        ssl=ssl_context,
        # Before the handshake is done no guard is asked, and asyncio would wait a minute.
        ssl_handshake_timeout=limits.head if ssl_context is not None else None,
        backlog=256,
    )
