"""Tally: rows of history gathered into the cells of an answer. numpy over columns; pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kcloud_exporter.history.columns import Readings
from kcloud_exporter.history.series import Question, Series, check_cells
from kcloud_exporter.model import Floats, Rows


class _Labels:
    """Label tuple → row, over all the pieces of an answer."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []
        self._index: dict[tuple[str, ...], int] = {}

    def rows_of(self, labels: list[tuple[str, ...]]) -> Rows:
        """The row of each label tuple; new ones get a new row."""
        return np.array([self._row(key) for key in labels], np.int32)

    def _row(self, key: tuple[str, ...]) -> int:
        row = self._index.get(key)
        if row is None:
            row = self._index[key] = len(self.rows)
            self.rows.append(key)
        return row


def _grown(array: Floats, rows: int, fill: float) -> Floats:
    """The array with at least `rows` rows, with room to spare."""
    if rows <= len(array):
        return array
    more = np.full((max(rows, 2 * len(array)) - len(array), *array.shape[1:]), fill)
    return np.concatenate([array, more])


class SeriesTally:
    """The cells of one answer: S × T. Means for gauges, last readings for counters."""

    def __init__(self, asked: Question) -> None:
        self._asked = asked
        self._labels = _Labels()
        self._value = np.zeros((0, asked.points))
        self._weight = np.zeros((0, asked.points))  # gauges: how many rows; counters: time of the last one

    def add(self, some: Readings) -> None:
        """Take in rows. Raises HistoryError when the answer grows too large."""
        rows = self._labels.rows_of(some.labels)
        check_cells(len(self._labels.rows), self._asked.points)
        self._value = _grown(self._value, len(self._labels.rows), 0.0)
        self._weight = _grown(self._weight, len(self._labels.rows), 0.0)
        step = step_of(some.times, self._asked)
        inside = (step >= 0) & (step < self._asked.points)
        at, step, times, values = rows[some.series[inside]], step[inside], some.times[inside], some.values[inside]
        if self._asked.family.type == "counter":
            order = np.argsort(times, kind="stable")
            at, step, times, values = at[order], step[order], times[order], values[order]
            newer = times >= self._weight[at, step]
            # Where an index stands twice, numpy keeps the last assignment: the newest, for they are sorted.
            self._value[at[newer], step[newer]] = values[newer]
            self._weight[at[newer], step[newer]] = times[newer]
        else:
            np.add.at(self._value, (at, step), values)
            np.add.at(self._weight, (at, step), 1.0)

    def series(self) -> Series:
        """The answer, its series sorted by labels."""
        count = len(self._labels.rows)
        value, weight = self._value[:count], self._weight[:count]
        divisor = weight if self._asked.family.type == "gauge" else np.ones_like(weight)
        with np.errstate(divide="ignore", invalid="ignore"):
            cells = np.where(weight > 0, value / divisor, np.nan)
        known = np.flatnonzero((weight > 0).any(axis=1)).tolist()
        order = sorted(known, key=self._labels.rows.__getitem__)
        return Series(
            family=self._asked.family,
            labels=[self._labels.rows[at] for at in order],
            timestamps=self._asked.timestamps,
            values=cells[order],
            step=self._asked.step,
        )


class IncreaseTally:
    """How far each counter came in each step. Rows come in order of time per series; older ones tell nothing new."""

    def __init__(self, asked: Question, stood: Mapping[tuple[str, ...], float]) -> None:
        self._asked, self._stood = asked, stood
        self._labels = _Labels()
        self._came = np.zeros((0, asked.points))
        self._seen = np.zeros((0, asked.points))
        self._last = np.zeros(0)
        self._time = np.zeros(0)
        self._known: list[tuple[str, ...]] = []

    def add(self, some: Readings) -> None:
        """Take in rows, some of which may lie before the start: they say where a counter stood then.

        Raises HistoryError when the answer grows too large.
        """
        rows = self._labels.rows_of(some.labels)
        count = len(self._labels.rows)
        check_cells(count, self._asked.points)
        self._came, self._seen = _grown(self._came, count, 0.0), _grown(self._seen, count, 0.0)
        known = len(self._known)
        self._known += self._labels.rows[known:]
        self._last, self._time = _grown(self._last, count, np.nan), _grown(self._time, count, -np.inf)
        self._last[known:count] = [self._stood.get(key, np.nan) for key in self._known[known:]]
        order = np.lexsort((some.times, some.series))
        at, times, values = rows[some.series[order]], some.times[order], some.values[order]
        newer = times > self._time[at]
        at, times, values = at[newer], times[newer], values[newer]
        if not len(at):
            return
        first = np.append(True, at[1:] != at[:-1])
        before = np.where(first, self._last[at], np.append(np.nan, values[:-1]))
        # A counter that fell began anew; one without an earlier reading has only now begun to be counted.
        came = np.where(np.isnan(before), 0.0, np.where(values >= before, values - before, values))
        step = step_of(times, self._asked)
        inside = (step >= 0) & (step < self._asked.points)
        np.add.at(self._came, (at[inside], step[inside]), came[inside])
        self._seen[at[inside], step[inside]] = 1.0
        last = np.append(at[1:] != at[:-1], True)
        self._last[at[last]], self._time[at[last]] = values[last], times[last]

    def standing(self) -> dict[tuple[str, ...], float]:
        """Where each counter stands at the end."""
        return dict(zip(self._known, self._last[: len(self._known)].tolist(), strict=True))

    def series(self) -> Series:
        """S × T: what came in each step, NaN where nothing was read in it; sorted by labels."""
        count = len(self._labels.rows)
        seen = self._seen[:count] > 0
        known = np.flatnonzero(seen.any(axis=1)).tolist()
        order = sorted(known, key=self._labels.rows.__getitem__)
        return Series(
            family=self._asked.family,
            labels=[self._labels.rows[at] for at in order],
            timestamps=self._asked.timestamps,
            values=np.where(seen, self._came[:count], np.nan)[order],
            step=self._asked.step,
        )


def step_of(times: Floats, asked: Question) -> NDArray[np.int64]:
    """The step whose interval holds each time; outside the window: negative, or `points` and above."""
    found: NDArray[np.int64] = np.ceil((times - asked.start) / asked.step - 1e-9).astype(np.int64) - 1
    return found
