"""Recorder: listens to the intakes of all sources and to the pipeline, and puts what happens on the tape in order."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from kcloud_exporter import __version__
from kcloud_exporter.config.schema import Config
from kcloud_exporter.config.writing import config_yaml
from kcloud_exporter.errors import RecordingError
from kcloud_exporter.model import Outcome, Scrape
from kcloud_exporter.pipeline import Pipeline
from kcloud_exporter.recording import events
from kcloud_exporter.recording.events import Event
from kcloud_exporter.recording.matching import kind_of
from kcloud_exporter.recording.scrub import scrubber
from kcloud_exporter.recording.tape import Tape
from kcloud_exporter.sources import intake
from kcloud_exporter.sources.base import Source

PROGRAM: Final = f"kcloud-exporter {__version__}"


class Recorder:
    """Owns the tape. What it hears of comes from several threads; an error is kept, and told by `check`."""

    def __init__(
        self, tape: Tape, config: Config, vendors: Mapping[str, str], sources: Sequence[Source], pipeline: Pipeline
    ) -> None:
        """Begin a recording. `vendors` are the further vendor tables: name of file → text. Raises RecordingError."""
        self._tape, self._config = tape, config
        self._lock = threading.Lock()
        self._error: RecordingError | None = None
        self._open = True
        self._events = 0
        self._cycles = 0
        self.pages = 0
        self._numbers = {(s.cluster, name): number for number, s in enumerate(sources) for name in s.names}
        of = tuple(events.SourceOf(source.cluster, kind_of(source), source.names) for source in sources)
        head = events.Head(events.SCHEMA, PROGRAM, time.time(), of, tuple(vendors))
        tape.add("recording.json", msgspec.json.format(msgspec.json.encode(head)))
        tape.add("config.yaml", config_yaml(config).encode())
        for name, text in vendors.items():
            tape.add(f"vendors/{name}", text.encode())
        for number, source in enumerate(sources):
            source.intake.tape = partial(self._step, number)
        pipeline.tape = self._cycle

    def check(self) -> None:
        """Raises the RecordingError that a write has met, if any."""
        if self._error is not None:
            raise self._error

    def page(self, now: float, page: bytes) -> None:
        """The page of the cycle that was done last. CPU-bound. Raises RecordingError."""
        packed = gzip.compress(page, 1, mtime=0)
        digest = hashlib.sha256(page).hexdigest()
        self._put(events.Page(self._cycles, now, digest, len(packed), zlib.crc32(packed)), packed)
        self.check()
        self.pages += 1
        with self._lock:
            self._tape.sync()

    def close(self) -> None:
        """End the recording. What happens from now on is not heard. Raises RecordingError."""
        self._put(events.End(self.pages))
        with self._lock:
            self._open = False
            self._tape.close()

    def _step(self, source: int, step: intake.Step) -> None:
        match step:
            case intake.Begun():
                self._put(events.Begun(source))
            case intake.Answered(part=part, fetched=fetched):
                # Of an error nothing but its status changes anything, and errors like to repeat what was sent.
                body = fetched.raw if fetched.status == 200 else b""
                answer = events.Answer(
                    source=source,
                    part=part,
                    status=fetched.status,
                    encoding=fetched.encoding,
                    content_type=fetched.content_type,
                    is_framed=fetched.is_framed,
                    size=len(body),
                    crc32=zlib.crc32(body),
                )
                self._put(answer, body)
            case intake.Joined(steps=steps):
                self._put(events.Joined(source, steps))
            case intake.Compacted():
                self._put(events.Compacted(source))

    def _cycle(self, outcomes: Mapping[str, Sequence[Outcome]], now: float, monotonic: float) -> None:
        self._cycles += 1
        scrubbed = scrubber(self._config)
        found = [self._outcome(outcome, scrubbed) for of in outcomes.values() for outcome in of]
        self._put(events.Cycle(self._cycles, now, monotonic, tuple(found)))

    def _outcome(self, outcome: Outcome, scrubbed: Callable[[str], str]) -> events.Got | events.Failed:
        number = self._numbers[outcome.cluster, outcome.source]
        if isinstance(outcome, Scrape):
            return events.Got(number, outcome.source, outcome.step, outcome.received_at, outcome.duration_seconds)
        message = scrubbed(outcome.message).encode(errors="replace").decode()
        return events.Failed(number, outcome.source, outcome.reason, message, outcome.duration_seconds)

    def _put(self, event: Event, body: bytes = b"") -> None:
        """Write one event. After an error nothing more is written: a recording has no holes."""
        with self._lock:
            if self._error is not None or not self._open:
                return
            self._events += 1
            name = f"{self._events:09d}-{events.kind_of(event)}"
            try:
                self._tape.add(f"{name}.json", msgspec.json.encode(event) + b"\n")
                if suffix := events.body_suffix(event):
                    self._tape.add(f"{name}{suffix}", body)
            except RecordingError as exc:
                self._error = exc
