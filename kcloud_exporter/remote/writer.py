"""Writer: one remote store. Snapshots are encoded in a thread, queued, and sent in their order by one task."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import cramjam

from kcloud_exporter.config.endpoints import host_port
from kcloud_exporter.config.schema import RemoteWriteConfig
from kcloud_exporter.errors import SourceError
from kcloud_exporter.model import Snapshot
from kcloud_exporter.remote.state import RemoteState
from kcloud_exporter.remote.wire import Encoder
from kcloud_exporter.snapshot import SnapshotStore
from kcloud_exporter.sources.http import Connection

log = logging.getLogger(__name__)
_HEADERS: Final = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_TAKEN: Final = frozenset({200, 202, 204})
_NEVER: Final = frozenset({"http_4xx", "auth", "redirect"})
"""Reasons for which the same bytes would be refused again; 429 is none of them (see `_send`)."""
_SECONDS, _SHORTEST, _LONGEST = 30.0, 0.5, 30.0
_LAST_WORDS: Final = 3.0
"""How long a stopping program tries to send what still waits."""


@dataclass(frozen=True, slots=True)
class _Batch:
    body: bytes
    samples: int


class RemoteWriter:
    """Sends every snapshot to one store. A store that is away costs memory up to `queue_bytes`, and never a cycle."""

    def __init__(self, config: RemoteWriteConfig, state: RemoteState) -> None:
        self._config, self._state = config, state
        self.name = config.name or host_port(config.url)
        self._encoder = Encoder(dict(config.external_labels))
        self._connection = Connection(config, connections=1, body_bytes=2**20)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"remote-{self.name}")
        self._queue: deque[_Batch] = deque()
        self._bytes = 0
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._away = False
        state.known(self.name)

    @asynccontextmanager
    async def following(self, store: SnapshotStore) -> AsyncIterator[None]:
        """Send every snapshot that is published while the block runs."""
        tasks = [asyncio.create_task(self._follow(store)), asyncio.create_task(self._drain())]
        try:
            yield
        finally:
            tasks[0].cancel()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), _LAST_WORDS)
            tasks[1].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._connection.close()
            self._worker.shutdown(wait=False)

    async def _follow(self, store: SnapshotStore) -> None:
        loop = asyncio.get_running_loop()
        async for snapshot in store.updates():
            try:
                for batch in await loop.run_in_executor(self._worker, self._encoded, snapshot):
                    self._put(batch)
            except Exception:
                log.exception("a snapshot could not be encoded", extra={"remote": self.name})

    def _encoded(self, snapshot: Snapshot) -> list[_Batch]:
        return [
            _Batch(bytes(cramjam.snappy.compress_raw(message)), samples)
            for message, samples in self._encoder.messages(snapshot)
        ]

    def _put(self, batch: _Batch) -> None:
        """Queue one batch; what is oldest gives way."""
        self._queue.append(batch)
        self._bytes += len(batch.body)
        while self._bytes > self._config.queue_bytes and len(self._queue) > 1:
            oldest = self._queue.popleft()
            self._bytes -= len(oldest.body)
            self._state.lost(self.name, "queue_full", oldest.samples)
        self._state.waiting(self.name, self._bytes)
        self._idle.clear()
        self._some.set()

    async def _drain(self) -> None:
        pause = _SHORTEST
        while True:
            await self._some.wait()
            if not self._queue:
                self._some.clear()
                self._idle.set()
                continue
            batch = self._queue[0]
            if await self._send(batch):
                pause = _SHORTEST
                if self._queue and self._queue[0] is batch:  # it may have given way meanwhile
                    self._queue.popleft()
                    self._bytes -= len(batch.body)
                    self._state.waiting(self.name, self._bytes)
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST)

    async def _send(self, batch: _Batch) -> bool:
        """Whether a batch is done with: taken, or refused for good. False: try it again."""
        try:
            await self._connection.fetch(
                "POST", self._config.url, _SECONDS, headers=_HEADERS, content=batch.body, accept=_TAKEN
            )
        except SourceError as exc:
            refused = exc.reason in _NEVER and "429" not in str(exc)
            self._tell(exc, refused=refused)
            if refused:
                self._state.lost(self.name, "refused", batch.samples)
            else:
                self._state.failed(self.name)
            return refused
        if self._away:
            self._away = False
            log.info("the remote store takes samples again", extra={"remote": self.name})
        self._state.sent(self.name, batch.samples)
        return True

    def _tell(self, exc: SourceError, *, refused: bool) -> None:
        """The log hears of the first failure, not of every one."""
        if not self._away:
            self._away = True
            what = "the remote store refuses samples" if refused else "the remote store cannot be reached"
            detail = self._connection.hide(str(exc), self._config.url)
            log.warning(what, extra={"remote": self.name, "reason": exc.reason, "detail": detail})
