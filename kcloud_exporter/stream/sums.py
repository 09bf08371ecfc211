"""Sums: watts of an output family by group, for the rows that a filter takes.

Which row belongs where is looked at once, when the row first appears; a steady cycle adds columns of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np

from kcloud_exporter.model import Keys, Table

G = TypeVar("G", bound=Hashable)


class Sums(Generic[G]):
    """Adds up one family of one cluster. `group_of` gives a row's group from its label values; None leaves it out."""

    def __init__(self, group_of: Callable[[tuple[str, ...]], G | None]) -> None:
        self._group_of = group_of
        self._keys: Keys | None = None
        self._begin()

    def _begin(self) -> None:
        self._groups: list[G] = []
        self._number: dict[G, int] = {}
        self._rows: list[int] = []
        self._row_group: list[int] = []
        self._seen = 0

    def of(self, table: Table | None) -> dict[G, float]:
        """Group → sum over its rows that have a value. A group without any is absent, never 0."""
        if table is None:
            return {}
        if table.keys is not self._keys:
            self._keys = table.keys
            self._begin()
        for row in range(self._seen, len(table.values)):
            group = self._group_of(table.keys.rows[row])
            if group is not None:
                number = self._number.setdefault(group, len(self._groups))
                if number == len(self._groups):
                    self._groups.append(group)
                self._rows.append(row)
                self._row_group.append(number)
        self._seen = max(self._seen, len(table.values))
        rows = np.asarray(self._rows, dtype=np.intp)
        within = rows < len(table.values)  # an older snapshot has fewer rows
        rows, groups = rows[within], np.asarray(self._row_group, dtype=np.intp)[within]
        values = table.values[rows]
        known = ~np.isnan(values)
        sums = np.bincount(groups[known], values[known], len(self._groups)).tolist()
        counts = np.bincount(groups[known], minlength=len(self._groups)).tolist()
        return {group: sums[n] for n, group in enumerate(self._groups) if counts[n]}
