"""A cluster in a test: series written as text, fed to the engine cycle by cycle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import compress

import numpy as np

from kcloud_exporter.derive.inputs import inputs_of
from kcloud_exporter.derive.ledger import Ledger, Policy, balance
from kcloud_exporter.derive.tables import ClusterTables
from kcloud_exporter.model import Compaction, Keys, Scrape, SeriesTable, Table
from kcloud_exporter.normalise.engine import ClusterEngine, Rejections
from kcloud_exporter.readings import Readings
from kcloud_exporter.vendors.loading import load_vendors
from kcloud_exporter.vendors.mapping import VendorIndex
from kcloud_exporter.vendors.quantities import METERS

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_VENDORS = load_vendors()


class Prometheus:
    """A stand-in for one source: remembers the series it has shown, as a real one's series table does."""

    def __init__(self, name: str = "prometheus") -> None:
        self.name = name
        self.table = SeriesTable()
        self._rows: dict[str, int] = {}

    def scrape(self, text: str, now: float, *, timestamps: bool = False) -> Scrape:
        """Lines of `name{labels} value [timestamp]` as one good answer."""
        rows, values, stamps = [], [], []
        for line in filter(None, map(str.strip, text.splitlines())):
            series, _, rest = line.rpartition("} ") if "}" in line else line.partition(" ")
            value, _, stamp = rest.partition(" ")
            if series not in self._rows:
                name = series.partition("{")[0]
                self._rows[series] = self.table.add(name, dict(_LABEL.findall(series)))
            rows.append(self._rows[series])
            values.append(float(value))
            stamps.append(float(stamp) if stamp else np.nan)
        return Scrape(
            "c",
            self.name,
            self.table,
            np.array(rows, np.int32),
            np.array(values),
            np.array(stamps) if timestamps else None,
            now,
            0.01,
        )

    def drop(self, *parts: str) -> Compaction:
        """Drop the series whose text has one of these parts, as a source drops dead ones."""
        alive = np.array([not any(part in series for part in parts) for series in self._rows], bool)
        table = SeriesTable()
        table.names, table.labels = list(compress(self.table.names, alive)), list(compress(self.table.labels, alive))
        rows = np.where(alive, np.cumsum(alive) - 1, -1).astype(np.int32)
        return self.follow(Compaction(self.table, table, rows))

    def follow(self, compaction: Compaction) -> Compaction:
        """Go on with the new table."""
        moved = zip(self._rows, compaction.rows[list(self._rows.values())].tolist(), strict=True)
        self._rows = {series: row for series, row in moved if row >= 0}
        self.table = compaction.table
        return compaction


class Cluster:
    """One cluster from text to tables."""

    def __init__(
        self,
        *,
        aliases: dict[str, str] | None = None,
        pattern: str | None = None,
        meters: Sequence[str] = METERS,
        idle: Policy = "unattributed",
        overhead: Policy = "unattributed",
        vendors: VendorIndex | None = None,
    ) -> None:
        self.engine = ClusterEngine(
            vendors or _VENDORS,
            aliases=aliases or {},
            pattern=pattern,
            meters=meters,
            max_staleness=45.0,
            forget_after=3600.0,
        )
        self.prometheus = Prometheus()
        self._idle, self._overhead, self._tables = idle, overhead, ClusterTables("c")
        self.rejected: Rejections = Rejections()
        self.readings: Readings | None = None
        self.ledger: Ledger | None = None
        self.tables: dict[str, Table] = {}

    def cycle(self, text: str, now: float, *, timestamps: bool = False) -> Cluster:
        """One cycle in which the one source answered with `text`."""
        return self.cycle_of([self.prometheus.scrape(text, now, timestamps=timestamps)], now)

    def cycle_of(self, scrapes: Sequence[Scrape], now: float) -> Cluster:
        """One cycle with these answers; none at all is a cycle in which every source failed."""
        self.rejected = self.engine.ingest(scrapes, now)
        self.readings = self.engine.readings(now)
        self.ledger = balance(inputs_of(self.readings), idle=self._idle, overhead=self._overhead)
        self.tables = self._tables.build(self.readings, self.ledger)
        return self

    def shown(self, family: str) -> dict[tuple[str, ...], float]:
        """What the page would show of a family: labels without the cluster → value."""
        table = self.tables.get(family, Table(Keys(), np.empty(0)))
        return {
            key[1:]: value
            for key, value in zip(table.keys.rows, table.values.tolist(), strict=False)
            if np.isfinite(value)
        }
