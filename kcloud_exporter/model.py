"""The nouns that rooms hand to each other. Values are never changed after they are handed over.

Columns, not objects: a large fleet is millions of samples a tick, so a sample is a row number and a float.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcloud_exporter.errors import FailureReason, RejectReason

Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int32]
Mask: TypeAlias = NDArray[np.bool_]
Labels: TypeAlias = dict[str, str]


class SeriesTable:
    """Row number → name and labels of every series that one source has ever shown.

    Append-only while it lives, so that arrays elsewhere can be aligned to its rows; a source that has
    collected too many dead rows begins a new table (see `Compaction`). `labels` are without `__name__`, so that
    the many series that tell of one thing share one object, which nobody changes.
    """

    __slots__ = ("labels", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.labels: list[Labels] = []

    def __len__(self) -> int:
        return len(self.labels)

    def add(self, name: str, labels: Labels) -> int:
        """Append one series and return its row."""
        self.names.append(name)
        self.labels.append(labels)
        return len(self.labels) - 1

    def series(self, row: int) -> Labels:
        """All labels of a series, `__name__` first."""
        return {"__name__": self.names[row], **self.labels[row]}


class Compaction(NamedTuple):
    """A series table that has lost its dead rows. `rows[old row]` is the new row, -1 for a dropped one.

    Rows keep their order. `table` may grow by what is read for a later cycle, while `rows` tells of the old one only.
    """

    old: SeriesTable
    table: SeriesTable
    rows: Rows

    def living(self, end: int) -> int:
        """How many of the first `end` rows of the old table live on: the first so many rows of the new one."""
        return int((self.rows[:end] >= 0).sum())


@dataclass(frozen=True, slots=True)
class Scrape:
    """One good answer of one endpoint: parallel columns over the rows of `table`.

    A row stands at most once in `rows` (duplicates are already dropped and counted in `rejected`).
    `timestamps` are Unix seconds as the upstream printed them, NaN where it printed none; None where it
    printed none at all. `received_at` is when the answer was
    made, as near as can be told, on our own clock that no setting moves (monotonic seconds): a stepped wall clock
    makes no power. `step` is the number of the step of its source's intake that read it, 0 where there is none.
    """

    cluster: str
    source: str
    table: SeriesTable
    rows: Rows
    values: Floats
    timestamps: Floats | None
    received_at: float
    duration_seconds: float
    body_bytes: int = 0
    rejected: Mapping[RejectReason, int] = field(default_factory=dict)
    step: int = 0

    @property
    def newest(self) -> float | None:
        """The newest of `timestamps`; None where no sample carries one."""
        if self.timestamps is None or not len(self.timestamps):
            return None
        newest = float(np.fmax.reduce(self.timestamps))
        return None if np.isnan(newest) else newest


@dataclass(frozen=True, slots=True)
class Failure:
    """One endpoint that gave no good answer this time. A failed source is data, not an accident."""

    cluster: str
    source: str
    reason: FailureReason
    message: str
    duration_seconds: float


Outcome: TypeAlias = Scrape | Failure


class Keys:
    """Label values of the rows of one output family; append-only, shared by successive snapshots.

    Subclasses or callers append; a reader looks only at the first `len(values)` rows of its own table.
    The renderer keeps finished label texts per `Keys` object, so an unchanged topology costs nothing.
    """

    __slots__ = ("__weakref__", "rows")

    def __init__(self, rows: Sequence[tuple[str, ...]] = ()) -> None:
        self.rows: list[tuple[str, ...]] = list(rows)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Table:
    """One output family of one scope: `values[i]` belongs to `keys.rows[i]`. NaN = absent, never 0."""

    keys: Keys
    values: Floats


FACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "node_state": ("cluster", "node", "state"),
    "node_role": ("cluster", "node", "role"),
    "node_ready": ("cluster", "node"),
    "pod": ("cluster", "node", "namespace", "pod", "owner_kind", "owner_name"),
    "container": ("cluster", "node", "namespace", "pod", "container", "container_id", "image"),
}
"""Fact → its labels: what is known besides numbers. `node_ready` is 1 or 0, the others are 1 where they hold."""


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """Everything that is known of one cluster: family name → table, and fact → table, which no page shows."""

    name: str
    site: str
    tables: Mapping[str, Table]
    facts: Mapping[str, Table] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One finished cycle. Published by replacing one reference; nobody changes it afterwards.

    `fleet` holds what belongs to no single cluster (sites, the snapshot itself). `cluster_labels` are the
    configured label names of all clusters, which `kcloud_cluster_info` carries.
    """

    timestamp: float
    cycle: int
    clusters: Mapping[str, ClusterSnapshot]
    fleet: Mapping[str, Table]
    cluster_labels: tuple[str, ...] = ()
