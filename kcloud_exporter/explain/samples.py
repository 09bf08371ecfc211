"""Samples: a reading of one thing back to the rows that upstreams printed, with the choices between them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, TypeAlias

import numpy as np

from kcloud_exporter.catalogue import escape
from kcloud_exporter.explain.tree import Node, Part, branch, gathered, leaf, recompute
from kcloud_exporter.model import Labels, Rows
from kcloud_exporter.normalise.bindings import Binding, Trace
from kcloud_exporter.normalise.columns import Column, Combine
from kcloud_exporter.normalise.state import TableState
from kcloud_exporter.readings import Readings
from kcloud_exporter.vendors.mapping import SeriesRule

_RowOf: TypeAlias = tuple[TableState, Binding, int]
_COUNTED: Final = {"W": "J", "CPUs": "s"}


class Groups:
    """The members of each group, found without a walk over all: group numbers → positions."""

    def __init__(self, groups: Rows) -> None:
        self._order = np.argsort(groups, kind="stable")
        self._sorted = groups[self._order]

    def of(self, group: int) -> list[int]:
        """Positions whose group is this one, in their order."""
        begin, end = np.searchsorted(self._sorted, (group, group + 1))
        found: list[int] = self._order[begin:end].tolist()
        return found


class SampleTrees:
    """Trees of readings of one cluster after one cycle. Built for one question and thrown away.

    Valid only until the next cycle is taken in: it looks at what that cycle will overwrite.
    """

    def __init__(self, columns: dict[str, Column], tables: Sequence[TableState], readings: Readings) -> None:
        self._columns, self._tables, self._readings = columns, tables, readings
        self._now = max((b.trace.at for t in tables for b in t.bindings.values() if b.trace), default=0.0)
        self._candidates: dict[str, Groups] = {}
        self._slots: dict[str, Groups] = {}
        self._rows: dict[int, Groups] = {}

    def reading(self, quantity: str, entity: int, what: str, depth: int) -> Node:
        """The value of a quantity of one entity: the chosen candidate first, then those it was preferred to."""
        evaluated, column = self._readings.columns[quantity], self._columns[quantity]
        value, unit = float(evaluated.value[entity]), unit_of(quantity)
        winner = int(evaluated.winner[entity])
        found = self._group(self._candidates, quantity, column.candidate_entity.view).of(entity)
        others = [c for c in sorted(found, key=column.candidate_rank.view.__getitem__) if c != winner]
        parts: list[Part] = [partial(self._candidate, quantity, winner, value, what if not others else "")]
        parts += [self._not_chosen(quantity, c) for c in others]
        if not others:
            return parts[0](depth)
        note = f"{self._name(column, winner)} comes before {', '.join(self._name(column, c) for c in others)}"
        return branch(what, value, unit, "choice", parts, depth, note)

    def _name(self, column: Column, candidate: int) -> str:
        vendor, series = column.candidate_origin[candidate]
        return f"{series} of {vendor}"

    def _not_chosen(self, quantity: str, candidate: int) -> Part:
        """What stood behind the winner; its value is shown if it had one."""
        column = self._columns[quantity]
        slots = self._live(quantity, candidate)
        values = [float(column.value.view[slot]) / max(column.chips_of(slot), 1) for slot in slots]
        combined = _combined(column.combine_of(candidate), values) if slots else float("nan")
        return leaf(self._name(column, candidate), combined, unit_of(quantity), "held", "not chosen")

    def _candidate(self, quantity: str, candidate: int, value: float, what: str, depth: int) -> Node:
        column, unit = self._columns[quantity], unit_of(quantity)
        operation = column.combine_of(candidate)
        parts: list[Part] = [partial(self._slot, quantity, slot) for slot in self._live(quantity, candidate)]
        return gathered(what or self._name(column, candidate), value, unit, operation, parts, depth)

    def _live(self, quantity: str, candidate: int) -> list[int]:
        """The slots of a candidate that went into its value."""
        column = self._columns[quantity]
        slots = self._group(self._slots, quantity, column.slot_candidate.view).of(candidate)
        live = column.live
        return [slot for slot in slots if live[slot]]

    def _slot(self, quantity: str, slot: int, depth: int) -> Node:
        column = self._columns[quantity]
        chips = column.chips_of(slot)
        if not chips:
            return self._told(quantity, slot, depth)
        value = float(column.value.view[slot]) / chips
        parts: list[Part] = [partial(self._told, quantity, slot), leaf("chips of the board that answer", chips)]
        return branch("an equal part of its board", value, unit_of(quantity), "quotient", parts, depth)

    def _told(self, quantity: str, slot: int, depth: int) -> Node:
        column = self._columns[quantity]
        value, seen, unit = float(column.value.view[slot]), float(column.seen.view[slot]), unit_of(quantity)
        rows: list[_RowOf] = [
            (state, binding, at) for state, binding in self._bindings(quantity) for at in self._at(binding, slot)
        ]
        if seen == self._now:
            told = [row for row in rows if _is_good(row[1].trace, row[2], seen)]
            chosen = [row for row in told if row[1].trace and row[1].trace.value[row[2]] == value]
            if chosen:
                return self._row(chosen[0], value, unit, depth, twins=len(told) - 1)
        name = series_of(rows[0][0].table.series(int(rows[0][1].rows.view[rows[0][2]]))) if rows else quantity
        age = self._now - seen
        return Node(name, value, unit, "held", (), f"the last good value, {age:.3g} s older than this cycle")

    def _row(self, row: _RowOf, value: float, unit: str, depth: int, *, twins: int) -> Node:
        state, binding, at = row
        rule, trace = binding.rule(at), binding.trace
        assert trace is not None
        name = series_of(state.table.series(int(binding.rows.view[at])))
        raw = float(trace.raw[at])
        note = f"one of {twins + 1} rows that tell it: the newest counts, else the largest" if twins else ""
        if rule.values:
            return Node(name, value, unit, "sample", (), f"{raw:g} means {value:g}")
        if trace.earlier is None or trace.elapsed is None or not rule.counter:
            return _sample(name, raw, rule, unit, depth, note)
        counted, earlier, elapsed = _COUNTED.get(unit, unit), float(trace.earlier[at]), float(trace.elapsed[at])
        increase: Part = partial(
            branch,
            "increase of the counter since the sample before",
            raw * rule.scale - earlier,
            counted,
            "difference",
            [partial(_sample, name, raw, rule, counted), leaf("the sample before", earlier, counted, "sample")],
        )
        seconds = leaf("between the two samples", elapsed, "s", "sample")
        return branch(f"rate of {name}", value, unit, "quotient", [increase, seconds], depth, note)

    def _bindings(self, quantity: str) -> list[tuple[TableState, Binding]]:
        return [(state, state.bindings[quantity]) for state in self._tables if quantity in state.bindings]

    def _at(self, binding: Binding, slot: int) -> list[int]:
        groups = self._rows.get(id(binding))
        if groups is None:
            groups = self._rows[id(binding)] = Groups(binding.slots.view)
        return groups.of(slot)

    @staticmethod
    def _group(known: dict[str, Groups], quantity: str, ids: Rows) -> Groups:
        if quantity not in known:
            known[quantity] = Groups(ids)
        return known[quantity]


def _is_good(trace: Trace | None, at: int, now: float) -> bool:
    """Whether a row was there in this cycle and was taken in."""
    return trace is not None and trace.at == now and at < len(trace.good) and bool(trace.good[at])


def _sample(name: str, raw: float, rule: SeriesRule, unit: str, depth: int, note: str = "") -> Node:
    """What an upstream printed, with its scale where there is one."""
    if rule.scale == 1.0:
        return Node(name, raw, unit, "sample", (), note)
    # A factor beside the unit is the series' own: what it prints has no name.
    own = rule.factor != 1.0
    scale = "scale of the series" if own else f"{unit} per {rule.unit}"
    parts = [leaf(name, raw, "" if own else rule.unit, "sample"), leaf(scale, rule.scale)]
    return branch(name, raw * rule.scale, unit, "product", parts, depth, note)


def _combined(operation: Combine, values: list[float]) -> float:
    return recompute(Node("", 0.0, "", operation, tuple(Node("", v, "", "sample") for v in values)))


def series_of(labels: Labels) -> str:
    """A source series as Prometheus writes it."""
    pairs = ",".join(f'{name}="{escape(value)}"' for name, value in labels.items() if name != "__name__" and value)
    return f"{labels['__name__']}{{{pairs}}}"


def unit_of(quantity: str) -> str:
    """The unit of a quantity, from the end of its name."""
    return _UNITS.get(quantity.rsplit("_", 1)[-1], "")


_UNITS: Final = {"watts": "W", "ratio": "", "celsius": "°C", "bytes": "B", "hertz": "Hz", "cores": "CPUs"}
