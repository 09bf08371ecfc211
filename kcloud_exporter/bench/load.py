"""Load: clients that ask again as soon as they have their answer, over connections that stay open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from typing import Final, cast

from kcloud_exporter.bench.memory import cpu_seconds

CONNECTIONS: Final = 16
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"


class Client(asyncio.Protocol):
    """One connection. Every answer has a length; anything but 200 is a failure of the run."""

    def __init__(self, port: int, paths: Iterator[str]) -> None:
        self._port, self._paths = port, paths
        self._transport: asyncio.Transport | None = None
        self._seen, self._needed = b"", 0
        self.answers = self.bytes = 0
        self.failure = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        if self._transport is not None:
            head = f"GET {next(self._paths)} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nAccept-Encoding: gzip\r\n\r\n"
            self._transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        """When the answer is whole, ask again."""
        self._seen += data
        self.bytes += len(data)
        if not self._needed:
            end = self._seen.find(_HEAD_END)
            if end < 0:
                return
            head = self._seen[: end + 2].lower()
            at = head.find(_LENGTH)
            if not head.startswith(b"http/1.1 200 ") or at < 0:
                self.failure = self.failure or self._seen[:300].decode(errors="replace")
                self.close()
                return
            self._needed = end + len(_HEAD_END) + int(head[at + len(_LENGTH) :].partition(b"\r\n")[0])
        if len(self._seen) >= self._needed:
            self._seen, self._needed = b"", 0
            self.answers += 1
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Before its time this is a failure."""
        if self._transport is not None:
            self.failure = self.failure or f"the connection was lost: {exc}"

    def close(self) -> None:
        """No more questions."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()


def _itself(client: Client) -> Client:
    return client


async def load(port: int, pid: int, paths: Iterator[str], seconds: float) -> tuple[int, int, float, float]:
    """Ask a server for `seconds`: (answers, bytes, CPU seconds of the server, wall seconds).

    Raises RuntimeError when one answer was anything but 200.
    """
    loop = asyncio.get_running_loop()
    clients = [Client(port, paths) for _ in range(CONNECTIONS)]
    cpu, begun = cpu_seconds(pid), time.perf_counter()
    await asyncio.gather(*(loop.create_connection(partial(_itself, each), "127.0.0.1", port) for each in clients))
    await asyncio.sleep(seconds)
    spent, wall = cpu_seconds(pid) - cpu, time.perf_counter() - begun
    for each in clients:
        each.close()
    failures = [each.failure for each in clients if each.failure]
    if failures:
        raise RuntimeError(f"an answer was no good: {failures[0]}")
    return sum(each.answers for each in clients), sum(each.bytes for each in clients), spent, wall
