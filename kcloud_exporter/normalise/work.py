"""Work: counters of what is done for the energy, such as generated tokens, as the sources show them.

What a row means depends on its labels alone and never on a node's name, so this table outlives a rebuild of the
engine. Nothing is counted here: counters only get their names, and samples that are no numbers are rejected.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kcloud_exporter.errors import RejectReason
from kcloud_exporter.model import Compaction, Floats, Labels, Rows, SeriesTable
from kcloud_exporter.normalise.identity import first
from kcloud_exporter.normalise.spreading import Dense
from kcloud_exporter.readings import Grow, Interned, Work, WorkTable


@dataclass(frozen=True, slots=True)
class WorkMeter:
    """One configured counter: the series `metric` with these labels counts `unit`, `scale` of it per step.

    `namespace` and `pod` are candidates: the first label that is not empty says whose work it is.
    """

    unit: str
    metric: str
    labels: Mapping[str, str]
    scale: float
    namespace: tuple[str, ...]
    pod: tuple[str, ...]

    def matches(self, labels: Labels) -> bool:
        """Whether a series of that name is meant; an absent label counts as empty, as in Prometheus."""
        return all(labels.get(name, "") == value for name, value in self.labels.items())


@dataclass(slots=True)
class _State:
    """One source's series table: which of its rows are counters of work, and by which source each was first told.

    `lineage` stays when the table is compacted.
    """

    table: SeriesTable
    lineage: int
    compiled: int = 0
    told_by: dict[int, str] = field(default_factory=dict)
    rows: Grow[np.int32] = field(default_factory=lambda: Grow(np.int32))
    series: Grow[np.int32] = field(default_factory=lambda: Grow(np.int32))


class WorkCounters:
    """The counters of work of one cluster."""

    def __init__(self, meters: Sequence[WorkMeter] = ()) -> None:
        self.table = WorkTable()
        self._meters: dict[str, list[tuple[int, WorkMeter]]] = {}
        for number, meter in enumerate(meters):
            self._meters.setdefault(meter.metric, []).append((number, meter))
        self._states: dict[int, _State] = {}
        self._lineages = 0
        self._tellers: Interned[tuple[int, str]] = Interned()
        self._cycle: list[tuple[Rows, Floats, Floats]] = []
        self._outdated = False

    def begin(self) -> None:
        """A new cycle: nothing is known of it yet. What sources have dropped leaves the table."""
        self._cycle = []
        if self._outdated:
            self.table, self._outdated = WorkTable(), False
            for state in self._states.values():
                state.rows, state.series = Grow(np.int32), Grow(np.int32)
                for row, source in state.told_by.items():
                    self._bind(state, row, source)

    def take(
        self, table: SeriesTable, dense: Dense, row_source: Rows, sources: Sequence[str]
    ) -> list[tuple[RejectReason, Rows]]:
        """Take in one table's samples of this cycle. Returns the rows that are no counts, by reason."""
        if not self._meters:
            return []
        state = self._states.get(id(table))
        if state is None:
            self._lineages += 1
            state = self._states[id(table)] = _State(table, self._lineages)
        if state.compiled < len(dense.values):
            self._compile(state, len(dense.values), row_source, sources)
        rows = state.rows.view[dense.present[state.rows.view]]
        series = state.series.view[dense.present[state.rows.view]]
        values = dense.values[rows]
        finite = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            good = finite & (values >= 0)
        self._cycle.append((series[good], values[good], dense.timestamps[rows[good]]))
        found: tuple[tuple[RejectReason, Rows], ...] = (
            ("not_finite", rows[~finite]),
            ("negative", rows[finite & ~good]),
        )
        return [(reason, bad) for reason, bad in found if len(bad)]

    def follow(self, compaction: Compaction) -> None:
        """A source has dropped its dead series. Those that live on are still called as they were at first."""
        state = self._states.pop(id(compaction.old), None)
        if state is None:
            return
        moved = compaction.rows[list(state.told_by)].tolist()
        self._outdated |= -1 in moved
        state.told_by = {row: source for row, source in zip(moved, state.told_by.values(), strict=True) if row >= 0}
        rows = compaction.rows[state.rows.view]
        state.rows.become(rows[rows >= 0])
        state.series.keep(rows >= 0)
        state.compiled = compaction.living(state.compiled)
        state.table = compaction.table
        self._states[id(compaction.table)] = state

    def readings(self) -> Work:
        """This cycle's samples over all series."""
        value, time = np.full(len(self.table.series), np.nan), np.full(len(self.table.series), np.nan)
        for series, values, times in self._cycle:
            value[series], time[series] = values, times
        return Work(self.table, value, time)

    def _compile(self, state: _State, size: int, row_source: Rows, sources: Sequence[str]) -> None:
        """Up to the rows that answers have shown: the table itself may be growing at this very moment."""
        for row in range(state.compiled, size):
            if state.table.names[row] in self._meters:
                source = state.told_by[row] = sources[row_source[row]]
                self._bind(state, row, source)
        state.compiled = size

    def _bind(self, state: _State, row: int, source: str) -> None:
        labels = state.table.series(row)
        for number, meter in self._meters[state.table.names[row]]:
            if meter.matches(labels):
                state.rows.append(row)
                state.series.append(self._series(state.lineage, source, labels, number, meter))

    def _series(self, lineage: int, source: str, labels: Labels, number: int, meter: WorkMeter) -> int:
        table = self.table
        namespace, pod = first(labels, list(meter.namespace)), first(labels, list(meter.pod))
        job, _ = table.jobs.row((namespace, pod, meter.unit))
        # Without a pod's name the target's address tells one worker from the next.
        thing, new = table.things.row((number, job, "" if pod else labels.get("instance", "")))
        if new:
            table.thing_job.append(job)
            table.thing_scale.append(meter.scale)
        teller, _ = self._tellers.row((lineage, labels.get("job", "")))
        view, new = table.views.row((thing, teller))
        if new:
            table.view_thing.append(thing)
        series, new = table.series.row((source, meter.unit, json.dumps(labels, sort_keys=True, ensure_ascii=False)))
        if new:
            table.series_view.append(view)
        return series
