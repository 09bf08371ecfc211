"""Work: what was done for the energy, counted from the sources' own counters (tokens, requests, frames, ...).

    units += scale * (v - before)     while the counter rises
    units += scale * v                when it began anew: a fall is a restart, and v is what was done since

Energy never takes the second step, because a power meter's counter wraps and is set back for many reasons; a
counter of work begins anew with its process, at zero. A fall by less than an eighth is none: two replicas behind
one address answer in turn, and nothing is added until the higher mark is passed. The first sample of a counter is
where counting begins, and adds nothing: what was done before nobody saw. Nor is work counted over a time longer
than max_staleness in which its counter was not seen, as no energy is: the quotient of both stays right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from kcloud_exporter.model import Floats, Keys, Mask, Rows, Table
from kcloud_exporter.readings import NEVER, Interned, Work, WorkTable

_T = TypeVar("_T", bound=np.generic)
_HICCUP: Final = 1 / 8
_LATE_SECONDS: Final = 60.0
"""An older sample is a late one for so long; after that its clock has been set back."""


class WorkBook:
    """The marks up to which the counters of one cluster are counted, and who is believed of several tellers.

    `marks` are those of an earlier process, `away` the seconds since it wrote them.
    """

    def __init__(self, marks: Mapping[tuple[str, ...], float] | None = None, away: float = 0.0) -> None:
        self._away, self._now, self._longest = away, NEVER, np.inf
        self._series: Interned[tuple[str, ...]] = Interned()
        for key in marks or {}:
            self._series.row(key)
        self._mark = np.array(list((marks or {}).values()), np.float64)
        self._time = np.full(len(self._mark), np.nan)
        self._moved, self._noted = np.full(len(self._mark), NEVER), np.full(len(self._mark), NEVER)
        self._begin(WorkTable(), "")

    def _begin(self, table: WorkTable, cluster: str) -> None:
        """A table is another: rows of series are found by their keys, and tellers are chosen anew."""
        self._table, self._cluster, self._keys = table, cluster, Keys()
        self._row_of = np.empty(0, np.int32)
        self._since, self._seen = np.empty(0), np.empty(0)
        self._teller = np.empty(0, np.int32)

    def count(self, work: Work, cluster: str, now: float, longest: float) -> Table:
        """Units that were done since the last cycle, per (cluster, namespace, pod, unit); NaN where nobody tells.

        `now` is monotonic; `longest` the seconds after which what is unseen is not counted.
        """
        if self._now == NEVER:  # the first cycle of this process
            self._noted[:] = now if self._away <= longest else NEVER
        self._now, self._longest = now, longest
        if work.table is not self._table:
            self._begin(work.table, cluster)
        self._follow()
        present = np.flatnonzero(~np.isnan(work.value))
        done = self._advance(self._row_of[present], work.value[present], work.time[present])
        view = self._table.series_view.view[present]
        self._since += np.bincount(view, done, len(self._since))
        heard: Mask = now - self._seen <= longest  # before this cycle: who was silent too long has lost its turn
        self._seen[view] = now
        return Table(self._keys, self._told(heard))

    def _follow(self) -> None:
        """Take in the series, views, things and jobs that are new in the table."""
        table = self._table
        fresh = table.series.keys[len(self._row_of) :]
        self._row_of = np.append(self._row_of, np.array([self._series.row(k)[0] for k in fresh], np.int32))
        self._mark = _longer(self._mark, len(self._series), np.nan)
        self._time = _longer(self._time, len(self._series), np.nan)
        self._moved = _longer(self._moved, len(self._series), NEVER)
        self._noted = _longer(self._noted, len(self._series), NEVER)
        self._since = _longer(self._since, len(table.views), 0.0)
        self._seen = _longer(self._seen, len(table.views), NEVER)
        self._teller = _longer(self._teller, len(table.things), -1)
        self._keys.rows.extend((self._cluster, *job) for job in table.jobs.keys[len(self._keys) :])

    def _advance(self, rows: Rows, value: Floats, time: Floats) -> Floats:
        """Move the marks of some series to their new values. Returns how much each has counted meanwhile."""
        mark, elapsed, ours = self._mark[rows], time - self._time[rows], self._now - self._noted[rows]
        fresh = ~np.isnan(mark) & (ours <= self._longest)
        with np.errstate(invalid="ignore"):
            late = fresh & (elapsed < 0) & (self._now - self._moved[rows] < _LATE_SECONDS)
            fell = value < mark
            anew = value < (1 - _HICCUP) * mark
            step = np.where(fell, np.where(anew, value, 0.0), value - mark)
        moved = ~(late | (fresh & fell & ~anew))
        self._mark[rows[moved]], self._time[rows[moved]] = value[moved], time[moved]
        self._moved[rows[moved]], self._noted[rows] = self._now, self._now
        return np.where(fresh & moved, step, 0.0)

    def _told(self, heard: Mask) -> Floats:
        """Units per job by the teller that is believed: one keeps being so until it has been silent too long.

        A successor brings what it has counted since the last word of the one before, so nothing counts twice; of
        several the one that has counted most has watched longest. `heard` says which views were not silent too long.
        """
        table, things = self._table, len(self._table.things)
        thing, alive = table.view_thing.view, self._now - self._seen <= self._longest
        speaking = np.flatnonzero(self._seen == self._now)[::-1]
        speaking = speaking[np.argsort(self._since[speaking], kind="stable")]
        successor = np.full(things, -1, np.int32)
        successor[thing[speaking]] = speaking
        known = self._teller >= 0
        stays: Mask = known & heard[self._teller] if len(heard) else known
        self._teller = np.where(stays, self._teller, successor).astype(np.int32)
        speaks = np.flatnonzero(self._teller >= 0)
        speaks = speaks[self._seen[self._teller[speaks]] == self._now]
        units = self._since[self._teller[speaks]] * table.thing_scale.view[speaks]
        spoken = np.zeros(things, bool)
        spoken[speaks] = True
        self._since[spoken[thing]] = 0.0
        jobs = len(table.jobs)
        total = np.bincount(table.thing_job.view[speaks], units, jobs)
        shown = np.bincount(table.thing_job.view[thing[alive]], minlength=jobs) > 0
        return np.where(shown, total, np.nan)

    def marks(self) -> tuple[list[tuple[str, ...]], Floats]:
        """What the next process needs to go on: series and their marks, NaN for one that is no longer seen."""
        recent = np.zeros(len(self._mark), bool)
        if self._now != NEVER:
            recent = self._now - self._noted <= self._longest
        return list(self._series.keys), np.where(recent, self._mark, np.nan)

    def forget(self) -> None:
        """Drop the marks of series that have not been seen for longer than counts."""
        if self._now == NEVER:
            return
        kept = np.flatnonzero(self._now - self._noted <= self._longest)
        keys, self._series = self._series.keys, Interned()
        for at in kept.tolist():
            self._series.row(keys[at])
        self._mark, self._time = self._mark[kept], self._time[kept]
        self._moved, self._noted = self._moved[kept], self._noted[kept]
        self._row_of = np.empty(0, np.int32)


def _longer(column: NDArray[_T], size: int, filling: float) -> NDArray[_T]:
    return np.append(column, np.full(size - len(column), filling, column.dtype)) if size > len(column) else column
