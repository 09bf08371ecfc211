"""State: how far one source's series table has been compiled, and what its rows are bound to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from kcloud_exporter.model import Compaction, Rows, SeriesTable
from kcloud_exporter.normalise.bindings import Binding
from kcloud_exporter.readings import Grow


@dataclass(slots=True)
class TableState:
    """How far one series table has been compiled, and its bindings by quantity.

    `shown` counts the rows up to the last one that an answer has shown. The table itself may be longer, and grow
    at this very moment, by what its source reads for a later cycle.
    """

    table: SeriesTable
    bindings: dict[str, Binding] = field(default_factory=dict)
    compiled: int = 0
    shown: int = 0
    row_target: Grow[np.int32] = field(default_factory=lambda: Grow(np.int32))
    holder_rows: Grow[np.int32] = field(default_factory=lambda: Grow(np.int32))
    holder_device: Grow[np.int32] = field(default_factory=lambda: Grow(np.int32))
    holder_partition: Grow[np.int32] = field(default_factory=lambda: Grow(np.int32))
    holder_share: Grow[np.int32] = field(default_factory=lambda: Grow(np.int32))
    inventory_rows: Grow[np.int32] = field(default_factory=lambda: Grow(np.int32))
    inventory_node: Grow[np.int32] = field(default_factory=lambda: Grow(np.int32))
    unidentified_rows: Grow[np.int32] = field(default_factory=lambda: Grow(np.int32))
    unresolved_rows: list[int] = field(default_factory=list)

    def follow(self, compaction: Compaction) -> None:
        """The source has dropped its dead series."""
        new_rows = compaction.rows
        for binding in self.bindings.values():
            binding.move(new_rows)
        self.row_target.keep(new_rows[: self.compiled] >= 0)
        _move(new_rows, self.holder_rows, self.holder_device, self.holder_partition, self.holder_share)
        _move(new_rows, self.inventory_rows, self.inventory_node)
        _move(new_rows, self.unidentified_rows)
        self.unresolved_rows = [row for row in new_rows[self.unresolved_rows].tolist() if row >= 0]
        self.table = compaction.table
        self.compiled, self.shown = compaction.living(self.compiled), compaction.living(self.shown)


def _move(new_rows: Rows, rows: Grow[np.int32], *beside: Grow[np.int32]) -> None:
    """The same of rows, and of what is kept beside them."""
    moved = new_rows[rows.view]
    rows.become(moved[moved >= 0])
    for column in beside:
        column.keep(moved >= 0)
