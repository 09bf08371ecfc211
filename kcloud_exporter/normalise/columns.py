"""Columns: how rows of one quantity combine into one value per entity.

    slot        one part of one thing as one vendor tells it (a MIG instance's memory, one socket's package)
    candidate   all slots of one thing by one line of a table: combined by max, sum, mean or min
    entity      the best candidate by rank: the vendor's own exporter, the preferred meter

A slot keeps its last good value and when it was seen, so that a hole in one cycle reads as "unknown, last
known" and not as zero; after `max_staleness` it is absent.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import compress
from typing import Final, Literal

import numpy as np

from kcloud_exporter.model import Floats, Mask, Rows
from kcloud_exporter.readings import NEVER, Evaluated, Grow, renumbered

Combine = Literal["max", "sum", "mean", "min"]
_COMBINES: Final[tuple[Combine, ...]] = ("max", "sum", "mean", "min")


class Column:
    """All readings of one quantity of one cluster."""

    def __init__(self, *, strict_sum: bool) -> None:
        self.strict_sum = strict_sum
        self._slots: dict[int, int] = {}
        self._retold: dict[int, int] = {}
        self._told: dict[Hashable, int] = {}
        self.slot_candidate = Grow(np.int32)
        self._target = Grow(np.int32)
        self.value = Grow(np.float64)
        self.seen = Grow(np.float64)
        self.awaited = Grow(np.float64)
        self.needs: dict[str, set[int]] = {}
        self._required: set[int] = set()
        self._boards: dict[Hashable, int] = {}
        self._on_board: dict[int, int] = {}
        self._candidates: dict[Hashable, dict[int, int]] = {}
        self.candidate_entity = Grow(np.int32)
        self.candidate_rank = Grow(np.int32)
        self.candidate_origin: list[tuple[str, str]] = []
        self._combine = Grow(np.int8)
        self.live: Mask = np.zeros(0, bool)
        self._order: Rows = np.empty(0, np.int32)
        self._groups: list[tuple[Combine, Rows, Rows]] = []

    def __len__(self) -> int:
        return len(self._slots)

    def chips_of(self, slot: int) -> int:
        """Among how many chips the value of a slot is divided; 0 where it is the slot's own."""
        board = self._on_board.get(slot)
        if board is None:
            return 0
        return max(1, sum(bool(self.live[other]) for other, on in self._on_board.items() if on == board))

    def targets(self) -> Rows:
        """The target that was the last to be bound to each slot."""
        if self._retold:
            self._target.view[list(self._retold)] = list(self._retold.values())
            self._retold.clear()
        return self._target.view

    def combine_of(self, candidate: int) -> Combine:
        """How the slots of a candidate become one value."""
        return _COMBINES[int(self._combine.view[candidate])]

    def entities(self) -> Rows:
        """The entity of each slot."""
        return self.candidate_entity.view[self.slot_candidate.view]

    def slot(
        self,
        entity: int,
        rank: int,
        origin: tuple[str, str],
        teller: Hashable,
        part: Hashable,
        combine: Combine,
        target: int,
    ) -> int:
        """The slot of one part of one entity as told by `teller`, a line of a table; made when new.

        `origin` is what the page calls the teller: (vendor, series).
        """
        # Few things are told, and of many entities: numbers are small where texts would not be.
        told = self._told.setdefault((teller, part), len(self._told))
        key = told << 32 | entity
        found = self._slots.get(key)
        if found is not None:
            self._retold[found] = target
            return found
        candidates = self._candidates.setdefault(teller, {})
        candidate = candidates.get(entity)
        if candidate is None:
            candidate = candidates[entity] = len(self._combine)
            self.candidate_entity.append(entity)
            self.candidate_rank.append(rank)
            self.candidate_origin.append(origin)
            self._combine.append(_COMBINES.index(combine))
        self.slot_candidate.append(candidate)
        self._target.append(target)
        self.value.append(np.nan)
        self.seen.append(NEVER)
        self.awaited.append(NEVER)
        slot = self._slots[key] = len(self._slots)
        return slot

    def require(self, slot: int) -> None:
        """A strict sum is none without this part, even if the part has never been seen."""
        self._required.add(slot)

    def share_board(self, slot: int, board: Hashable) -> None:
        """The slot's value is that of a board with several chips: each that answers has an equal part of it."""
        self._on_board[slot] = self._boards.setdefault(board, len(self._boards))

    def lost(self, now: float, forget_after: float) -> Mask:
        """Slots without a reading in the cycle of `now`, and with one within `forget_after`.

        Of an entity that another slot tells of now none is lost, unless its sum wants all of them.
        """
        seen = np.maximum(self.seen.view, self.awaited.view)
        if not self.strict_sum:
            entities = self.entities()
            newest = np.full(int(entities.max(initial=-1)) + 1, NEVER)
            np.maximum.at(newest, entities, seen)
            seen = newest[entities]
        return (seen < now) & (seen >= now - forget_after)

    def move(self, new_rows: Rows) -> Rows:
        """Let go of entities: `new_rows[old row]`, -1 for one that has ended. Returns the same of slots."""
        targets = self.targets()
        entity = new_rows[self.candidate_entity.view]
        candidates = renumbered(entity >= 0)
        kept: Mask = entity[self.slot_candidate.view] >= 0
        slots = renumbered(kept)
        numbers = np.fromiter(self._slots, np.int64, len(self._slots))
        numbers = (numbers >> 32 << 32 | new_rows[numbers & 0xFFFFFFFF])[kept]  # slots were made in this order
        self._slots = dict(zip(numbers.tolist(), range(len(numbers)), strict=True))
        for teller, known in self._candidates.items():
            moved = zip(new_rows[list(known)].tolist(), candidates[list(known.values())].tolist(), strict=True)
            self._candidates[teller] = {row: candidate for row, candidate in moved if row >= 0}
        self.slot_candidate.become(candidates[self.slot_candidate.view[kept]])
        self._target.become(targets[kept])
        for told in (self.value, self.seen, self.awaited):
            told.keep(kept)
        self.candidate_entity.become(entity[entity >= 0])
        self.candidate_rank.keep(entity >= 0)
        self._combine.keep(entity >= 0)
        self.candidate_origin = list(compress(self.candidate_origin, (entity >= 0).tobytes()))
        self.needs = {name: {int(slots[at]) for at in of if kept[at]} for name, of in self.needs.items()}
        self._required = {int(slots[at]) for at in self._required if kept[at]}
        self._on_board = {int(slots[at]): board for at, board in self._on_board.items() if kept[at]}
        self.live, self._order, self._groups = np.zeros(0, bool), np.empty(0, np.int32), []
        return slots

    def put(self, slots: Rows, values: Floats, now: float, timestamps: Floats | None, *, unique: bool) -> None:
        """Write one cycle's good values; where rows share a slot the newest wins, else the largest."""
        value, seen = self.value.view, self.seen.view
        # Of rows that share a slot mostly all but one are gone: the series of pods that held a device before.
        if not unique and np.bincount(slots).max(initial=0) > 1:
            age = timestamps if timestamps is not None else np.zeros(len(values))
            order = np.lexsort((values, age, slots))
            slots, values = slots[order], values[order]
            last = np.append(slots[1:] != slots[:-1], True) if len(slots) else np.empty(0, bool)
            slots, values = slots[last], values[last]
        value[slots] = values
        seen[slots] = now

    def evaluate(
        self, size: int, now: float, max_staleness: float, forget_after: float, fresh: Mask | None = None
    ) -> Evaluated:
        """One value per entity 0..size-1. `fresh` may withdraw slots (a pod that its exporter no longer shows).

        An entity is `missing` when it had a value within `forget_after` and has none now.
        """
        value, seen = self.value.view, self.seen.view
        live: Mask = seen >= now - max_staleness
        if fresh is not None:
            live &= fresh
        self.live = live
        expected: Mask = np.zeros(len(seen), bool)
        if self.strict_sum:
            expected |= np.maximum(seen, self.awaited.view) >= now - forget_after
        expected[list(self._required)] = True
        if self._on_board:
            value = self._parted(value, live)
        slot_candidate = self.slot_candidate.view
        count = len(self._combine)
        combined = self._combined(value, live, expected, slot_candidate, count)
        result = Evaluated(
            np.full(size, np.nan), np.full(size, -1, np.int32), np.zeros(size, bool), np.full(size, NEVER)
        )
        if not count:
            return result
        entity = self.candidate_entity.view
        order = self._ranked()
        valid = order[~np.isnan(combined[order])]
        result.value[entity[valid]] = combined[valid]
        result.winner[entity[valid]] = valid
        np.maximum.at(result.seen, entity[slot_candidate], seen)
        result.missing[:] = (result.seen >= now - forget_after) & np.isnan(result.value)
        return result

    def _parted(self, value: Floats, live: Mask) -> Floats:
        """The values, those of a board divided among the chips of it that answer."""
        slots = np.fromiter(self._on_board, np.int64)
        boards = np.fromiter(self._on_board.values(), np.int64)
        chips = np.bincount(boards[live[slots]], minlength=len(self._boards))
        value = value.copy()
        value[slots] /= np.maximum(chips[boards], 1)
        return value

    def _ranked(self) -> Rows:
        """Candidates from the worst rank to the best, so that the last write to an entity is the best."""
        if len(self._order) != len(self._combine):
            self._order = np.argsort(-self.candidate_rank.view, kind="stable").astype(np.int32)
        return self._order

    def _combined(
        self,
        value: Floats,
        live: Mask,
        expected: Mask,
        slot_candidate: Rows,
        count: int,
    ) -> Floats:
        """The combined value per candidate, NaN where nothing is live or a sum lacks an expected part."""
        if len(slot_candidate) == count:  # one slot each, in the same order
            return np.where(live, value, np.nan)
        combined = np.full(count, np.nan)
        for combine, slots, candidates in self._grouped(slot_candidate):
            on = live[slots]
            mine, values = slot_candidate[slots[on]], value[slots[on]]
            if combine in ("sum", "mean"):
                total = np.bincount(mine, values, count)
                rows = np.bincount(mine, minlength=count)
                part = np.where(rows > 0, total, np.nan)
                if combine == "mean":
                    part = part / np.maximum(rows, 1)
            else:
                start = -np.inf if combine == "max" else np.inf
                part = np.full(count, start)
                (np.maximum if combine == "max" else np.minimum).at(part, mine, values)
                part[np.isinf(part)] = np.nan
            combined[candidates] = part[candidates]
            if combine == "sum":
                combined[slot_candidate[slots[expected[slots] & ~on]]] = np.nan
        return combined

    def _grouped(self, slot_candidate: Rows) -> list[tuple[Combine, Rows, Rows]]:
        if not self._groups or sum(len(g[1]) for g in self._groups) != len(slot_candidate):
            codes = self._combine.view
            self._groups = []
            for code, combine in enumerate(_COMBINES):
                candidates = np.flatnonzero(codes == code).astype(np.int32)
                if len(candidates):
                    slots = np.flatnonzero(codes[slot_candidate] == code).astype(np.int32)
                    self._groups.append((combine, slots, candidates))
        return self._groups
