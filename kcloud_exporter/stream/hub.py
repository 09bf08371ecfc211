"""Hub: one task that turns each snapshot into events, and the limits that all streams together keep to.

Making events is work for a thread: neither the cycle nor a scrape waits for it. Handing them to readers is appending
to bounded queues, so no reader waits for another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Protocol, Self

from kcloud_exporter.errors import StreamError
from kcloud_exporter.snapshot import SnapshotStore
from kcloud_exporter.stream.channel import Channel, Event, Kind, PowerEvents, Reader, View, gap
from kcloud_exporter.stream.filters import Filter
from kcloud_exporter.stream.live import LiveEvents, Trend
from kcloud_exporter.stream.metrics import MetricsEvents

log = logging.getLogger(__name__)
CLIENTS: Final = 2000
CHANNELS: Final = 64
"""Different filters at the same time: each costs work in every cycle, however few read it."""
IDLE_SECONDS: Final = 300.0
"""How long a channel without readers goes on, so that they can come back and miss nothing."""
HEARTBEAT_SECONDS: Final = 15.0
READER_SECONDS: Final = 3600.0
"""After an hour a reader is asked to come back, with its credentials."""
_LAST_WORDS_SECONDS: Final = 1.0


class Counts(Protocol):
    """Where the hub tells what happens, for the self-metrics."""

    def stream_clients(self, kind: str, change: int) -> None:
        """One more client, or one less."""

    def stream_sent(self, kind: str, events: int) -> None:
        """Events handed to a connection."""

    def stream_dropped(self, kind: str, reason: str) -> None:
        """A reader that was too slow: events skipped, or the connection cut."""


class Hub:
    """All channels and readers. Use as an async context manager; at its end every stream is told and closed."""

    def __init__(
        self, store: SnapshotStore, counts: Counts, interval: Callable[[], float], *, clients: int = CLIENTS
    ) -> None:
        self._store, self.counts, self._interval, self._most = store, counts, interval, clients
        self._channels: dict[Filter, Channel] = {}
        self._of: dict[Reader, Filter | None] = {}
        self._trend = Trend()
        self._epoch, self._sequence = format(time.time_ns() // 1_000_000, "x"), 0
        self._making = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed, self._empty = False, asyncio.Event()

    async def __aenter__(self) -> Self:
        if self._store.current is not None:
            self._trend.add(self._store.current)
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._beat())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Tell every reader that it is over; connections that do not end in a second are cut."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for reader in tuple(self._of):
            reader.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                if self._of:
                    await self._empty.wait()
        for reader in tuple(self._of):
            reader.cut_off()

    def enter(self, kind: Kind, abort: Callable[[], None]) -> Reader:
        """A new reader, of no channel yet. Raises StreamError when there are too many; `leave` frees its place."""
        if self._closed:
            raise StreamError(503, "the server stops")
        if len(self._of) >= self._most:
            raise StreamError(503, f"{self._most} streams are open, and that is the most; try again later")
        reader = Reader(kind, time.monotonic(), abort, self.counts.stream_dropped)
        self._of[reader] = None
        self.counts.stream_clients(kind, 1)
        return reader

    def leave(self, reader: Reader) -> None:
        """The reader's connection has ended."""
        if reader in self._of:
            self.part(reader)
            del self._of[reader]
            self.counts.stream_clients(reader.kind, -1)
            if not self._of and self._closed:
                self._empty.set()

    def part(self, reader: Reader) -> None:
        """The reader leaves its channel and stays connected."""
        wanted = self._of[reader]
        if wanted is not None:
            channel = self._channels[wanted]
            channel.readers.discard(reader)
            if not channel.readers:
                channel.idle_since = time.monotonic()
            self._of[reader] = None

    async def join(self, reader: Reader, wanted: Filter, last_id: str = "", first: Iterable[bytes] = ()) -> None:
        """Give the reader a filter's events from now on.

        First comes `first`; then what it missed since the event `last_id`, or else the present state. Raises
        StreamError when there are too many different filters.
        """
        channel = await self._channel(wanted)
        # No await from here on: an event is either in what follows, or will be offered to the reader.
        self.part(reader)
        missed = self._missed(channel, last_id)
        lost = bool(last_id) and missed is None and not channel.latest_only
        told = [gap("the events after this id are not kept any more", time.time())] if lost else []
        reader.begin([*first, *told, *(channel.state() if missed is None else missed)], channel.newest)
        channel.readers.add(reader)
        channel.idle_since = None
        self._of[reader] = wanted

    def _missed(self, channel: Channel, last_id: str) -> list[Event] | None:
        epoch, _, number = last_id.partition("-")
        if epoch != self._epoch or not (number.isascii() and number.isdecimal() and len(number) < 16):
            return None
        sequence = int(number)
        return channel.missed(sequence) if sequence <= self._sequence else None

    async def _channel(self, wanted: Filter) -> Channel:
        """The channel of a filter, with the present state in it if there is one."""
        channel = self._channels.get(wanted)
        if channel is None:
            if len(self._channels) >= CHANNELS:
                self._forget_one()
            latest_only = wanted.view == "live"
            channel = Channel(self._view(wanted), self._epoch, self._sequence, latest_only=latest_only)
            self._channels[wanted] = channel
        channel.idle_since = None  # so that it does not go while its first events are made
        try:
            if channel.made_of is None:
                async with self._making:
                    await self._make()
        finally:
            if not channel.readers:
                channel.idle_since = time.monotonic()
        return channel

    def _view(self, wanted: Filter) -> View:
        if wanted.view == "live":
            return LiveEvents(wanted.cluster, self._trend, self._interval)
        return MetricsEvents(wanted) if wanted.view == "metrics" else PowerEvents(wanted)

    def _forget_one(self) -> None:
        idle = [(c.idle_since, wanted) for wanted, c in self._channels.items() if c.idle_since is not None]
        if not idle:
            raise StreamError(503, f"{CHANNELS} different filters are being read, and that is the most")
        del self._channels[min(idle, key=lambda each: each[0])[1]]

    async def _follow(self) -> None:
        async for snapshot in self._store.updates():
            try:
                self._trend.add(snapshot)
                async with self._making:
                    self._forget_the_idle()
                    await self._make()
            except Exception:
                log.exception("events of a cycle could not be made")

    def _forget_the_idle(self) -> None:
        limit = time.monotonic() - IDLE_SECONDS
        for wanted, channel in tuple(self._channels.items()):
            if (math.inf if channel.idle_since is None else channel.idle_since) < limit:
                del self._channels[wanted]

    async def _make(self) -> None:
        """Bring every channel up to the current snapshot. One at a time."""
        snapshot = self._store.current
        behind = [channel for channel in self._channels.values() if channel.made_of is not snapshot]
        if snapshot is None or not behind:
            return

        def number() -> int:
            self._sequence += 1
            return self._sequence

        def work() -> list[list[Event]]:
            return [channel.make(snapshot, number) for channel in behind]

        made = await asyncio.to_thread(work)
        for channel, events in zip(behind, made, strict=True):
            channel.keep(events)
        for channel, events in zip(behind, made, strict=True):
            await channel.hand_out(events)

    async def _beat(self) -> None:
        """Bytes for readers that hear nothing else, so that whatever stands between keeps the connection open."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            for reader in tuple(self._of):
                if time.monotonic() - reader.begun > READER_SECONDS:
                    reader.close()
                elif reader.kind == "sse" and reader.idle:
                    reader.offer(b": heartbeat\n\n")
