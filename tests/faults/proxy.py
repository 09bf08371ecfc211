"""A TCP proxy that breaks connections on purpose, in the place of `tc netem`, which needs root and a kernel module.

It cannot lose or reorder packets: that is below TCP. Everything that a program can see of a bad network above it, it
does: late, slow, cut, reset, half closed, silent, falsified, refused. The same seed gives the same faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Literal, Self

Kind = Literal["latency", "bandwidth", "cut", "reset", "half_close", "black_hole", "corrupt", "drip", "refuse"]
_STEP: Final = 1 << 16
_RESET: Final = struct.pack("ii", 1, 0)
_LIMIT: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong on a connection. Times in seconds; bytes are counted from the first one of the answer.

    With `upstream` it happens to the request instead.
    """

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None
    cut_after: int | None = None
    reset_after: int | None = None
    half_close_after: int | None = None
    black_hole: bool = False
    corrupt_at: int | None = None
    drip: tuple[int, float] | None = None
    upstream: bool = False


NONE: Final = Fault()


@dataclass(frozen=True, slots=True)
class Injected:
    """One fault that happened: when (monotonic seconds), on which connection, at which byte."""

    at: float
    connection: int
    kind: Kind
    byte: int


class _OverError(Exception):
    """This connection has come to its end."""


@dataclass(slots=True)
class FaultProxy:
    """`async with FaultProxy(host, port) as proxy:` listens on `proxy.port` and forwards, with `proxy.fault`.

    A change of `fault` concerns connections and bytes from then on; `injected` tells what has happened.
    """

    host: str
    to: int
    fault: Fault = NONE
    seed: int = 0
    address: str = "127.0.0.1"
    port: int = 0
    connections: int = 0
    injected: list[Injected] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _random: random.Random = field(default_factory=random.Random)

    async def __aenter__(self) -> Self:
        self._random = random.Random(self.seed)
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse(note=False)

    @property
    def url(self) -> str:
        """Its base URL, for HTTP."""
        return f"http://{self.address}:{self.port}"

    @property
    def kinds(self) -> set[Kind]:
        """What kinds of faults have happened."""
        return {each.kind for each in self.injected}

    async def listen(self) -> None:
        """Listen, at the same port as before."""
        self._server = await asyncio.start_server(self._connected, self.address, self.port, limit=_LIMIT, backlog=256)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self, *, note: bool = True) -> None:
        """Listen no more and reset what is open, as a program that has ended."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if note:
            self._note(0, "refuse", 0)

    def _note(self, connection: int, kind: Kind, byte: int) -> None:
        self.injected.append(Injected(time.monotonic(), connection, kind, byte))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        number = self.connections
        try:
            if self.fault.black_hole:
                self._note(number, "black_hole", 0)
                await asyncio.Event().wait()
            await self._joined(number, reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # one of the two is gone, or the proxy is
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _joined(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # No more bytes than asked for wait here: a reader that stalls must be felt by the server.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LIMIT)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (self.host, self.to))
            server_reader, server_writer = await asyncio.open_connection(sock=sock, limit=_LIMIT)
        except BaseException:
            sock.close()
            raise
        self._writers.add(server_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(number, reader, server_writer, upstream=True))
                group.create_task(self._forward(number, server_reader, writer, upstream=False))
        except* (_OverError, OSError):
            pass
        finally:
            self._writers.discard(server_writer)
            server_writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.drain()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _forward(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upstream: bool
    ) -> None:
        passed = 0
        while data := await reader.read(_STEP):
            fault = self.fault if self.fault.upstream == upstream else NONE
            await self._write(number, fault, passed, data, writer)
            passed += len(data)
        with contextlib.suppress(OSError, NotImplementedError):
            writer.write_eof()

    async def _write(self, number: int, fault: Fault, passed: int, data: bytes, writer: asyncio.StreamWriter) -> None:
        if fault.latency or fault.jitter:
            self._note(number, "latency", passed)
            await asyncio.sleep(fault.latency + self._random.random() * fault.jitter)
        at = fault.corrupt_at
        if at is not None and passed <= at < passed + len(data):
            self._note(number, "corrupt", at)
            changed = bytearray(data)
            changed[at - passed] ^= self._random.randrange(1, 256)
            data = bytes(changed)
        kind, end = _end(fault)
        rest = None if end is None else max(end - passed, 0)
        await self._paced(number, fault, passed, data[:rest], writer)
        if kind is None or rest is None or rest > len(data):
            return
        self._note(number, kind, passed + rest)
        if kind == "half_close":
            writer.write_eof()
            await asyncio.Event().wait()
        if kind == "reset":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        raise _OverError

    async def _paced(self, number: int, fault: Fault, passed: int, data: bytes, writer: asyncio.StreamWriter) -> None:
        size, pause = len(data) or 1, 0.0
        if fault.drip is not None:
            size, pause = fault.drip
            self._note(number, "drip", passed)
        elif fault.bandwidth is not None:
            size = max(1, int(fault.bandwidth / 20))
            pause = size / fault.bandwidth
            self._note(number, "bandwidth", passed)
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()
            await asyncio.sleep(pause)


def _end(fault: Fault) -> tuple[Kind | None, int | None]:
    """How a connection ends, and after how many bytes."""
    ends: tuple[tuple[Kind, int | None], ...] = (
        ("cut", fault.cut_after),
        ("reset", fault.reset_after),
        ("half_close", fault.half_close_after),
    )
    return next(((kind, after) for kind, after in ends if after is not None), (None, None))
