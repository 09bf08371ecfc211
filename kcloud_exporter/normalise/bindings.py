"""Bindings: what each row of a source's series table means, compiled once when the series first appears.

A tick then costs a handful of numpy operations per quantity: gather, scale, check, scatter.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kcloud_exporter.errors import RejectReason
from kcloud_exporter.model import Floats, Mask, Rows
from kcloud_exporter.normalise.columns import Column
from kcloud_exporter.normalise.samples import NO_SAMPLE, SAMPLE, LastSample, Samples
from kcloud_exporter.normalise.spreading import Dense
from kcloud_exporter.readings import Grow
from kcloud_exporter.vendors.mapping import SeriesRule
from kcloud_exporter.vendors.quantities import Quantity

_COUNTER, _ZERO_MISSING, _NAN_MISSING, _EXCLUSIVE = 1, 2, 4, 8
_LATE_SECONDS = 60.0
"""An older sample is a late one for so long; after that its clock has been set back."""
_JITTER_SECONDS = 5.0
"""How far a sample's clock and ours may disagree over a short time: scrapes jitter."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What one cycle made of a binding's rows, for whoever asks why a number is what it is.

    `raw` as printed, `value` what was understood (base unit), `good` went into the column; of counters `earlier` is
    the sample before (base unit), and `elapsed` the seconds between the two.
    """

    at: float
    raw: Floats
    value: Floats
    good: Mask
    earlier: Floats | None
    elapsed: Floats | None

    def of(self, kept: Mask) -> Trace:
        """The same of some of the rows; others may have come since."""
        of = kept[: len(self.raw)]
        earlier, elapsed = (None if told is None else told[of] for told in (self.earlier, self.elapsed))
        return Trace(self.at, self.raw[of], self.value[of], self.good[of], earlier, elapsed)


class Binding:
    """All rows of one series table that feed one column."""

    def __init__(self, quantity: Quantity, column: Column) -> None:
        self.quantity, self.column = quantity, column
        self.rows, self.slots = Grow(np.int32), Grow(np.int32)
        self._rules: list[SeriesRule] = []
        self.trace: Trace | None = None
        self.previous_value, self.previous_time = np.empty(0), np.empty(0)
        self.previous_noted, self.series = np.empty(0), np.empty(0, np.uint64)
        self._marks: dict[float, Grow[np.int32]] = {}
        self._enums: dict[int, Grow[np.int32]] = {}
        self._traits: dict[int, int] = {}
        self._trait = Grow(np.int16)
        self._table = np.empty((0, 5))
        self._known: list[tuple[int, int, LastSample]] = []
        self._any = 0
        self._scale = self._low = self._high = self._sentinel = np.empty(0)
        self._flags: NDArray[np.int8] = np.empty(0, np.int8)
        self._unique_at = -1
        self._unique = True

    def add(self, row: int, slot: int, rule: SeriesRule, series: int = 0, last: LastSample = NO_SAMPLE) -> None:
        """Bind one row of the table to one slot of the column.

        A counter has a number by which its `series` is known in other processes, and may go on from its `last`
        sample there.
        """
        trait = self._traits.get(id(rule))
        if trait is None:
            trait = self._learn(rule)
        if rule.values or rule.sentinels:
            self._remember_specials(rule, trait, len(self.rows))
        if series:
            self._known.append((len(self.rows), series, last))
        self.rows.append(row)
        self.slots.append(slot)
        self._trait.append(trait)

    def _learn(self, rule: SeriesRule) -> int:
        """What holds for all rows of a rule. Rules live as long as their vendor table, so their identity is a key."""
        flags = (
            (_COUNTER if rule.counter else 0)
            | (_ZERO_MISSING if rule.zero == "missing" else 0)
            | (_NAN_MISSING if rule.nan == "missing" else 0)
            | (_EXCLUSIVE if rule.rows == "exclusive" else 0)
        )
        low = self.quantity.low if rule.low is None else rule.low
        high = self.quantity.high if rule.high is None else rule.high
        sentinel = np.inf if rule.sentinel_from is None else rule.sentinel_from
        self._table = np.vstack([self._table, [rule.scale, low, high, sentinel, flags]])
        self._any |= flags
        self._rules.append(rule)
        self._traits[id(rule)] = len(self._traits)
        return len(self._traits) - 1

    def rule(self, at: int) -> SeriesRule:
        """The rule by which a row was bound."""
        return self._rules[int(self._trait.view[at])]

    def _remember_specials(self, rule: SeriesRule, trait: int, at: int) -> None:
        if rule.values:
            self._enums.setdefault(trait, Grow(np.int32)).append(at)
        for mark in rule.sentinels:
            self._marks.setdefault(mark, Grow(np.int32)).append(at)

    def settle(self) -> None:
        """Bring everything that is kept per row to the number of rows."""
        count = len(self.rows)
        if len(self._scale) == count:
            return
        of_rule = self._table[self._trait.view]
        self._scale, self._low, self._high, self._sentinel = (np.ascontiguousarray(of_rule[:, n]) for n in range(4))
        self._flags = of_rule[:, 4].astype(np.int8)
        if not self.counts:
            return
        missing = np.full(count - len(self.previous_value), np.nan)
        self.previous_value = np.append(self.previous_value, missing)
        self.previous_time = np.append(self.previous_time, missing)
        self.previous_noted = np.append(self.previous_noted, missing)
        self.series = np.append(self.series, np.zeros(len(missing), np.uint64))
        for at, series, last in self._known:
            self.series[at] = series
            if last is not NO_SAMPLE:
                self._go_on_from(at, last)
        self._known = []

    def _go_on_from(self, at: int, last: LastSample) -> None:
        self.previous_value[at], self.previous_time[at], self.previous_noted[at] = last.value, last.time, last.noted
        slot, value, seen = self.slots.view[at], self.column.value.view, self.column.seen.view
        if last.seen > seen[slot]:
            value[slot], seen[slot] = last.watts, last.seen

    def move(self, new_rows: Rows) -> None:
        """Follow a compacted table: `new_rows[old row]`, -1 for a dropped one."""
        self.settle()
        rows = new_rows[self.rows.view]
        kept = rows >= 0
        self.rows.become(rows[kept])
        if kept.all():
            return
        self.slots.keep(kept)
        self._trait.keep(kept)
        place = np.cumsum(kept, dtype=np.int32) - 1
        for at in (*self._marks.values(), *self._enums.values()):
            at.become(place[at.view[kept[at.view]]])
        if self.counts:
            self.previous_value, self.previous_time = self.previous_value[kept], self.previous_time[kept]
            self.previous_noted, self.series = self.previous_noted[kept], self.series[kept]
        self._scale = self._low = self._high = self._sentinel = np.empty(0)
        self._flags = np.empty(0, np.int8)
        self._unique_at = -1
        self.trace = self.trace and self.trace.of(kept)

    def apply(self, dense: Dense, now: float) -> list[tuple[RejectReason, Rows]]:
        """Scatter one cycle into the column. Returns the rejected rows by reason."""
        self.settle()
        rows, slots = self.rows.view, self.slots.view
        raw, sel = dense.values[rows], dense.present[rows]
        rejected: list[tuple[RejectReason, Rows]] = []
        finite = np.isfinite(raw)
        sentinel = raw >= self._sentinel
        for mark, at in self._marks.items():
            sentinel[at.view] |= raw[at.view] == mark
        earlier: Floats | None = None
        elapsed: Floats | None = None
        with np.errstate(invalid="ignore", over="ignore"):
            value = raw * self._scale
            if self._any & _COUNTER:
                earlier, elapsed = self.previous_value.copy(), dense.timestamps[rows] - self.previous_time
                value = self._rates(value, dense.timestamps[rows], sel & finite, now, rejected)
                # A counter that is there but tells no power yet: a sum without it would be too small.
                self.column.awaited.view[slots[sel & finite & np.isnan(value)]] = now
            if self._enums:
                value = self._translated(value, raw)
            good = sel & finite & ~sentinel & (value >= self._low) & (value <= self._high)
        if self._any & _ZERO_MISSING:
            good &= ~(((self._flags & _ZERO_MISSING) > 0) & (raw == 0))
        self.trace = Trace(now, raw, value, good, earlier, elapsed)
        if not good.all():
            self._sort_out(raw, value, sel, finite, sentinel, good, rejected)
        if self._any & _EXCLUSIVE and not self._slots_unique():
            self._count_duplicates(good, rejected)
        if good.all():
            self.column.put(
                slots,
                value,
                now,
                dense.timestamps[rows] if dense.timed else None,
                unique=self._slots_unique(),
            )
        else:
            self.column.put(
                slots[good],
                value[good],
                now,
                dense.timestamps[rows[good]] if dense.timed else None,
                unique=self._slots_unique(),
            )
        return rejected

    def _slots_unique(self) -> bool:
        if self._unique_at != len(self.slots):
            self._unique = bool(np.bincount(self.slots.view).max(initial=0) < 2)
            self._unique_at = len(self.slots)
        return self._unique

    def _rates(
        self, value: Floats, times: Floats, sel: Mask, now: float, rejected: list[tuple[RejectReason, Rows]]
    ) -> Floats:
        """Counters → watts: Δvalue/Δtime since the last sample that was another one; NaN when unknown.

        A counter that fell was reset or wrapped: when and how far is unknown, and a guess would invent energy. The
        same holds when the samples' clock has gone another way than ours. A sample with an unchanged time is the
        same sample once more, and an older one came late; neither says anything new.
        """
        counting = (self._flags & _COUNTER) > 0
        before, then, noted = self.previous_value, self.previous_time, self.previous_noted
        elapsed, ours = times - then, now - noted
        late = (elapsed < 0) & (ours < _LATE_SECONDS)
        moved = counting & sel & ~(elapsed == 0) & ~late
        fell = moved & (value < before)
        steady = (elapsed > 0) & (elapsed < 3 * ours + _JITTER_SECONDS) & (3 * elapsed + _JITTER_SECONDS > ours)
        rate = np.where(moved & steady & ~fell, (value - before) / elapsed, np.nan)
        before[moved], then[moved], noted[moved] = value[moved], times[moved], now
        if fell.any():
            rejected.append(("counter_reset", self.rows.view[fell]))
        return np.where(counting, rate, value)

    @property
    def counts(self) -> bool:
        """Whether there are counters among the rows."""
        return bool(self._any & _COUNTER)

    def last_samples(self, since: float) -> Samples:
        """The last sample of every counter that was noted at `since` or later."""
        self.settle()
        rows = np.flatnonzero(self.previous_noted >= since)
        found = np.empty(len(rows), SAMPLE)
        slots = self.slots.view[rows]
        for name, column in (
            ("series", self.series[rows]),
            ("value", self.previous_value[rows]),
            ("time", self.previous_time[rows]),
            ("noted", self.previous_noted[rows]),
            ("watts", self.column.value.view[slots]),
            ("seen", self.column.seen.view[slots]),
        ):
            found[name] = column
        return found

    def _translated(self, value: Floats, raw: Floats) -> Floats:
        value = value.copy()
        for trait, at in self._enums.items():
            rule, told = self._rules[trait], raw[at.view]
            meant = np.full(len(told), np.nan if rule.otherwise is None else rule.otherwise)
            for said, means in rule.values.items():
                meant[told == said] = means
            value[at.view] = meant
        return value

    def _sort_out(
        self,
        raw: Floats,
        value: Floats,
        sel: Mask,
        finite: Mask,
        sentinel: Mask,
        good: Mask,
        rejected: list[tuple[RejectReason, Rows]],
    ) -> None:
        """Sort what was not good into reasons; what is merely missing (zero, NaN, first sample) has none."""
        rows, flags = self.rows.view, self._flags
        bad = sel & ~good
        not_finite = bad & ~finite & ((flags & _NAN_MISSING) == 0)
        sentinels = bad & finite & sentinel
        rest = bad & finite & ~sentinel & ~np.isnan(value) & ~(((flags & _ZERO_MISSING) > 0) & (raw == 0))
        negative = rest & (value < 0) & (self._low >= 0)
        findings: tuple[tuple[RejectReason, Mask], ...] = (
            ("not_finite", not_finite),
            ("sentinel", sentinels),
            ("negative", negative),
            ("out_of_bounds", rest & ~negative),
        )
        rejected.extend((reason, rows[mask]) for reason, mask in findings if mask.any())

    def _count_duplicates(self, good: Mask, rejected: list[tuple[RejectReason, Rows]]) -> None:
        exclusive = good & ((self._flags & _EXCLUSIVE) > 0)
        rows, slots = self.rows.view[exclusive], self.slots.view[exclusive]
        order = np.argsort(slots, kind="stable")
        again = np.append(False, slots[order][1:] == slots[order][:-1]) if len(slots) else np.empty(0, bool)
        if again.any():
            rejected.append(("duplicate", rows[order][again]))


def count_by_source(rejected: list[tuple[RejectReason, Rows]], row_source: Rows) -> Counter[tuple[int, RejectReason]]:
    """(source number, reason) → how many rows, given the source number of each row."""
    counts: Counter[tuple[int, RejectReason]] = Counter()
    for reason, rows in rejected:
        for source, n in enumerate(np.bincount(row_source[rows]) if len(rows) else ()):
            if n:
                counts[(source, reason)] += int(n)
    return counts


def carry_over(before: Binding, after: Binding, rows: int) -> None:
    """Give a new binding the last counter sample and the last slot value that the old one has of the same rows.

    Both are over the same table, of which the old one has seen `rows` rows.
    """
    before.settle()
    after.settle()
    place = np.full(rows, -1, np.int64)
    place[before.rows.view] = np.arange(len(before.rows))
    was = place[after.rows.view]
    at = np.flatnonzero(was >= 0)
    was = was[at]
    if before.counts and after.counts:
        after.previous_value[at] = before.previous_value[was]
        after.previous_time[at] = before.previous_time[was]
        after.previous_noted[at] = before.previous_noted[was]
    slots, of = after.slots.view[at], before.slots.view[was]
    # Where rows share a slot the one that was seen last has the word, and of those the first.
    by_age = np.argsort(before.column.seen.view[of][::-1], kind="stable")
    slots, of = slots[::-1][by_age], of[::-1][by_age]
    newer = before.column.seen.view[of] > after.column.seen.view[slots]
    slots, of = slots[newer], of[newer]
    after.column.value.view[slots] = before.column.value.view[of]
    after.column.seen.view[slots] = before.column.seen.view[of]
