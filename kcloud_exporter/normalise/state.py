"""State: how far one source's series table has been compiled, and what its rows are bound to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from kcloud_exporter.model import SeriesTable
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
