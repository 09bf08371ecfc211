"""Intake: what a source does with answers, once they are here. One thread, one order, no network.

Which row a series gets depends on the order in which answers are read, and the order of rows is the order of every
sum. So all that a source learns goes through the steps below, one after the other; who notes them down (`tape`)
and does them again in the same order has the same tables and the same samples, to the last bit.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from kcloud_exporter.errors import RejectReason, SourceError
from kcloud_exporter.model import Compaction, Labels, Mask, Scrape, SeriesTable
from kcloud_exporter.sources.base import LastSeen
from kcloud_exporter.sources.exposition import Parsed, ParseLimits, SeriesIndex, parse_text
from kcloud_exporter.sources.http import Decoding, Fetched, status_error
from kcloud_exporter.sources.prometheus_json import error_text, parse_vector
from kcloud_exporter.sources.series import columns

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Begun:
    """A collect began."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer was read, whether or not it was understood. `part` tells what it answers: a target, a page, a query."""

    part: int
    fetched: Fetched


@dataclass(frozen=True, slots=True)
class Joined:
    """The answers of some earlier steps were put together to one."""

    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Compacted:
    """Dead series were looked for, and dropped if they were many."""


Step: TypeAlias = Begun | Answered | Joined | Compacted
Tape: TypeAlias = Callable[[Step], None]
"""Hears of each step before it is done, in the thread that does it."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What step number `step` made of an answer: columns over the rows of `table`; `size` is in bytes of text."""

    step: int
    parsed: Parsed
    table: SeriesTable
    size: int

    def scrape(self, cluster: str, source: str, received_at: float, duration_seconds: float) -> Scrape:
        """The outcome that this is, with what only its asker knows."""
        return Scrape(
            cluster=cluster,
            source=source,
            table=self.table,
            rows=self.parsed.rows,
            values=self.parsed.values,
            timestamps=self.parsed.timestamps,
            received_at=received_at,
            duration_seconds=duration_seconds,
            body_bytes=self.size,
            rejected=self.parsed.rejected,
            step=self.step,
        )


class Intake:
    """The series table of one source, and its steps. Not thread-safe: do them in `run`, or alone."""

    def __init__(self, name: str, indexes: Sequence[SeriesIndex], table: SeriesTable, body_bytes: int) -> None:
        self.tape: Tape | None = None
        self.table = table
        self.body_bytes = body_bytes
        self._indexes = tuple(indexes)
        self._seen = LastSeen(len(indexes))
        self._steps = 0
        # Of its own, not the loop's default one, which fills up with name look-ups that hang.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"parse-{name}")

    async def run(self, job: Callable[[], _T]) -> _T:
        """Do some of the steps below in the one thread, after those that wait there already."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, job)

    def soon(self, job: Callable[[], object]) -> None:
        """`run` for callers that need not know when it is done, nor what came of it."""
        self._worker.submit(job)

    def wait_for(self, job: Callable[[], _T]) -> _T:
        """`run` for callers that are no coroutines."""
        return self._worker.submit(job).result()

    def close(self) -> None:
        """End the thread after the step that it is at."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def begin(self) -> None:
        """Note that a collect begins."""
        self._note(Begun)
        self._seen.begin()

    def answer(self, part: int, fetched: Fetched) -> Understood:
        """Read one answer. Raises SourceError."""
        raise NotImplementedError

    def join(self, steps: Sequence[int]) -> Understood:
        """Put the answers of several steps together to one."""
        raise NotImplementedError

    def compact(self, needed: Mask) -> Compaction | None:
        """See `Source.compact`."""
        self._note(Compacted)
        found = self._seen.compacted(self.table, needed)
        if found is not None:
            self.table = found.table
            for index in self._indexes:
                index.move(found.table, found.rows)
        return found

    def _note(self, step: Callable[[], Step]) -> int:
        """Count a step and put it on the tape, if there is one. Returns its number."""
        self._steps += 1
        if self.tape is not None:
            self.tape(step())
        return self._steps


class ExporterIntake(Intake):
    """Answers of targets that share one series table; `part` is the number of the target."""

    def __init__(
        self, name: str, wanted: Callable[[str], bool], labels: Sequence[Labels], limits: ParseLimits, body_bytes: int
    ) -> None:
        table = SeriesTable()
        super().__init__(name, [SeriesIndex(table, wanted, of, limits) for of in labels], table, body_bytes)

    def answer(self, part: int, fetched: Fetched) -> Understood:
        """Read the page of one target. Raises SourceError."""
        step = self._note(lambda: Answered(part, fetched))
        body = Decoding(fetched, self.body_bytes)
        media_type = fetched.content_type.partition(";")[0].strip().lower()
        parsed = parse_text(body, self._indexes[part], openmetrics=media_type == "application/openmetrics-text")
        self._seen.note(part, parsed.rows, len(self.table))
        return Understood(step, parsed, self.table, body.size)


class PrometheusIntake(Intake):
    """Answers of one Prometheus: pages of /federate are parts 0, 1, 2 ..., queries are parts -1, -2, -3 ..."""

    def __init__(self, name: str, wanted: Callable[[str], bool], limits: ParseLimits, body_bytes: int) -> None:
        table = SeriesTable()
        super().__init__(name, [SeriesIndex(table, wanted, {}, limits)], table, body_bytes)
        self._answers: dict[int, Understood] = {}

    def begin(self) -> None:
        """See `Intake.begin`. What was left over of the last collect is forgotten."""
        super().begin()
        self._answers.clear()

    def answer(self, part: int, fetched: Fetched) -> Understood:
        """Read one page, or the answer of one query. Raises SourceError."""
        step = self._note(lambda: Answered(part, fetched))
        body, (index,) = Decoding(fetched, self.body_bytes), self._indexes
        if part >= 0:
            parsed = parse_text(body, index, openmetrics=False, page=part)
        elif fetched.status == 200:
            parsed = parse_vector(b"".join(body), index, part)
        else:
            text = error_text(b"".join(body))
            raise status_error(fetched.status) if text is None else SourceError("query_error", text)
        understood = self._answers[step] = Understood(step, parsed, self.table, body.size)
        return understood

    def join(self, steps: Sequence[int]) -> Understood:
        """All parts of one collect as one answer. A series that two parts have shown is kept once."""
        step = self._note(lambda: Joined(tuple(steps)))
        answers = [self._answers[number] for number in steps]
        self._answers.clear()
        parsed = _joined([answer.parsed for answer in answers], self._indexes[0])
        self._seen.note(0, parsed.rows, len(self.table))
        return Understood(step, parsed, self.table, sum(answer.size for answer in answers))


def _joined(parts: Sequence[Parsed], index: SeriesIndex) -> Parsed:
    rejected: Counter[RejectReason] = Counter()
    for part in parts:
        rejected.update(part.rejected)
    stamps = [np.full(len(p.rows), np.nan) if p.timestamps is None else p.timestamps for p in parts]
    joined = columns(
        index,
        np.concatenate([p.rows for p in parts]),
        np.concatenate([p.values for p in parts]),
        np.concatenate(stamps),
    )
    rejected.update(joined.rejected)
    warnings = tuple(dict.fromkeys(text for part in parts for text in part.warnings))
    return Parsed(joined.rows, joined.values, joined.timestamps, dict(rejected), warnings)
