"""Recorder: snapshots in, one row per series and interval out. Belongs to one thread; knows no clock and no disk.

A gauge's row is the mean of the cycles of its interval to seven digits, which take half the space; a counter's row is
its last reading, in full. Rows carry the end of their interval. A counter that is seen for the first time leaves its
first reading too, so that its energy counts from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from kcloud_exporter.catalogue import FAMILIES, Family
from kcloud_exporter.history.kept import resolution
from kcloud_exporter.model import Floats, Keys, Mask, Rows, Snapshot, Table

_DEAD: Final = 4096
"""Rows of vanished things that may lie about before the labels of a family are collected anew."""
_FORGET: Final = 2 * 3600.0
"""Seconds after which the labels of a family that is shown no longer are let go of."""
KEPT: Final[dict[str, Family]] = {name: family for name, family in FAMILIES.items() if resolution(family)}


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one family of one cluster at one moment: `values[i]` belongs to `labels[at[i]]`."""

    family: Family
    cluster: str
    timestamp: float
    labels: list[tuple[str, ...]]
    at: Rows
    values: Floats


class _Interval:
    """The open interval of one family of one cluster."""

    def __init__(self, family: Family, cluster: str) -> None:
        self.family, self._cluster = family, cluster
        self._resolution = resolution(family) or 0.0
        self.end = self.last = -math.inf
        self._begin_rows()

    def _begin_rows(self) -> None:
        self._labels: list[tuple[str, ...]] = []
        self._index: dict[tuple[str, ...], int] = {}
        self._total: Floats = np.empty(0)
        self._count: Rows = np.empty(0, np.int32)
        self._known: Mask = np.empty(0, bool)
        self._keys: Keys | None = None
        self._rows: Rows = np.empty(0, np.int32)

    def add(self, table: Table, timestamp: float) -> Iterator[Block]:
        """Take in one cycle. Yields what is finished by it."""
        end = math.ceil(timestamp / self._resolution) * self._resolution
        if end != self.end:
            yield from self.close()
            self.end = end
        self.last = timestamp
        known = np.flatnonzero(~np.isnan(table.values))
        rows = self._rows_of(table.keys, len(table.values))[known]
        if self.family.type == "counter":
            self._total[rows], self._count[rows] = table.values[known], 1
            fresh = ~self._known[rows]
            if fresh.any():
                yield Block(
                    self.family, self._cluster, timestamp, self._labels, rows[fresh], table.values[known][fresh]
                )
        else:
            self._total[rows] += table.values[known]
            self._count[rows] += 1
        self._known[rows] = True

    def _rows_of(self, keys: Keys, count: int) -> Rows:
        """The row of each key here; kept while the keys stay the same object, for they only grow."""
        if keys is not self._keys:
            self._keys, self._rows = keys, np.empty(0, np.int32)
        done = len(self._rows)
        if done < count:
            more = np.array([self._row(key) for key in keys.rows[done:count]], np.int32)
            self._rows = np.append(self._rows, more)
            fresh = len(self._labels) - len(self._total)
            self._total = np.append(self._total, np.zeros(fresh))
            self._count = np.append(self._count, np.zeros(fresh, np.int32))
            self._known = np.append(self._known, np.zeros(fresh, bool))
        return self._rows[:count]

    def _row(self, key: tuple[str, ...]) -> int:
        row = self._index.get(key)
        if row is None:
            row = self._index[key] = len(self._labels)
            self._labels.append(key)
        return row

    def so_far(self, timestamp: float) -> Block | None:
        """The rows of the interval as if it ended at `timestamp`; None: there are none."""
        at = np.flatnonzero(self._count)
        if not len(at):
            return None
        values = self._total[at] / self._count[at]
        if self.family.type == "gauge":
            values = seven_digits(values)
        return Block(self.family, self._cluster, timestamp, self._labels, at.astype(np.int32), values)

    def close(self, timestamp: float | None = None) -> Iterator[Block]:
        """End the interval, at its proper end or earlier."""
        block = self.so_far(self.end if timestamp is None else timestamp)
        if block is None:
            return
        yield block
        if len(self._labels) - len(block.at) > max(_DEAD, len(block.at)):
            self._begin_rows()
        else:
            self._total[:], self._count[:] = 0.0, 0


def seven_digits(values: Floats) -> Floats:
    """Each number to seven decimal digits: a relative error of at most 5e-7."""
    with np.errstate(divide="ignore"):
        place = np.floor(np.log10(np.abs(values)))
    place = np.clip(np.nan_to_num(place, neginf=0.0), -15, 15).astype(np.int64)
    # Both factors are whole powers of ten, so that the quotient is the number nearest to the decimal one.
    fine, coarse = 10.0 ** np.maximum(6 - place, 0), 10.0 ** np.maximum(place - 6, 0)
    rounded: Floats = np.round(values / coarse * fine) / fine * coarse
    return rounded


class Recorder:
    """The open intervals of everything that is kept."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], _Interval] = {}

    def add(self, snapshot: Snapshot) -> list[Block]:
        """Take in one snapshot and return the rows that are finished by it."""
        scopes = [("", snapshot.fleet), *((name, cluster.tables) for name, cluster in snapshot.clusters.items())]
        done: list[Block] = []
        for cluster, tables in scopes:
            for name, table in tables.items():
                family = KEPT.get(name)
                if family is None:
                    continue
                if (cluster, name) not in self._open:
                    self._open[cluster, name] = _Interval(family, cluster)
                done.extend(self._open[cluster, name].add(table, snapshot.timestamp))
        for key, it in list(self._open.items()):
            if it.end < snapshot.timestamp:  # a family or a cluster that is shown no longer
                done.extend(it.close())
            if it.last + _FORGET < snapshot.timestamp:
                del self._open[key]
        return done

    def so_far(self) -> list[Block]:
        """What the open intervals hold, as of the last cycle of each; they stay open."""
        blocks = (it.so_far(it.last) for it in self._open.values())
        return [block for block in blocks if block is not None]

    def close(self) -> list[Block]:
        """End all intervals with what they have, as of the last cycle of each."""
        return [block for it in self._open.values() for block in it.close(it.last)]
