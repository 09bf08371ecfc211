"""Channel: the events of one filter, made once, kept for a while, and offered to everybody who reads them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import orjson

from kcloud_exporter.model import Snapshot
from kcloud_exporter.stream.filters import Filter
from kcloud_exporter.stream.power import PowerView, watts
from kcloud_exporter.stream.thresholds import Threshold
from kcloud_exporter.units import rfc3339

log = logging.getLogger(__name__)
_SLICE: Final = 50
"""Readers that are woken in one turn of the event loop; to write to all of two thousand takes a quarter of a second."""
QUEUE_EVENTS: Final = 64
"""Events that may wait for one reader; one that falls further behind is cut off."""
RING_EVENTS, RING_BYTES = 256, 1024 * 1024
"""Past events that a channel keeps for readers who come back: so many, and no more than so many bytes."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it has a number.

    `about` is what it tells the state of: a later event about the same takes its place. `over` says that there is no
    state any more, so that who comes new need not know of it.
    """

    type: str
    payload: dict[str, Any]
    about: str = ""
    over: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One event, serialised once: `data` is its JSON, `frame` the same as a server-sent event."""

    sequence: int
    draft: Draft
    data: bytes
    frame: bytes


Kind = Literal["sse", "websocket"]


class View(Protocol):
    """What makes the events of one filter from successive snapshots."""

    def drafts(self, snapshot: Snapshot) -> list[Draft]:
        """The events of one snapshot, in order."""


class Reader:
    """One client: what waits to be sent to it. The client's handler takes; nobody ever waits for it."""

    def __init__(
        self, kind: Kind, begun: float, abort: Callable[[], None], dropped: Callable[[Kind, str], None]
    ) -> None:
        self.kind: Kind = kind
        self.begun, self._abort, self._dropped = begun, abort, dropped
        self._waiting: deque[Event | bytes] = deque()
        self._wake = asyncio.Event()
        self.closed = self.cut = False
        self.seen = 0
        """Number of the last event that it was given at its joining: it must not get one of these again."""

    def begin(self, events: Iterable[Event | bytes], seen: int) -> None:
        """What a reader gets first, however much that is: a channel keeps only so much."""
        self._waiting.extend(events)
        self.seen = seen
        self._wake.set()

    def offer(self, event: Event | bytes, *, latest_only: bool = False) -> None:
        """Queue an event, or the bytes of a message. With `latest_only`, an event that still waits is replaced."""
        if self.closed:
            return
        if latest_only:
            kept = [each for each in self._waiting if isinstance(each, bytes)]
            if len(kept) < len(self._waiting):
                self._waiting = deque(kept)
                self._dropped(self.kind, "skipped")
        if len(self._waiting) >= QUEUE_EVENTS:
            self._dropped(self.kind, "slow")
            self.cut_off()
            return
        self._waiting.append(event)
        self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    async def take(self) -> list[Event | bytes]:
        """Everything that waits, as soon as there is something. Empty when the stream is over."""
        while not self._waiting:
            if self.closed:
                return []
            self._wake.clear()
            await self._wake.wait()
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    def close(self) -> None:
        """No more events; those that wait may still be sent."""
        self.closed = True
        self._wake.set()

    def lost(self, stalled: bool) -> None:
        """The connection has ended; `stalled` when it was ended because its client took nothing any more."""
        if stalled and not self.closed:
            self._dropped(self.kind, "slow")
        self.cut_off()

    def cut_off(self) -> None:
        """End the connection now: nothing that waits will be read in time, or nobody is there to read it."""
        self.cut = True
        self._waiting.clear()
        self.close()
        self._abort()


class Pace:
    """Whether an event is due. A tick comes a little early or late; a whole interval must not be lost for that."""

    def __init__(self, interval: float) -> None:
        self._interval, self._last = interval, -math.inf

    def due(self, timestamp: float) -> bool:
        """Whether a cycle of this Unix time gives an event; if so, it is the last one now."""
        due = timestamp - self._last >= 0.9 * self._interval
        if due:
            self._last = timestamp
        return due


class PowerEvents:
    """The events of one power filter: an update for every cycle that is due, and what happens at its thresholds."""

    def __init__(self, wanted: Filter) -> None:
        self._view = PowerView(wanted)
        self._thresholds = [Threshold(each) for each in wanted.threshold_watts]
        self._pace = Pace(wanted.interval)

    def drafts(self, snapshot: Snapshot) -> list[Draft]:
        """Crossings first, so that the last id that a client has seen is that of the newest update."""
        payload, total, completeness = self._view.payload(snapshot)
        made = []
        for threshold in self._thresholds:
            crossing = threshold.look(total, completeness)
            if crossing is not None:
                told = {
                    "threshold_watts": crossing.threshold,
                    "clear_below_watts": watts(crossing.clear_below),
                    "total_power_watts": watts(crossing.total),
                }
                kind, about = f"threshold_{crossing.state}", f"threshold {crossing.threshold}"
                made.append(Draft(kind, {**payload, "data": told}, about, over=crossing.state == "resolved"))
        if self._pace.due(snapshot.timestamp):
            made.append(Draft("power_update", payload))
        return made


class Channel:
    """One filter: its view, the ring of its past events, and its readers.

    `since` is the number of the last event of the whole program that came before this channel: a reader who has seen
    that one has missed nothing that is not in the ring.
    """

    def __init__(self, view: View, epoch: str, since: int, *, latest_only: bool) -> None:
        self._view, self._epoch, self._since = view, epoch, since
        self.latest_only = latest_only
        self.readers: set[Reader] = set()
        self.idle_since: float | None = None
        self.made_of: Snapshot | None = None
        self._ring: deque[Event] = deque()
        self._ring_bytes = 0
        self._state: dict[str, Event] = {}

    def make(self, snapshot: Snapshot, number: Callable[[], int]) -> list[Event]:
        """The events of one snapshot, numbered and serialised. Runs in a thread, one call at a time."""
        self.made_of = snapshot
        try:
            return [self._event(draft, number()) for draft in self._view.drafts(snapshot)]
        except Exception:  # a defect costs this channel its event, and no other channel anything
            log.exception("the events of a stream could not be made")
            return []

    def _event(self, draft: Draft, sequence: int) -> Event:
        name = f"{self._epoch}-{sequence}"
        data = orjson.dumps({"type": draft.type, "id": name, **draft.payload})
        frame = b"id: %s\nevent: %s\ndata: %s\n\n" % (name.encode(), draft.type.encode(), data)
        return Event(sequence, draft, data, frame)

    def keep(self, events: list[Event]) -> None:
        """Remember new events, for readers who come or come back."""
        for event in events:
            self._state.pop(event.draft.about, None)
            if not event.draft.over:
                self._state[event.draft.about] = event
            self._ring.append(event)
            self._ring_bytes += len(event.frame)
            while len(self._ring) > 1 and (
                self.latest_only or len(self._ring) > RING_EVENTS or self._ring_bytes > RING_BYTES
            ):
                gone = self._ring.popleft()
                self._ring_bytes -= len(gone.frame)
                self._since = gone.sequence

    async def hand_out(self, events: list[Event]) -> None:
        """Offer events that are kept to every reader, a slice of them at a time: others have work to do as well."""
        for event in events:
            for number, reader in enumerate(tuple(self.readers), 1):
                if reader in self.readers and reader.seen < event.sequence:
                    reader.offer(event, latest_only=self.latest_only)
                if number % _SLICE == 0:
                    await asyncio.sleep(0)

    @property
    def newest(self) -> int:
        """Number of the last event that is kept."""
        return self._ring[-1].sequence if self._ring else self._since

    def missed(self, sequence: int) -> list[Event] | None:
        """Every event after a number; None when some of them are not kept any more."""
        if self.latest_only or sequence < self._since:
            return None
        return [event for event in self._ring if event.sequence > sequence]

    def state(self) -> list[Event]:
        """What a new reader needs to know: the thresholds that stand exceeded, and the newest update."""
        return sorted(self._state.values(), key=lambda event: event.sequence)


def gap(reason: str, timestamp: float) -> Event:
    """What tells a reader who came back that events are lost to it. It has no id: there is nothing to resume at."""
    draft = Draft("gap", {"timestamp": rfc3339(timestamp), "data": {"reason": reason}})
    data = orjson.dumps({"type": draft.type, **draft.payload})
    return Event(0, draft, data, b"event: gap\ndata: %s\n\n" % data)
