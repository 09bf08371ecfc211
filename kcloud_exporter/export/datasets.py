"""Datasets: rows of a request, in pieces of bounded size. A row is a moment, labels, and numbers; unknown is null.

    power    timestamp, labels, power_watts (mean of the step), energy_joules (of the step), completeness_ratio
    metrics  timestamp, metric, labels, value, unit, completeness_ratio

`timestamp` is the end of a step. The energies of all rows add up to how far the energy counters came in the window.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import FAMILIES, Family
from kcloud_exporter.errors import ExportError, HistoryError
from kcloud_exporter.export.provenance import coverage
from kcloud_exporter.export.request import BREAKDOWNS, ROWS, Request
from kcloud_exporter.history.kept import FINE, resolution
from kcloud_exporter.history.series import History, Series
from kcloud_exporter.model import Floats

CELLS: Final = 300_000
"""Series × steps that are held at a time."""
BATCH: Final = 32_768
_LONGEST_PIECE: Final = 5_000 * FINE
_FIRST_PIECE: Final = 60
"""Steps of the first piece, from which is learnt how many series there are."""
_TEXT: Final = pa.dictionary(pa.int32(), pa.string())


@dataclass(slots=True)
class Totals:
    """What the rows that were given out add up to."""

    rows: int = 0
    energy_joules: float = 0.0
    energy_known: bool = False

    def told(self) -> dict[str, Any]:
        """As data."""
        more = {"energy_joules": self.energy_joules, "energy_kwh": self.energy_joules / 3.6e6}
        return {"rows": self.rows, **(more if self.energy_known else {})}


@dataclass(slots=True)
class Dataset:
    """The rows of one request, and what they added up to so far."""

    request: Request
    history: History
    now: float
    interval: float = FINE
    schema: pa.Schema = field(init=False)
    totals: Totals = field(default_factory=Totals)
    progress: float = 0.0
    _stood: dict[tuple[str, ...], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text = [pa.field(name, _TEXT) for name in self._labels()]
        numbers = ["power_watts", "energy_joules"] if self.request.dataset == "power" else ["value"]
        unit = [] if self.request.dataset == "power" else [pa.field("unit", _TEXT)]
        self.schema = pa.schema(
            [
                pa.field("timestamp", pa.timestamp("s", "UTC")),
                *([] if self.request.dataset == "power" else [pa.field("metric", _TEXT)]),
                *text,
                *(pa.field(name, pa.float64()) for name in numbers),
                *unit,
                pa.field("completeness_ratio", pa.float64()),
            ]
        )

    def _labels(self) -> tuple[str, ...]:
        if self.request.dataset == "power":
            return BREAKDOWNS[self.request.breakdown].by
        return tuple(dict.fromkeys(label for name in self.request.families for label in FAMILIES[name].labels))

    async def check(self) -> int:
        """About how many rows there will be. Raises ExportError before any work when they are too many."""
        request = self.request
        families = [BREAKDOWNS[request.breakdown].power] if request.breakdown else map(FAMILIES.get, request.families)
        series = 0
        for family in families:
            if family is not None:
                series += max([await self._count(family, at) for at in (request.start, self._until())])
        rows = series * request.points
        if rows > ROWS[request.format]:
            told = f"about {rows} rows ({series} series × {request.points} steps); {request.format} has at most "
            mend = "ask for a shorter window, a longer step, one cluster or node, or another format"
            raise ExportError(413, f"{told}{ROWS[request.format]}: {mend}")
        return rows

    def _until(self) -> float:
        return min(self.request.end, self.now)

    async def _count(self, family: Family, at: float) -> int:
        """How many series there were around a moment."""
        span = 4 * (resolution(family) or FINE)
        begin = max(at - span / 2, 0.0)
        try:
            found = await self.history.series(family.name, dict(self.request.matchers), begin, begin + span, span)
        except HistoryError as exc:
            if exc.reason == "too_large":
                raise ExportError(413, str(exc)) from exc
            raise
        return len(found.labels)

    async def batches(self) -> AsyncIterator[pa.RecordBatch]:
        """The rows in order of time. Raises ExportError when they become more than was foreseen, HistoryError."""
        request, first = self.request, 0
        longest = max(int(_LONGEST_PIECE // request.step), 1)
        points = min(longest, _FIRST_PIECE)
        while first < request.points and request.start + first * request.step < self.now:
            last = min(first + points, request.points)
            begin, end = request.start + first * request.step, request.start + last * request.step
            series = 1
            try:
                parts = await self._parts(begin, end)
            except HistoryError as exc:
                if exc.reason != "too_large" or last - first == 1:
                    raise
                points = max((last - first) // 4, 1)
                continue
            complete = await self._complete(begin, last - first)
            for part in parts:
                series = max(series, len(part.labels))
                for batch in part.batches(self.schema, complete):
                    self._count_in(batch)
                    yield batch
            first = last
            self.progress = first / request.points
            points = min(max(CELLS // series, 1), longest)
        self.progress = 1.0

    def _count_in(self, batch: pa.RecordBatch) -> None:
        self.totals.rows += len(batch)
        if self.totals.rows > ROWS[self.request.format]:
            raise ExportError(413, f"more than {ROWS[self.request.format]} rows: ask for less, or another format")
        if "energy_joules" in batch.schema.names:
            self.totals.energy_known = True
            self.totals.energy_joules += float(np.nansum(batch["energy_joules"].to_numpy(zero_copy_only=False)))

    async def _parts(self, begin: float, end: float) -> list[_Part]:
        request, matchers = self.request, dict(self.request.matchers)
        if request.dataset == "power":
            how = BREAKDOWNS[request.breakdown]
            power = await self.history.series(how.power.name, matchers, begin, end, request.step)
            energy = await self.history.increments(how.energy.name, matchers, begin, end, request.step, self._stood)
            return [_Part.of_power(_chosen(power, request.resource), _chosen(energy, request.resource), how.by)]
        kinds = None
        if request.resource is not None:
            devices = await self.history.series(catalogue.ACCELERATOR_POWER.name, matchers, begin, end, end - begin)
            kinds = {labels[2] for labels in devices.labels if labels[3] in request.resource}
        found = []
        for name in request.families:
            series = await self.history.series(name, matchers, begin, end, request.step)
            if kinds is not None:
                series = _rows(series, [n for n, labels in enumerate(series.labels) if labels[2] in kinds])
            found.append(
                _Part(series.labels, series.family.labels, series.timestamps, {"value": series.values}, series.family)
            )
        return found

    async def _complete(self, begin: float, points: int) -> Mapping[str, Floats]:
        """Cluster → the part of its nodes that was measured in each step; the mean over all under the empty name."""
        until = min(begin + points * self.request.step, max(self._until(), begin + FINE))
        minutes = await coverage(self.history, dict(self.request.matchers).get("cluster"), begin, until, self.interval)
        per = max(self.request.step / FINE, 1.0)
        found: dict[str, Floats] = {}
        for cluster, values in minutes.items():
            step = np.minimum((np.arange(len(values)) / per).astype(int), points - 1)
            known = np.bincount(step, minlength=points)
            with np.errstate(invalid="ignore"):
                found[cluster] = np.bincount(step, values, points) / np.where(known, known, np.nan)
        if found:
            found[""] = np.mean(list(found.values()), axis=0)
        return found


@dataclass(frozen=True, slots=True)
class _Part:
    """Series of the same labels over the same times: columns of numbers, each S × T."""

    labels: Sequence[tuple[str, ...]]
    names: tuple[str, ...]
    times: Floats
    numbers: Mapping[str, Floats]
    family: Family | None = None

    @classmethod
    def of_power(cls, power: Series, energy: Series, by: tuple[str, ...]) -> _Part:
        """Power and energy side by side, added up over all labels but `by`."""
        at = [power.label_names.index(label) for label in by]
        keys = sorted({tuple(row[n] for n in at) for row in (*power.labels, *energy.labels)})
        index = {key: n for n, key in enumerate(keys)}

        def summed(series: Series) -> Floats:
            total = np.zeros((len(keys), len(series.timestamps)))
            known = np.zeros(total.shape, bool)
            rows = np.array([index[tuple(row[n] for n in at)] for row in series.labels], np.int64)
            np.add.at(total, rows, np.nan_to_num(series.values))
            np.logical_or.at(known, rows, ~np.isnan(series.values))
            return np.where(known, total, np.nan)

        return cls(keys, by, power.timestamps, {"power_watts": summed(power), "energy_joules": summed(energy)})

    def batches(self, schema: pa.Schema, complete: Mapping[str, Floats]) -> list[pa.RecordBatch]:
        """The rows in which anything is known, in order of time, then of labels."""
        if not self.labels:
            return []
        known = np.logical_or.reduce([~np.isnan(values) for values in self.numbers.values()])
        step, series = np.nonzero(known.T)
        columns: dict[str, Any] = {"timestamp": pa.array(self.times[step].astype(np.int64)).cast(schema.field(0).type)}
        for position, name in enumerate(self.names):
            codes, texts = np.unique([row[position] for row in self.labels], return_inverse=True)[::-1]
            columns[name] = pa.DictionaryArray.from_arrays(
                pa.array(codes[series].astype(np.int32)), pa.array(texts.tolist(), pa.string())
            )
        for name, values in self.numbers.items():
            columns[name] = pa.array(values[series, step], from_pandas=True)
        if self.family is not None:
            columns["metric"] = _constant(self.family.name, len(step))
            columns["unit"] = _constant(self.family.unit, len(step))
        columns["completeness_ratio"] = pa.array(self._complete(series, step, complete), from_pandas=True)
        nothing = pa.nulls(len(step), _TEXT)
        whole = pa.RecordBatch.from_arrays([columns.get(f.name, nothing) for f in schema], schema=schema)
        return [whole.slice(at, BATCH) for at in range(0, len(step), BATCH)]

    def _complete(self, series: Any, step: Any, complete: Mapping[str, Floats]) -> Floats:
        nothing = np.full(len(self.times), np.nan)
        at = self.names.index("cluster") if "cluster" in self.names else None
        rows = [complete.get("" if at is None else row[at], nothing) for row in self.labels]
        found: Floats = np.round(np.array(rows)[series, step], 6)
        return found


def _constant(text: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))


def _chosen(series: Series, resource: frozenset[str] | None) -> Series:
    """The series of the chosen components, or of the chosen kinds of accelerators."""
    if resource is None:
        return series
    at = series.label_names.index("component" if "component" in series.label_names else "kind")
    return _rows(series, [n for n, labels in enumerate(series.labels) if labels[at] in resource])


def _rows(series: Series, rows: list[int]) -> Series:
    return Series(series.family, [series.labels[n] for n in rows], series.timestamps, series.values[rows], series.step)


def mean_completeness(minutes: Mapping[str, Floats], clusters: Sequence[str]) -> dict[str, float]:
    """Cluster → the part of its nodes and of the window that was measured; 0 for a cluster that is not seen at all."""
    found = {name: float(values.mean()) for name, values in minutes.items()}
    return {name: ratio for name, ratio in {**dict.fromkeys(clusters, 0.0), **found}.items() if not math.isnan(ratio)}
