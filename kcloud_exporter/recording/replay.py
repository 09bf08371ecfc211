"""Replay: the recorded answers through the same intakes in the same order, and the same clocks through the same
pipeline. Without network, threads or waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kcloud_exporter.config.schema import Config
from kcloud_exporter.errors import ConfigError, RecordingError, SourceError
from kcloud_exporter.model import Failure, Outcome, Snapshot
from kcloud_exporter.pipeline import Pipeline
from kcloud_exporter.pipeline.building import build_sources, check_vendors
from kcloud_exporter.recording import events
from kcloud_exporter.recording.configuration import of_this_shard, recorded_config
from kcloud_exporter.recording.matching import Matched, matched, unasked
from kcloud_exporter.recording.reading import Placed, Recording, open_recording
from kcloud_exporter.sources.http import Fetched
from kcloud_exporter.sources.intake import Understood
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.telemetry import Telemetry
from kcloud_exporter.vendors.loading import load_vendors

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One cycle computed again, and the page that was recorded of it: its checksum, and its text as a gzip file.

    `position` is where its end stands in the file.
    """

    cycle: int
    snapshot: Snapshot
    sha256: str
    recorded: bytes
    position: int


class Replay:
    """A recording that is being computed again. `pipeline` stands where the last cycle has left it."""

    def __init__(self, recording: Recording, config: Config | None = None) -> None:
        """`config` instead of the recorded one asks "what if": its sources must be the recorded ones.

        Raises RecordingError, and ConfigError for a configuration that does not fit.
        """
        self.recording = recording
        before = recorded_config(recording)
        self.config = of_this_shard(config or before)
        vendors = recorded = load_vendors(texts=recording.vendors)
        if self.config.vendors_dir is not None:
            vendors = load_vendors(Path(self.config.vendors_dir))
        if problems := check_vendors(self.config, vendors):
            raise ConfigError(problems)
        self.unasked = unasked((before, recorded), (self.config, vendors))
        sources = build_sources(self.config, vendors)
        self._sources: list[Matched] = matched(recording, sources)
        began = recording.head.begun
        self.pipeline = Pipeline(self.config, vendors, sources, Telemetry(), counters=Counters(None, began))
        self._understood: list[dict[int | None, Understood]] = [{} for _ in self._sources]

    def cycles(self) -> Iterator[Replayed]:
        """Compute one cycle after the other. Once only. Raises RecordingError."""
        snapshot: Snapshot | None = None
        for placed in self.recording.events():
            match placed.event:
                case events.Cycle() as cycle:
                    outcomes = self._outcomes(cycle, placed.place)
                    snapshot = self.pipeline.cycle(outcomes, cycle.now, cycle.monotonic)
                case events.Page() as page:
                    if snapshot is None or self.pipeline.cycles != page.cycle:
                        raise RecordingError(f"{placed.place}: a page of cycle {page.cycle}, which is not there")
                    yield Replayed(page.cycle, snapshot, page.sha256, placed.body, placed.end)
                case events.End():
                    return
                case _:
                    self._step(placed)

    def _step(self, placed: Placed) -> None:
        """Do one step of a source again. What it could not understand then, it cannot now."""
        event = placed.event
        if not isinstance(event, events.Begun | events.Answer | events.Joined | events.Compacted):
            return
        source = self._source(event.source, placed.place)
        intake, understood = source.source.intake, self._understood[event.source]
        if isinstance(event, events.Begun) and source.recorded.kind == "prometheus":
            understood.clear()
        if isinstance(event, events.Joined):
            there = {of.step for part, of in understood.items() if part is not None}
            if source.recorded.kind != "prometheus" or not event.steps or not there.issuperset(event.steps):
                raise RecordingError(f"{placed.place}: there is nothing of the kind to join")
        if isinstance(event, events.Answer):
            part = source.part(event.part, placed.place)
        try:
            match event:
                case events.Begun():
                    intake.begin()
                case events.Compacted():
                    self.pipeline.compact(source.source, intake.compact)
                case events.Joined(steps=steps):
                    understood[None] = intake.join(steps)
                case events.Answer():
                    understood.pop(part, None)
                    understood[part] = intake.answer(part, _fetched(event, placed.body))
        except SourceError:
            pass  # it failed then as well: the cycle has a Failure for it
        except Exception:
            log.exception("a step failed with a defect, as it may have done then", extra={"detail": placed.place})

    def _outcomes(self, cycle: events.Cycle, place: str) -> dict[str, Sequence[Outcome]]:
        outcomes: dict[str, list[Outcome]] = {name: [] for name in self.pipeline.clusters}
        by_step = [{of.step: of for of in understood.values()} for understood in self._understood]
        for told in cycle.outcomes:
            source = self._source(told.source, place).source
            if told.name not in source.names:
                raise RecordingError(f"{place}: source {told.source} has no endpoint {told.name!r}")
            outcome: Outcome
            if isinstance(told, events.Failed):
                outcome = Failure(source.cluster, told.name, told.reason, told.message, told.duration_seconds)
            else:
                found = by_step[told.source].get(told.step)
                if found is None:
                    raise RecordingError(f"{place}: step {told.step} of source {told.source} gave no answer")
                outcome = found.scrape(source.cluster, told.name, told.received_at, told.duration_seconds)
            outcomes[source.cluster].append(outcome)
        return dict(outcomes)

    def _source(self, number: int, place: str) -> Matched:
        if not 0 <= number < len(self._sources):
            raise RecordingError(f"{place}: there is no source {number}")
        return self._sources[number]


def replay_to(path: Path, cycle: int | None = None, config: Config | None = None) -> tuple[Replay, Replayed]:
    """Compute a recording again up to a cycle (from 1 on; the last one by default), and where it stands then.

    Pages are not compared. Raises RecordingError, and ConfigError as `Replay` does.
    """
    recording = open_recording(path)
    replay = Replay(recording, config)
    last = cycle_in(recording, cycle)
    return replay, next(replayed for replayed in replay.cycles() if replayed.cycle == last)


def cycle_in(recording: Recording, cycle: int | None) -> int:
    """A cycle that the recording has; the last one for None. Raises RecordingError."""
    if not recording.pages:
        raise RecordingError(f"{recording.path} holds no whole cycle")
    if cycle is not None and not 1 <= cycle <= len(recording.pages):
        raise RecordingError(f"{recording.path} has cycles 1 to {len(recording.pages)}, and no cycle {cycle}")
    return cycle or len(recording.pages)


def _fetched(answer: events.Answer, body: bytes) -> Fetched:
    return Fetched(answer.status, body, answer.encoding, answer.content_type, answer.is_framed)
