"""One cluster from outcomes to books. Clusters share nothing."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kcloud_exporter import catalogue
from kcloud_exporter.config.schema import ClusterConfig, Config
from kcloud_exporter.derive.cycle import close_books
from kcloud_exporter.derive.energy import EnergyBook, Interval
from kcloud_exporter.derive.inputs import facility_watts
from kcloud_exporter.derive.ledger import Ledger
from kcloud_exporter.derive.per_work import EnergyPerWork
from kcloud_exporter.derive.tables import ClusterTables, small_table
from kcloud_exporter.errors import FailureReason, RejectReason
from kcloud_exporter.explain.families import ClusterFamilies
from kcloud_exporter.explain.ledger import LedgerTrees
from kcloud_exporter.model import ClusterSnapshot, Compaction, Floats, Mask, Outcome, Scrape, SeriesTable, Table
from kcloud_exporter.normalise.engine import ClusterEngine
from kcloud_exporter.normalise.inventory import Inventory
from kcloud_exporter.normalise.samples import packed, unpacked
from kcloud_exporter.normalise.work import WorkMeter
from kcloud_exporter.readings import NEVER, Readings
from kcloud_exporter.vendors.mapping import VendorIndex

log = logging.getLogger(__name__)


@dataclass(slots=True)
class SourceState:
    """What is known of one source (one endpoint) over time."""

    up: bool | None = None
    last_success: float | None = None
    duration_seconds: float = 0.0
    samples: int = 0
    clock_skew: float | None = None
    failure: str = ""
    reason: FailureReason | None = None
    failures: Counter[FailureReason] = field(default_factory=Counter)
    rejected: Counter[RejectReason] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Books:
    """One cluster's result of one cycle: what is shown, and what its site needs.

    `unheard` counts the sources that have never answered, where no inventory says which nodes there are: behind each
    of them may stand a node that nobody knows of.
    """

    snapshot: ClusterSnapshot
    it_watts: float | None
    nodes_measured: int
    nodes_known: int
    unheard: int
    facility: Mapping[str, float]
    tables: dict[str, Table]
    namespace_watts: Table
    span: Interval


class ClusterPipeline:
    """One cluster from outcomes to books. Clusters share nothing."""

    def __init__(self, config: Config, cluster: ClusterConfig, vendors: VendorIndex, energy: EnergyBook) -> None:
        self.config, self.cluster, self.energy = config, cluster, energy
        self.sources: dict[str, SourceState] = {}
        self._tables = ClusterTables(cluster.name)
        self._readings: Readings | None = None
        self._cycled_at = NEVER
        meters = work_meters(config, cluster.name)
        self._counts_work, self._per_work = bool(meters), EnergyPerWork()
        self._engine = ClusterEngine(
            vendors.with_facility(facility_meters(config, cluster.name)),
            aliases=dict(cluster.nodes.aliases),
            pattern=cluster.nodes.pattern,
            meters=config.ledger.meters,
            max_staleness=config.global_.max_staleness,
            forget_after=config.global_.forget_after,
            work=meters,
        )
        self._inventory = Inventory(cluster.name, vendors, config.global_.max_staleness, self._engine.server_of)

    def remember(self, samples: Floats) -> None:
        """Go on from the last samples of counters that an earlier process, or configuration, has left."""
        self._engine.remember(unpacked(samples))

    def last_samples(self, monotonic: float) -> Floats:
        """The last samples of counters, as plain numbers, for whoever comes after."""
        return packed(self._engine.last_samples(monotonic))

    def compact(self, table: SeriesTable, compact: Callable[[Mask], Compaction | None]) -> None:
        """Let the source of a table drop its dead series, but for those that the books need still."""
        found = compact(self._engine.needed(table, self._cycled_at))
        if found is not None:
            self._engine.follow(found)
            self._inventory.follow(found)

    def cycle(self, outcomes: Sequence[Outcome], now: float, monotonic: float) -> Books:
        """Do the books of one cycle. Pure but for the state that must survive a tick; no I/O, no clock.

        `now` is Unix time, for what is shown; `monotonic` counts the seconds that no clock setting moves: ages,
        rates and energy are made of those.
        """
        self._cycled_at = monotonic
        scrapes = [outcome for outcome in outcomes if isinstance(outcome, Scrape)]
        for outcome in outcomes:
            self._note(outcome, now)
        for (source, reason), count in self._engine.ingest(scrapes, monotonic).items():
            self.sources[source].rejected[reason] += count
        self._inventory.ingest(scrapes, monotonic)
        self._readings = None  # what cannot be read must not be explained with what was before
        readings = self._engine.readings(monotonic)
        span = self.energy.progress.step(now, monotonic, self.config.global_.max_staleness)
        policy = self.config.ledger
        try:
            ledger, tables, namespace_watts = close_books(
                readings, self._tables, self.energy, span, now, idle=policy.idle, overhead=policy.overhead
            )
        except Exception:
            # A defect. How much of it is in the counters is not known, so it is not tried again.
            self.energy.gap_seconds += span.seconds
            raise
        tables.update(self._work(readings, ledger, namespace_watts, span, now, monotonic))
        self._count_derived(ledger)
        tables[catalogue.ENERGY_GAP.name] = small_table([((self.cluster.name,), self.energy.gap_seconds)])
        tables.update(self.source_tables())
        known = int(ledger.node_measured.sum() + ledger.node_partial.sum() + ledger.node_lost.sum())
        watts = [w for w in ledger.cluster_power.tolist() if not math.isnan(w)]
        facts = {"node_state": self._tables.node_states(readings, ledger), **self._inventory.tables(monotonic)}
        snapshot = ClusterSnapshot(self.cluster.name, self.cluster.site, tables, facts)
        self._readings = readings
        return Books(
            snapshot,
            math.fsum(watts) if watts else None,
            int(ledger.node_measured.sum()),
            known,
            0 if readings.has_inventory else self._unheard(),
            facility_watts(readings),
            tables,
            namespace_watts,
            span,
        )

    def _unheard(self) -> int:
        return sum(state.up is False and state.last_success is None for state in self.sources.values())

    def families(self) -> ClusterFamilies | None:
        """What explains the numbers of the last cycle; None when it has failed. Good until the next cycle."""
        if self._readings is None:
            return None
        policy = self.config.ledger
        trees = LedgerTrees(
            self.cluster.name,
            self._readings,
            self._engine.columns,
            self._engine.tables,
            idle=policy.idle,
            overhead=policy.overhead,
        )
        return ClusterFamilies(trees, self._readings)

    def _work(
        self, readings: Readings, ledger: Ledger, watts: Table, span: Interval, now: float, monotonic: float
    ) -> dict[str, Table]:
        """Units of work that were done, and the energy of one, where counters of work are configured."""
        if readings.work is None or not self._counts_work:
            return {}
        units = self.energy.work.count(readings.work, self.cluster.name, monotonic, self.config.global_.max_staleness)
        ratios = self._per_work.ratios(units, watts, readings, ledger, span, monotonic)
        per_work: list[tuple[tuple[str, ...], float]] = list(ratios)
        tables = {catalogue.WORK_UNITS.name: self.energy.add_work(units, now)}
        # A namespace may lie in several parts of a cluster, with its work in one of them.
        if not self.cluster.part:
            tables[catalogue.NAMESPACE_ENERGY_PER_WORK.name] = small_table(per_work)
        return tables

    def _count_derived(self, ledger: Ledger) -> None:
        """What the books themselves had to reject is counted under the source name `ledger`."""
        found: tuple[tuple[RejectReason, int], ...] = (
            ("exceeds_node", ledger.scaled_down),
            ("out_of_bounds", self._engine.beyond_limit),
        )
        for reason, count in found:
            if count:
                self.sources.setdefault("ledger", SourceState()).rejected[reason] += count

    def _note(self, outcome: Outcome, now: float) -> None:
        state = self.sources.setdefault(outcome.source, SourceState())
        state.duration_seconds = outcome.duration_seconds
        if isinstance(outcome, Scrape):
            if state.up is False:
                log.info("source is back", extra={"cluster": outcome.cluster, "source": outcome.source})
            state.up, state.last_success, state.samples = True, now, len(outcome.rows)
            newest = outcome.newest
            state.clock_skew = None if newest is None else newest - now
            state.failure, state.reason = "", None
            return
        if state.up is not False or state.reason != outcome.reason:
            log.warning(
                "source failed",
                extra={
                    "cluster": outcome.cluster,
                    "source": outcome.source,
                    "reason": outcome.reason,
                    "detail": outcome.message,
                },
            )
        state.up, state.failure, state.reason = False, outcome.message, outcome.reason
        state.failures[outcome.reason] += 1

    def source_tables(self) -> dict[str, Table]:
        """The families of level source, from the state of this cluster's sources."""
        rows: dict[str, list[tuple[tuple[str, ...], float]]] = {}
        for name, state in self.sources.items():
            key = (self.cluster.name, name)
            if state.up is not None:
                rows.setdefault(catalogue.SOURCE_UP.name, []).append((key, float(state.up)))
                rows.setdefault(catalogue.SOURCE_DURATION.name, []).append((key, state.duration_seconds))
            if state.last_success is not None:
                rows.setdefault(catalogue.SOURCE_LAST_SUCCESS.name, []).append((key, state.last_success))
                rows.setdefault(catalogue.SOURCE_SAMPLES.name, []).append((key, float(state.samples)))
            if state.clock_skew is not None:
                rows.setdefault(catalogue.SOURCE_CLOCK_SKEW.name, []).append((key, state.clock_skew))
            for family, counts in (
                (catalogue.SOURCE_FAILURES, state.failures),
                (catalogue.SAMPLES_REJECTED, state.rejected),
            ):
                rows.setdefault(family.name, []).extend(
                    ((*key, reason), float(count)) for reason, count in sorted(counts.items())
                )
        return {name: small_table(found) for name, found in rows.items() if found}


def meter_key(site: str, number: int, category: str) -> str:
    """The entity name under which one configured facility meter is read."""
    return f"{site}/{category}/{number}"


def carbon_key(site: str) -> str:
    """The entity name under which a site's carbon intensity is read, where it comes from a series."""
    return f"{site}/carbon"


def facility_meters(config: Config, cluster: str) -> dict[str, list[tuple[dict[str, str], float, str]]]:
    """Series name → [(label matchers, scale, meter key)] of what sites read from this cluster's sources."""
    found: dict[str, list[tuple[dict[str, str], float, str]]] = {}
    for site in config.sites:
        carbon = site.carbon_intensity
        if carbon is not None and carbon.metric is not None and carbon.cluster == cluster:
            found.setdefault(carbon.metric, []).append((dict(carbon.labels), carbon.scale, carbon_key(site.name)))
        for number, meter in enumerate(site.facility_power):
            if meter.cluster == cluster:
                found.setdefault(meter.metric, []).append(
                    (dict(meter.labels), meter.scale, meter_key(site.name, number, meter.category))
                )
    return found


def work_meters(config: Config, cluster: str) -> tuple[WorkMeter, ...]:
    """What is read from this cluster's sources as counters of work."""
    return tuple(
        WorkMeter(
            unit=counter.unit,
            metric=counter.metric,
            labels=dict(counter.labels),
            scale=counter.scale,
            namespace=counter.namespace,
            pod=counter.pod,
        )
        for counter in config.work_units
        if not counter.clusters or cluster in counter.clusters
    )
