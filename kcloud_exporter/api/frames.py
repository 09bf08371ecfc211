"""Frames: the things of one snapshot as columns, one row per thing.

The join of a family's rows to things is made when they first appear and kept for all later snapshots (their `Keys`
are the same objects), so that a cycle costs a few numpy operations per field, however large the fleet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcloud_exporter.api.resources import Group, Number, Resource, labels_of
from kcloud_exporter.model import Floats, Keys, Mask, Table

Texts: TypeAlias = NDArray[np.object_]
Index: TypeAlias = NDArray[np.int64]
_NOBODY: Final = -1
_FORMS: Final[dict[str, type]] = {"count": int, "flag": bool}


class Frame:
    """Rows of one resource: `texts` and `numbers` by field, all of one length. NaN = not known. Nobody changes it."""

    __slots__ = ("numbers", "resource", "texts")

    def __init__(self, resource: Resource, texts: dict[str, Texts], numbers: dict[str, Floats]) -> None:
        self.resource, self.texts, self.numbers = resource, texts, numbers

    def __len__(self) -> int:
        return len(next(iter(self.texts.values())))

    def where(self, **equal: str | None) -> Frame:
        """The rows whose texts are these; None asks nothing."""
        mask = np.ones(len(self), bool)
        asked = {field: value for field, value in equal.items() if value is not None}
        for field, value in asked.items():
            mask &= self.texts[field] == value
        return self.take(mask) if asked else self

    def take(self, rows: Mask | Index | slice) -> Frame:
        """Some of the rows."""
        return Frame(
            self.resource,
            {field: column[rows] for field, column in self.texts.items()},
            {field: column[rows] for field, column in self.numbers.items()},
        )

    def with_texts(self, **texts: Texts) -> Frame:
        """The same rows with further texts."""
        return Frame(self.resource, {**self.texts, **texts}, self.numbers)

    def with_numbers(self, **numbers: Floats) -> Frame:
        """The same rows with further numbers."""
        return Frame(self.resource, self.texts, {**self.numbers, **numbers})

    def total(self, field: str) -> float | None:
        """The sum of what is known of a field; None when nothing is."""
        values = self.numbers[field]
        known = values[~np.isnan(values)]
        return float(known.sum()) if len(known) else None

    def rows(self, without: Iterable[Group] = ()) -> list[dict[str, Any]]:
        """One dict per row, ready for JSON: what is not known is None."""
        left_out = {n.field for n in self.resource.numbers if n.group in set(without)}
        formed = {n.field: _FORMS[n.form] for n in self.resource.numbers if n.form in _FORMS}
        columns: dict[str, list[Any]] = {field: column.tolist() for field, column in self.texts.items()}
        for field, values in self.numbers.items():
            if field not in left_out:
                column = known(values)
                form = formed.get(field)
                columns[field] = column if form is None else [None if v is None else form(v) for v in column]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def known(values: Floats) -> list[float | None]:
    """Numbers for JSON: None for NaN."""
    boxed = values.astype(object)
    boxed[np.isnan(values)] = None
    found: list[float | None] = boxed.tolist()
    return found


def total_by(labels: Texts, values: Floats) -> dict[str, float]:
    """Label → the sum of what is known, for labels that have anything known; in the order of first appearance."""
    sums: dict[str, float] = {}
    for label, value in zip(labels.tolist(), values.tolist(), strict=True):
        if value == value:
            sums[label or "unknown"] = sums.get(label or "unknown", 0.0) + value
    return sums


class _Join:
    """Rows of one `Keys` object → rows of things, and which rows each pick chooses."""

    def __init__(self, keys: Keys, labels: tuple[str, ...]) -> None:
        self.keys, self.labels = keys, labels
        self.things: Index = np.empty(0, np.int64)
        self._picked: dict[tuple[str, str], Index] = {}

    def picked(self, pick: tuple[str, str], count: int) -> Index:
        """The family rows whose label has a value, among the first `count`."""
        rows = self._picked.get(pick)
        if rows is None:
            label, wanted = pick
            at = self.labels.index(label)
            rows = np.array([n for n, row in enumerate(self.keys.rows[:count]) if row[at] == wanted], np.int64)
            self._picked[pick] = rows
        return rows

    def extend(self, things: Index) -> None:
        """Rows were appended to the keys."""
        self.things = np.append(self.things, things)
        self._picked.clear()


class Layout:
    """The things of one resource in one cluster, and how families join to them. Owned by one builder at a time."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self._rows: dict[tuple[str, ...], int] = {}
        self._joins: dict[str, _Join] = {}
        self._order: Index = np.empty(0, np.int64)
        self._texts: dict[str, Texts] = {}
        self._kept: dict[tuple[str, str], tuple[Keys, Mask, Texts]] = {}

    def frame(self, tables: Mapping[str, Table]) -> Frame:
        """The things of one snapshot's tables, sorted. Things that no family of `seen_in` shows are left out."""
        resource = self.resource
        if any(
            name in tables and name in self._joins and tables[name].keys is not self._joins[name].keys
            for name in resource.seen_in
        ):  # all rows have begun anew
            self.__init__(resource)  # type: ignore[misc]
        for name in dict.fromkeys([*resource.seen_in, *(n.family for n in resource.numbers)]):
            if name in tables:
                self._joined(name, tables[name], grow=name in resource.seen_in)
        numbers = {number.field: self._number(number, tables) for number in resource.numbers}
        seen = np.zeros(len(self._rows), bool)
        for name in resource.seen_in:
            if name in tables:
                values = tables[name].values
                things = self._joins[name].things[: len(values)]
                seen[things[~np.isnan(values)]] = True
        texts = self._keys() | {
            text.field: self._text(text.family, text.label, text.pick, tables) for text in resource.texts
        }
        if resource.named_by:
            seen &= texts[resource.named_by] != ""
        rows = self._sorted(texts)
        rows = rows[seen[rows]]
        return Frame(
            resource,
            {field: column[rows] for field, column in texts.items()},
            {field: column[rows] for field, column in numbers.items()},
        )

    def _joined(self, name: str, table: Table, *, grow: bool) -> _Join:
        """The join of a family, brought up to the length of its table."""
        join = self._joins.get(name)
        if join is None or join.keys is not table.keys:
            join = self._joins[name] = _Join(table.keys, labels_of(name))
        count, done = len(table.values), len(join.things)
        if done < count:
            at = [join.labels.index(label) for label in self.resource.key]
            pick = itemgetter(*at)
            keys = [pick(row) if len(at) > 1 else (row[at[0]],) for row in table.keys.rows[done:count]]
            if grow:
                rows = self._rows
                found = [rows.setdefault(key, len(rows)) for key in keys]
            else:
                found = [self._rows.get(key, _NOBODY) for key in keys]
            join.extend(np.array(found, np.int64))
        return join

    def _number(self, number: Number, tables: Mapping[str, Table]) -> Floats:
        size = len(self._rows)
        table = tables.get(number.family)
        if table is None:
            return np.full(size, np.nan)
        join, values = self._joins[number.family], table.values
        things = join.things[: len(values)]
        if number.pick is not None:
            chosen = join.picked(number.pick, len(values))
            things, values = things[chosen], values[chosen]
        good = ~np.isnan(values) & (things >= 0)
        things, values = things[good], values[good]
        if number.combine == "max":
            dense = np.full(size, -np.inf)
            np.maximum.at(dense, things, values)
            dense[np.isinf(dense)] = np.nan
            return dense * number.scale
        counts = np.bincount(things, minlength=size)
        sums = np.bincount(things, values, size)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(counts > 0, sums / counts if number.combine == "mean" else sums, np.nan) * number.scale

    def _text(self, family: str, label: str, pick: tuple[str, str] | None, tables: Mapping[str, Table]) -> Texts:
        texts: Texts = np.full(len(self._rows), None, object)
        table = tables.get(family)
        if table is None:
            return texts
        join = self._joined(family, table, grow=family in self.resource.seen_in)
        there = ~np.isnan(table.values)
        kept = self._kept.get((family, label))
        if kept is not None and kept[0] is table.keys and len(kept[2]) == len(texts) and np.array_equal(kept[1], there):
            return kept[2]
        at = join.labels.index(label)
        chosen = np.arange(len(table.values)) if pick is None else join.picked(pick, len(table.values))
        chosen = chosen[there[chosen] & (join.things[chosen] >= 0)]
        rows = table.keys.rows
        for thing, row in zip(join.things[chosen].tolist(), chosen.tolist(), strict=True):
            texts[thing] = rows[row][at] or None
        self._kept[(family, label)] = table.keys, there, texts
        return texts

    def _keys(self) -> dict[str, Texts]:
        """The key labels as columns, made anew only when a thing has come."""
        size = len(self._rows)
        if not self._texts or len(next(iter(self._texts.values()))) != size:
            columns = list(zip(*self._rows, strict=True)) or [()] * len(self.resource.key)
            self._texts = {
                label: np.array([*column, None], object)[:-1]
                for label, column in zip(self.resource.key, columns, strict=True)
            }
        return dict(self._texts)

    def _sorted(self, texts: Mapping[str, Texts]) -> Index:
        """Rows in the order of the resource, kept while nothing has come."""
        if len(self._order) != len(self._rows):
            by = [texts[field] for field in (*self.resource.order, *self.resource.key)]
            ranks = [[_rank(text) for text in column.tolist()] for column in by]
            keys = list(zip(*ranks, strict=True))
            self._order = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
        return self._order


def _rank(text: str | None) -> tuple[int, str]:
    """Sort key: numbers by their size, `10` after `9`; other texts after them."""
    if text is None:
        return 0, ""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text), ""
    return 10**9, text


def joined(frames: list[Frame], resource: Resource) -> Frame:
    """The frames of all clusters as one."""
    if len(frames) == 1:
        return frames[0]
    fields = (*resource.key, *(t.field for t in resource.texts))
    none: Texts = np.empty(0, object)
    nothing: Floats = np.empty(0)
    return Frame(
        resource,
        {field: np.concatenate([none, *(f.texts[field] for f in frames)]) for field in fields},
        {n.field: np.concatenate([nothing, *(f.numbers[n.field] for f in frames)]) for n in resource.numbers},
    )
