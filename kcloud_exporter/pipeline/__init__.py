"""Pipeline: one tick gathers all sources, does the books of each cluster, and makes one snapshot.

The only room that knows sources, normalise and derive at once. A failed source is data; a defect in one
cluster's books costs that cluster its cycle and nobody else's.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeAlias, TypeVar

from kcloud_exporter import catalogue
from kcloud_exporter.clocks import REAL, Clocks
from kcloud_exporter.config.schema import Config
from kcloud_exporter.derive.energy import Interval
from kcloud_exporter.derive.tables import small_table
from kcloud_exporter.errors import SelectorError
from kcloud_exporter.explain.tree import Node
from kcloud_exporter.model import ClusterSnapshot, Compaction, Failure, Mask, Outcome, Snapshot, Table
from kcloud_exporter.pipeline.cluster import Books, ClusterPipeline, SourceState, facility_meters, work_meters
from kcloud_exporter.pipeline.explanation import explain
from kcloud_exporter.pipeline.persistence import Persistence
from kcloud_exporter.pipeline.sites import Sites
from kcloud_exporter.sources.base import Source
from kcloud_exporter.sources.patience import SLOW_RATIO, Patience, Verdict
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.telemetry import Telemetry
from kcloud_exporter.vendors.mapping import VendorIndex

__all__ = ["COMPACT_EVERY", "Books", "ClusterPipeline", "Pipeline", "facility_meters", "work_meters"]

log = logging.getLogger(__name__)
_T = TypeVar("_T")
Tape: TypeAlias = Callable[[Mapping[str, Sequence[Outcome]], float, float], None]
"""Hears of each cycle before it is done: the arguments of `Pipeline.cycle`."""
COMPACT_EVERY = 5
"""Cycles between looks for dead series."""
ENDED_PODS_EVERY = 25
"""Cycles between looks for counters of pods that have ended."""
ENDED_PODS_SECONDS, ENDED_PODS_MOST = 86_400.0, 100_000
"""How long, and for how many pods at the most, the counter of an ended pod is kept in case it comes back."""


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
        clocks: Clocks = REAL,
    ) -> None:
        self.config, self._sources, self._telemetry = config, list(sources), telemetry
        self._persistence = Persistence(counters, telemetry)
        self._vendors = vendors
        self._clocks = clocks
        self.tape: Tape | None = None
        self.cycles = 0
        self.clusters = {c.name: ClusterPipeline(config, c, vendors, counters.cluster(c.name)) for c in config.clusters}
        for name, cluster in self.clusters.items():
            cluster.remember(counters.last_samples(name))
        self._label_names = config.cluster_labels
        self._books: dict[str, Books] = {}
        self._latest: Snapshot | None = None
        self._sites = Sites(config, self.clusters, counters)
        self._books_at: dict[str, float] = {}
        self._patience: Patience[int, list[Outcome]] = Patience(self._verdict)
        # Threads of the event loop's own pool can all be taken by name look-ups that hang.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="books")

    async def tick(self) -> Snapshot:
        """Gather, then do the books off the event loop. Never raises for a failed source."""
        now = self._clocks.wall()
        with self._telemetry.stage("gather"):
            outcomes = await self._gather()
        snapshot = await self._work(partial(self.cycle, outcomes, now, self._clocks.steady()))
        if self.cycles % COMPACT_EVERY == 0:
            await self._work(self._compact)
        return snapshot

    def cycle(self, outcomes: Mapping[str, Sequence[Outcome]], now: float, monotonic: float) -> Snapshot:
        """The books of one cycle, on disk when this returns. The same in the same order gives the same snapshots.

        `outcomes` by cluster; `now` is Unix time, `monotonic` counts the seconds that no clock setting moves.
        """
        if self.tape is not None:
            self.tape(outcomes, now, monotonic)
        with self._telemetry.stage("derive"):
            snapshot = self._derive(outcomes, now, monotonic)
        with self._telemetry.stage("persist"):
            self._persist(now, monotonic)
        self.cycles += 1
        return snapshot

    def compact(self, source: Source, compact: Callable[[Mask], Compaction | None]) -> None:
        """Let a source drop its dead series, but for those that its cluster needs."""
        self.clusters[source.cluster].compact(source.intake.table, compact)

    async def _work(self, job: Callable[[], _T]) -> _T:
        """Do CPU-bound or disk-bound work in the thread of the books."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, job)

    async def _gather(self) -> dict[str, list[Outcome]]:
        """The outcomes that have come. A source that hung before is not waited for."""
        answers = await self._patience.round(
            {number: partial(self._ask, source) for number, source in enumerate(self._sources)}
        )
        outcomes: dict[str, list[Outcome]] = {name: [] for name in self.clusters}
        for number, found in answers.items():
            outcomes[self._sources[number].cluster].extend(found)
        return outcomes

    def _verdict(self, found: list[Outcome]) -> Verdict:
        if found and all(isinstance(outcome, Failure) for outcome in found):
            return "failed"
        longest = max((outcome.duration_seconds for outcome in found), default=0.0)
        # A source with many targets does not wait for its own slow ones, so they do not make it slow.
        slow = len(found) == 1 and longest > SLOW_RATIO * self.config.global_.timeout
        return "slow" if slow else "prompt"

    async def _ask(self, source: Source) -> list[Outcome]:
        timeout = self.config.global_.timeout
        try:
            return await source.collect(timeout)
        except Exception as exc:
            log.exception("a source broke its promise not to raise", extra={"cluster": source.cluster})
            return [Failure(source.cluster, name, "internal", repr(exc), 0.0) for name in source.names]

    def _derive(self, outcomes: Mapping[str, Sequence[Outcome]], now: float, monotonic: float) -> Snapshot:
        for name, cluster in self.clusters.items():
            try:
                self._books[name] = cluster.cycle(outcomes[name], now, monotonic)
                self._books_at[name] = monotonic
            except Exception as exc:
                log.exception("cycle failed", extra={"cluster": name})
                self._after_defect(cluster, exc, monotonic)
        snapshots = {name: self._books[name].snapshot for name in self.clusters if name in self._books}
        self._latest = Snapshot(now, self.cycles, snapshots, self._fleet_tables(now, monotonic), self._label_names)
        return self._latest

    async def explain(self, series: str, depth: int | None = None) -> tuple[Node, float]:
        """The tree behind one series of the last cycle, and when that was (Unix time). Raises SelectorError.

        It waits its turn in the thread of the books, so that no cycle changes what it looks at.
        """
        return await self._work(partial(self.explain_now, series, depth))

    def explain_now(self, series: str, depth: int | None = None) -> tuple[Node, float]:
        """As `explain`, for whoever runs no cycles beside it."""
        latest = self._latest
        if latest is None:
            raise SelectorError("no cycle has ended yet; ask again in a moment", absent=True)
        return explain(series, latest, self.clusters, self._books, self.config, depth), latest.timestamp

    def _after_defect(self, cluster: ClusterPipeline, exc: Exception, monotonic: float) -> None:
        """Keep the last books for max_staleness, then show only that the cluster's sources have failed."""
        state = cluster.sources.setdefault("ledger", SourceState())
        state.up, state.failure = False, repr(exc)
        state.failures["internal"] += 1
        name = cluster.cluster.name
        if monotonic - self._books_at.get(name, -math.inf) > self.config.global_.max_staleness:
            empty = ClusterSnapshot(name, cluster.cluster.site, cluster.source_tables())
            self._books[name] = Books(empty, None, 0, 0, 0, {}, {}, small_table([]), Interval(0.0, 0.0))

    def _persist(self, now: float, monotonic: float) -> None:
        """Counters are on disk before the page that shows them."""
        if self.cycles % ENDED_PODS_EVERY == ENDED_PODS_EVERY - 1:
            for cluster in self.clusters.values():
                cluster.energy.forget_ended_pods(now, ENDED_PODS_SECONDS, ENDED_PODS_MOST)
        self._persistence.persist(self.clusters, self._sites.energy, now, monotonic)

    def _fleet_tables(self, now: float, monotonic: float) -> dict[str, Table]:
        fresh = frozenset(name for name, at in self._books_at.items() if at == monotonic)
        tables = self._sites.tables(self._books, fresh, now, monotonic)
        tables[catalogue.SNAPSHOT_TIMESTAMP.name] = small_table([((), now)])
        tables[catalogue.CLUSTER_INFO_NAME] = small_table(
            [
                ((c.name, c.site, *(c.labels.get(label, "") for label in self._label_names)), 1.0)
                for c in self.config.clusters
            ]
        )
        return tables

    def _compact(self) -> None:
        for number, source in enumerate(self._sources):
            if not self._patience.waits_for(number):
                self.compact(source, source.compact)

    def continue_from(self, earlier: Pipeline) -> None:
        """Take over sources and state of every cluster whose configuration is the same as before.

        Vendor tables belong to the configuration: with other ones every cluster begins anew.
        """
        self.cycles, self._persistence = earlier.cycles, earlier._persistence
        if _common(self.config) != _common(earlier.config) or self._vendors.tables != earlier._vendors.tables:
            return
        for name, cluster in list(self.clusters.items()):
            before = earlier.clusters.get(name)
            if before is None or before.cluster != cluster.cluster:
                continue
            if any(of(self.config, name) != of(earlier.config, name) for of in (facility_meters, work_meters)):
                continue
            self.clusters[name] = before
            before.config = self.config
            self._sources = [s for s in self._sources if s.cluster != name]
            self._sources += [s for s in earlier._sources if s.cluster == name]
            if name in earlier._books:
                self._books[name], self._books_at[name] = earlier._books[name], earlier._books_at[name]

    async def close_what_is_not_in(self, successor: Pipeline) -> None:
        """Close what a reload has left behind. Questions that are still out are taken back: the successor asks anew."""
        await self._patience.close()
        for source in self._sources:
            if source not in successor._sources:
                await source.close()
        self._worker.shutdown(wait=False)

    async def close(self) -> None:
        """Close the connections of all sources."""
        await self._patience.close()
        for source in self._sources:
            await source.close()
        self._worker.shutdown(wait=False)


def _common(config: Config) -> tuple[object, ...]:
    """What concerns every cluster: a change of it begins all clusters anew."""
    return config.global_, config.limits, config.ledger, config.vendors_dir
