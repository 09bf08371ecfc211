"""Audience: the readers of a stream, as many as asked for, over real sockets. Some of them stop reading.

They are asyncio protocols and no HTTP clients: what is measured is the server, and the readers must keep up with it.
"""

from __future__ import annotations

import asyncio
import re
import resource
import socket
from collections.abc import Callable, Iterable
from typing import Final, cast

_NUMBER: Final = re.compile(rb"\nid: [0-9a-f]+-([0-9]+)\n")
_WAVE: Final = 100
"""Readers that connect at the same time."""
_STALLED_BUFFER: Final = 4096
_PATIENCE: Final = 60.0
_SPARE: Final = 256


class Reader(asyncio.Protocol):
    """One reader: the numbers of the events that came, and whether any was left out."""

    def __init__(self, request: bytes, *, stalls: bool) -> None:
        self._request, self.stalls = request, stalls
        self._transport: asyncio.Transport | None = None
        self._tail = b""
        self.first = self.newest = self.missed = self.taken = 0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask, and read on, or never again."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)
        if self.stalls:
            self._transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Note the numbers of events; they follow each other without a gap."""
        self.taken += len(data)
        seen, end = self._tail + data, 0
        for match in _NUMBER.finditer(seen):
            number, end = int(match[1]), match.end() - 1
            if self.newest:
                self.missed += number - self.newest - 1
            else:
                self.first = number
            self.newest = number
        self._tail = seen[max(end, len(seen) - 64) :]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The server, or this side, has ended it."""
        self.lost = True

    def close(self) -> None:
        """Go away without a word."""
        if self._transport is not None:
            self._transport.abort()


async def gather(port: int, path: str, count: int, *, stalls: bool) -> list[Reader]:
    """Connect `count` readers, some at a time. Raises OSError."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    found: list[Reader] = []

    def all_have_begun() -> bool:
        return all(reader.newest for reader in found)

    for begin in range(0, count, _WAVE):
        some = [_connected(port, Reader(request, stalls=stalls)) for _ in range(min(_WAVE, count - begin))]
        found += await asyncio.gather(*some)
        if not stalls:
            await until(all_have_begun, _PATIENCE)
    return found


async def _connected(port: int, reader: Reader) -> Reader:
    sock = socket.socket()
    sock.setblocking(False)
    if reader.stalls:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _STALLED_BUFFER)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    await loop.create_connection(lambda: reader, sock=sock)
    return reader


async def until(true: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition; False when it did not come about in time."""
    try:
        async with asyncio.timeout(seconds):
            while not true():  # noqa: ASYNC110 - of many readers, none of which should do more than it must
                await asyncio.sleep(0.01)
    except TimeoutError:
        return False
    return True


def make_room(connections: int) -> None:
    """Raise the soft limit of open files as far as is needed. Raises OSError where it may not be raised so far."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise OSError(f"{wanted} open files are needed, and only {hard} are allowed (ulimit -n)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def missed(readers: Iterable[Reader], newest: int) -> int:
    """Events that readers should have had since they came, and had not."""
    return sum(reader.missed + newest - reader.newest for reader in readers)
