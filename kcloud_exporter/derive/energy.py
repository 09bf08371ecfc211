"""Energy: our own integrals of the ledger's watts, so that joules obey the same conservation as watts.

    E += P * dt        for every level from the same P and the same dt (ledger.md, section 6)

dt comes from a monotonic clock, so a stepped wall clock adds nothing. A gap longer than max_staleness is not
integrated but counted: nobody saw what was drawn in it, and energy is never invented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import Family
from kcloud_exporter.derive.work import WorkBook
from kcloud_exporter.model import Floats, Keys, Mask, Rows, Table

LEVELS: Final[Mapping[Family, Family]] = {
    catalogue.ACCELERATOR_POWER: catalogue.ACCELERATOR_ENERGY,
    catalogue.NODE_POWER: catalogue.NODE_ENERGY,
    catalogue.POD_POWER: catalogue.POD_ENERGY,
    catalogue.VM_POWER: catalogue.VM_ENERGY,
    catalogue.NAMESPACE_POWER: catalogue.NAMESPACE_ENERGY,
    catalogue.CLUSTER_POWER: catalogue.CLUSTER_ENERGY,
}
"""Power family → its energy family; both carry the same labels."""
SITE_LEVELS: Final[Mapping[Family, Family]] = {
    catalogue.SITE_FACILITY_POWER: catalogue.SITE_FACILITY_ENERGY,
    catalogue.SITE_IT_POWER: catalogue.SITE_IT_ENERGY,
}


@dataclass(frozen=True, slots=True)
class Interval:
    """How much time one cycle integrates, in seconds: `seconds` seen, `gap` unseen."""

    seconds: float
    gap: float


def interval(previous: float | None, now: float, longest: float) -> Interval:
    """The time since the previous cycle on a monotonic clock; longer than `longest` it is a gap."""
    if previous is None:
        return Interval(0.0, 0.0)
    elapsed = max(0.0, now - previous)
    return Interval(elapsed, 0.0) if elapsed <= longest else Interval(0.0, elapsed)


@dataclass(slots=True)
class Progress:
    """Up to when the counters of one scope count: on the monotonic clock of this boot, and as Unix time.

    None where that is not known. It goes to disk with the counters, so that no time is counted twice and none is
    lost when the process, or the configuration's opinion of a cluster, comes and goes.
    """

    monotonic: float | None = None
    wall: float | None = None

    def step(self, now: float, monotonic: float, longest: float) -> Interval:
        """Go on until now (Unix seconds; seconds of the monotonic clock). Returns the time in between.

        Without a monotonic time to go on from (another boot, a time that has not come yet) it is all a gap.
        """
        if self.monotonic is not None and self.monotonic <= monotonic:
            span = interval(self.monotonic, monotonic, longest)
        else:
            span = Interval(0.0, 0.0 if self.wall is None else max(0.0, now - self.wall))
        self.monotonic, self.wall = monotonic, now
        return span


class Totals:
    """Counters of one family: label tuple → a value that never falls. Rows are append-only."""

    def __init__(
        self,
        rows: Sequence[tuple[str, ...]] = (),
        values: Sequence[float] | Floats = (),
        seen: float = -np.inf,
    ) -> None:
        self.keys: list[tuple[str, ...]] = list(rows)
        self.values: Floats = np.array(values, np.float64)
        self.last_added: Floats = np.full(len(self.keys), seen)
        self._row = {key: at for at, key in enumerate(self.keys)}
        self._of_keys: Keys | None = None
        self._rows_of: Rows = np.empty(0, np.int32)

    def add(self, table: Table, seconds: float, now: float) -> None:
        """Integrate one cycle's rates (watts, grams per second, ...) of a table over `seconds`. NaN adds nothing."""
        known = np.flatnonzero(~np.isnan(table.values))
        rows = self._rows(table.keys, len(table.values))
        new = known[rows[known] < 0]
        if len(new):
            rows[new] = [self._row_of(table.keys.rows[at]) for at in new.tolist()]
            fresh = len(self.keys) - len(self.values)
            self.values = np.append(self.values, np.zeros(fresh))
            self.last_added = np.append(self.last_added, np.full(fresh, -np.inf))
        # A label tuple stands once in a table, so plain fancy addition counts every rate once.
        self.values[rows[known]] += table.values[known] * seconds
        self.last_added[rows[known]] = now

    def table(self, shown: Table) -> Table:
        """The counters of what `shown` shows now: a vanished thing vanishes, its total stays in the books."""
        rows = self._rows(shown.keys, len(shown.values))
        counted = ~np.isnan(shown.values) & (rows >= 0)
        values = np.full(len(rows), np.nan)
        values[counted] = self.values[rows[counted]]
        values.flags.writeable = False
        return Table(shown.keys, values)

    def _rows(self, keys: Keys, count: int) -> Rows:
        """The row of each key, -1 for one that has never had a rate; kept while the keys stay the same object."""
        if keys is not self._of_keys:
            self._of_keys, self._rows_of = keys, np.empty(0, np.int32)
        if len(self._rows_of) < count:
            more = [self._row.get(key, -1) for key in keys.rows[len(self._rows_of) : count]]
            self._rows_of = np.append(self._rows_of, np.array(more, np.int32))
        return self._rows_of[:count]

    def _row_of(self, key: tuple[str, ...]) -> int:
        row = self._row.get(key)
        if row is None:
            row = self._row[key] = len(self.keys)
            self.keys.append(key)
        return row

    def without(self, dead: Mask) -> Totals:
        """These totals without the rows where `dead` is true: how counters of long-ended pods leave the books."""
        kept = np.flatnonzero(~dead)
        slim = Totals([self.keys[at] for at in kept.tolist()], self.values[kept])
        slim.last_added = self.last_added[kept]
        return slim


@dataclass(frozen=True, slots=True)
class SiteBook:
    """The counters of one site: energy family → totals."""

    totals: dict[str, Totals]
    progress: Progress


class EnergyBook:
    """All counters of one cluster: family → totals, the time that was not integrated, and the marks of work."""

    def __init__(
        self,
        totals: Mapping[str, Totals] | None = None,
        gap_seconds: float = 0.0,
        work: WorkBook | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.totals: dict[str, Totals] = dict(totals or {})
        self.gap_seconds = gap_seconds
        self.work = work or WorkBook()
        self.progress = progress or Progress()
        self.joules = 0.0
        """What the last cycle has added at the level of the cluster; what a site adds is the sum of these."""

    def integrate(
        self, power: Mapping[str, Table], shown: Mapping[str, Table], span: Interval, now: float
    ) -> dict[str, Table]:
        """Add one cycle, and return the energy tables of what is shown.

        `power` holds the watts to integrate (hardware counters' averages where they exist), `shown` the watts on
        the page; both by power family, over the same keys. Time in which nothing of the cluster was known is a gap.
        """
        cluster = power[catalogue.CLUSTER_POWER.name]
        unknown = span.seconds if np.isnan(cluster.values).all() else 0.0
        self.gap_seconds += span.gap + unknown
        self.joules = float(np.nansum(cluster.values)) * span.seconds
        tables: dict[str, Table] = {}
        for family, energy in LEVELS.items():
            totals = self.totals.setdefault(energy.name, Totals())
            totals.add(power[family.name], span.seconds, now)
            tables[energy.name] = totals.table(shown[family.name])
        return tables

    def add_work(self, units: Table, now: float) -> Table:
        """Add the units of one cycle, and return the counters of those whose work is seen now."""
        totals = self.totals.setdefault(catalogue.WORK_UNITS.name, Totals())
        totals.add(units, 1.0, now)
        return totals.table(units)

    def forget_ended_pods(self, now: float, keep_seconds: float, most: int) -> None:
        """Bound the memory of pods and VMs that have ended: none older than `keep_seconds`, the newest `most` of them.

        Their energy stays in their namespace and their cluster, which count for themselves.
        """
        for family in _OF_PODS:
            totals = self.totals.get(family.name)
            if totals is not None and len(totals.keys):
                self.totals[family.name] = _without_ended(totals, now, keep_seconds, most)
        self.work.forget()


_OF_PODS: Final = (catalogue.POD_ENERGY, catalogue.VM_ENERGY, catalogue.WORK_UNITS)


def _without_ended(totals: Totals, now: float, keep_seconds: float, most: int) -> Totals:
    age = now - totals.last_added
    ended = np.flatnonzero(age > 0)
    dead: Mask = age > keep_seconds
    # The newest last; of those that ended at the same time, the ones that came last.
    by_age = ended[np.argsort(-age[ended], kind="stable")]
    dead[by_age[: max(0, len(by_age) - most)]] = True
    return totals.without(dead) if dead.any() else totals
