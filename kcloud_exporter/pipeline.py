"""Pipeline: one tick gathers all sources, does the books of each cluster, and makes one snapshot.

The only room that knows sources, normalise and derive at once. A failed source is data; a defect in one
cluster's books costs that cluster its cycle and nobody else's.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kcloud_exporter import catalogue
from kcloud_exporter.config.schema import ClusterConfig, Config, SiteConfig
from kcloud_exporter.derive.energy import SITE_LEVELS, EnergyBook, Totals, interval
from kcloud_exporter.derive.inputs import facility_watts, inputs_of
from kcloud_exporter.derive.ledger import Ledger, balance
from kcloud_exporter.derive.pue import SitePower, site_power
from kcloud_exporter.derive.tables import ClusterTables, small_table
from kcloud_exporter.errors import FailureReason, RejectReason, StorageError
from kcloud_exporter.model import ClusterSnapshot, Outcome, Scrape, SeriesTable, Snapshot, Table
from kcloud_exporter.normalise.engine import ClusterEngine
from kcloud_exporter.sources.base import Source
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.telemetry import Telemetry
from kcloud_exporter.vendors.mapping import VendorIndex

log = logging.getLogger(__name__)
COMPACT_EVERY = 100
"""Cycles between looks for dead series."""
ENDED_PODS_SECONDS, ENDED_PODS_MOST = 86_400.0, 100_000
"""How long, and for how many pods at the most, the counter of an ended pod is kept in case it comes back."""


@dataclass(slots=True)
class SourceState:
    """What is known of one source (one endpoint) over time."""

    up: bool | None = None
    last_success: float | None = None
    duration_seconds: float = 0.0
    samples: int = 0
    failure: str = ""
    reason: FailureReason | None = None
    failures: Counter[FailureReason] = field(default_factory=Counter)
    rejected: Counter[RejectReason] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Books:
    """One cluster's result of one cycle: what is shown, and what its site needs."""

    snapshot: ClusterSnapshot
    it_watts: float | None
    nodes_measured: int
    nodes_known: int
    facility: Mapping[str, float]


class ClusterPipeline:
    """One cluster from outcomes to books. Clusters share nothing."""

    def __init__(self, config: Config, cluster: ClusterConfig, vendors: VendorIndex, energy: EnergyBook) -> None:
        self.config, self.cluster, self.energy = config, cluster, energy
        self.previous: float | None = None
        self.sources: dict[str, SourceState] = {}
        self._tables = ClusterTables(cluster.name)
        self._engine = ClusterEngine(
            vendors.with_facility(facility_meters(config, cluster.name)),
            aliases=dict(cluster.nodes.aliases),
            pattern=cluster.nodes.pattern,
            meters=config.ledger.meters,
            max_staleness=config.global_.max_staleness,
            forget_after=config.global_.forget_after,
        )

    def retire(self, replaced: Sequence[tuple[SeriesTable, SeriesTable]]) -> None:
        """Sources have dropped dead series: follow their new tables."""
        for old, new in replaced:
            self._engine.retire(old, new)

    def cycle(self, outcomes: Sequence[Outcome], now: float, monotonic: float) -> Books:
        """Do the books of one cycle. Pure but for the state that must survive a tick; no I/O, no clock.

        `now` is Unix time, for ages; `monotonic` counts seconds that no clock setting moves, for energy.
        """
        scrapes = [outcome for outcome in outcomes if isinstance(outcome, Scrape)]
        for outcome in outcomes:
            self._note(outcome, now)
        for (source, reason), count in self._engine.ingest(scrapes, now).items():
            self.sources[source].rejected[reason] += count
        readings = self._engine.readings(now)
        ledger = balance(inputs_of(readings), idle=self.config.ledger.idle, overhead=self.config.ledger.overhead)
        self._count_derived(ledger)
        tables = self._tables.build(readings, ledger)
        span = interval(self.previous, monotonic, self.config.global_.max_staleness)
        self.previous = monotonic
        tables.update(self.energy.integrate(tables, tables, span, now))
        tables[catalogue.ENERGY_GAP.name] = small_table([((self.cluster.name,), self.energy.gap_seconds)])
        tables.update(self.source_tables())
        known = int(ledger.node_measured.sum() + ledger.node_partial.sum() + ledger.node_lost.sum())
        watts = [w for w in ledger.cluster_power.tolist() if not math.isnan(w)]
        snapshot = ClusterSnapshot(self.cluster.name, self.cluster.site, tables)
        return Books(
            snapshot,
            math.fsum(watts) if watts else None,
            int(ledger.node_measured.sum()),
            known,
            facility_watts(readings),
        )

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


def facility_meters(config: Config, cluster: str) -> dict[str, list[tuple[dict[str, str], float, str]]]:
    """Series name → [(label matchers, scale, meter key)] of the facility meters that this cluster's sources see."""
    found: dict[str, list[tuple[dict[str, str], float, str]]] = {}
    for site in config.sites:
        for number, meter in enumerate(site.facility_power):
            if meter.cluster == cluster:
                found.setdefault(meter.metric, []).append(
                    (dict(meter.labels), meter.scale, meter_key(site.name, number, meter.category))
                )
    return found


class Pipeline:
    """The running whole: owns the sources and the per-cluster state; one tick at a time."""

    def __init__(
        self,
        config: Config,
        vendors: VendorIndex,
        sources: Sequence[Source],
        telemetry: Telemetry,
        *,
        counters: Counters,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self._sources, self._telemetry = config, list(sources), telemetry
        self._counters, self._monotonic = counters, monotonic
        self._site_previous: float | None = None
        self._site_energy = {site.name: counters.site(site.name) for site in config.sites}
        self._wall = wall
        self.cycles = 0
        self.clusters = {c.name: ClusterPipeline(config, c, vendors, counters.cluster(c.name)) for c in config.clusters}
        self._label_names = tuple(sorted({label for c in config.clusters for label in c.labels}))
        self._books: dict[str, Books] = {}
        self._books_at: dict[str, float] = {}

    async def tick(self) -> Snapshot:
        """Gather, then do the books off the event loop. Never raises for a failed source."""
        now = self._wall()
        with self._telemetry.stage("gather"):
            outcomes = await self._gather()
        with self._telemetry.stage("derive"):
            snapshot = await asyncio.to_thread(self._derive, outcomes, now, self._monotonic())
        with self._telemetry.stage("persist"):
            await asyncio.to_thread(self._persist, now)
        self.cycles += 1
        if self.cycles % COMPACT_EVERY == 0:
            self._compact()
        return snapshot

    async def _gather(self) -> dict[str, list[Outcome]]:
        timeout = self.config.global_.timeout
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(source.collect(timeout)) for source in self._sources]
        outcomes: dict[str, list[Outcome]] = {name: [] for name in self.clusters}
        for source, task in zip(self._sources, tasks, strict=True):
            outcomes[source.cluster].extend(task.result())
        return outcomes

    def _derive(self, outcomes: Mapping[str, Sequence[Outcome]], now: float, monotonic: float) -> Snapshot:
        for name, cluster in self.clusters.items():
            try:
                self._books[name] = cluster.cycle(outcomes[name], now, monotonic)
                self._books_at[name] = now
            except Exception as exc:
                log.exception("cycle failed", extra={"cluster": name})
                self._after_defect(cluster, exc, now)
        snapshots = {name: self._books[name].snapshot for name in self.clusters if name in self._books}
        return Snapshot(now, self.cycles, snapshots, self._fleet_tables(now, monotonic), self._label_names)

    def _after_defect(self, cluster: ClusterPipeline, exc: Exception, now: float) -> None:
        """Keep the last books for max_staleness, then show only that the cluster's sources have failed."""
        state = cluster.sources.setdefault("ledger", SourceState())
        state.up, state.failure = False, repr(exc)
        state.failures["internal"] += 1
        name = cluster.cluster.name
        if now - self._books_at.get(name, -math.inf) > self.config.global_.max_staleness:
            empty = ClusterSnapshot(name, cluster.cluster.site, cluster.source_tables())
            self._books[name] = Books(empty, None, 0, 0, {})

    def _persist(self, now: float) -> None:
        """Counters are on disk before the page that shows them. Where the disk fails, the cycle goes on and says so."""
        energy = {name: cluster.energy for name, cluster in self.clusters.items()}
        if self.cycles % COMPACT_EVERY == COMPACT_EVERY - 1:
            for book in energy.values():
                book.forget_ended_pods(now, ENDED_PODS_SECONDS, ENDED_PODS_MOST)
        try:
            self._counters.save(energy, self._site_energy, now)
        except StorageError as exc:
            self._telemetry.storage_failed()
            log.exception("counters could not be written; they go on in memory", extra={"detail": str(exc)})

    def _fleet_tables(self, now: float, monotonic: float) -> dict[str, Table]:
        rows: dict[str, list[tuple[tuple[str, ...], float]]] = {}
        span = interval(self._site_previous, monotonic, self.config.global_.max_staleness)
        self._site_previous = monotonic
        for site in self.config.sites:
            mine: dict[str, list[tuple[tuple[str, ...], float]]] = {}
            self._site_rows(site, mine)
            for family, counter in SITE_LEVELS.items():
                if family.name in mine:
                    table = small_table(mine[family.name])
                    totals = self._site_energy[site.name].setdefault(counter.name, Totals())
                    totals.add(table, span.seconds, now)
                    shown = totals.table(table)
                    rows.setdefault(counter.name, []).extend(zip(shown.keys.rows, shown.values.tolist(), strict=True))
            for name, found in mine.items():
                rows.setdefault(name, []).extend(found)
        rows[catalogue.SNAPSHOT_TIMESTAMP.name] = [((), now)]
        rows[catalogue.CLUSTER_INFO_NAME] = [
            ((c.name, c.site, *(c.labels.get(label, "") for label in self._label_names)), 1.0)
            for c in self.config.clusters
        ]
        return {name: small_table(found) for name, found in rows.items() if found}

    def _site_rows(self, site: SiteConfig, rows: dict[str, list[tuple[tuple[str, ...], float]]]) -> None:
        books = [self._books[c.name] for c in self.config.clusters if c.site == site.name and c.name in self._books]
        expected = sum(c.site == site.name for c in self.config.clusters)
        power = self._site_power(site, books, complete=len(books) == expected)
        for category, watts in power.facility.items():
            rows.setdefault(catalogue.SITE_FACILITY_POWER.name, []).append(((site.name, category), watts))
        if power.it is not None:
            rows.setdefault(catalogue.SITE_IT_POWER.name, []).append(((site.name,), power.it))
        pue = rows.setdefault(catalogue.SITE_PUE.name, [])
        pue.extend(((site.name, category, "measured"), ratio) for category, ratio in power.measured.items())
        if power.static is not None:
            pue.append(((site.name, "", "static"), power.static))

    def _site_power(self, site: SiteConfig, books: list[Books], *, complete: bool) -> SitePower:
        facility: dict[str, list[float]] = {}
        for number, meter in enumerate(site.facility_power):
            of = self._books.get(meter.cluster)
            watts = of.facility.get(meter_key(site.name, number, meter.category)) if of else None
            facility.setdefault(meter.category, []).append(math.nan if watts is None else watts)
        sums = {category: math.fsum(watts) for category, watts in facility.items() if not any(map(math.isnan, watts))}
        it = [b.it_watts for b in books if b.it_watts is not None]
        known = sum(b.nodes_known for b in books)
        share = sum(b.nodes_measured for b in books) / known if known else 0.0
        power = site_power(
            sums,
            math.fsum(it) if it else None,
            share if complete and len(it) == len(books) else 0.0,
            completeness_min=site.completeness_min,
            static=site.static_pue,
        )
        if power.rejected:
            cluster = self.clusters[site.facility_power[0].cluster]
            cluster.sources.setdefault("ledger", SourceState()).rejected["pue_below_one"] += power.rejected
        return power

    def _compact(self) -> None:
        for source in self._sources:
            replaced = source.compact()
            if replaced:
                self.clusters[source.cluster].retire(replaced)

    def continue_from(self, earlier: Pipeline) -> None:
        """Take over sources and state of every cluster whose configuration is the same as before."""
        self.cycles, self._site_previous = earlier.cycles, earlier._site_previous
        for name, cluster in self.clusters.items():
            if name in earlier.clusters:
                cluster.previous = earlier.clusters[name].previous
        if _common(self.config) != _common(earlier.config):
            return
        for name, cluster in list(self.clusters.items()):
            before = earlier.clusters.get(name)
            if before is None or before.cluster != cluster.cluster:
                continue
            if facility_meters(self.config, name) != facility_meters(earlier.config, name):
                continue
            self.clusters[name] = before
            before.config = self.config
            self._sources = [s for s in self._sources if s.cluster != name]
            self._sources += [s for s in earlier._sources if s.cluster == name]
            if name in earlier._books:
                self._books[name], self._books_at[name] = earlier._books[name], earlier._books_at[name]

    async def close_what_is_not_in(self, successor: Pipeline) -> None:
        """Close the sources that a reload has left behind."""
        for source in self._sources:
            if source not in successor._sources:
                await source.close()

    async def close(self) -> None:
        """Close the connections of all sources."""
        for source in self._sources:
            await source.close()


def _common(config: Config) -> tuple[object, ...]:
    """What concerns every cluster: a change of it begins all clusters anew."""
    return config.global_, config.limits, config.ledger, config.vendors_dir
