"""Runtime: the running program without its web server: sources, pipeline, schedule, store, page.

config ─► sources ─► Pipeline.tick (APScheduler; counters to disk) ─► PageStore, SnapshotStore
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from kcloud_exporter import __version__, catalogue
from kcloud_exporter.catalogue import Level
from kcloud_exporter.clocks import REAL, Clocks
from kcloud_exporter.config.schema import Config
from kcloud_exporter.config.sharding import own_part
from kcloud_exporter.errors import ConfigError, KcloudError
from kcloud_exporter.explain.tree import as_data
from kcloud_exporter.exposition.page import PageStore, Variant
from kcloud_exporter.pipeline import Pipeline
from kcloud_exporter.pipeline.building import build_sources, check_vendors, vendors_of
from kcloud_exporter.snapshot import SnapshotStore
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.storage.counters import CounterStore
from kcloud_exporter.telemetry import Telemetry
from kcloud_exporter.vendors.mapping import VendorIndex
from kcloud_exporter.web.status import ClusterStatus, SourceStatus, Status

log = logging.getLogger(__name__)
STALE_TICKS = 3
"""Ready means: the newest snapshot is no older than this many intervals."""
DRAIN_SECONDS = 5.0


def check(config: Config) -> None:
    """Everything that can be checked of a configuration without a network. Raises ConfigError."""
    _checked(config)


def _checked(config: Config) -> VendorIndex:
    """The vendor tables of a configuration that agrees with them. Raises ConfigError."""
    vendors = vendors_of(config)
    problems = [*check_vendors(config, vendors), *_copies(config)]
    if problems:
        raise ConfigError(problems)
    return vendors


def _copies(config: Config) -> list[str]:
    """What the library that writes copies of history says of their place."""
    if config.history.copy_to is None:
        return []
    from kcloud_exporter.history.copies import mistake_in  # the clients of all storages: only where there is one

    mistake = mistake_in(config.history.copy_to)
    return [f"history.copy_to: {mistake}"] if mistake else []


class Runtime:
    """The running program: one pipeline on a schedule, one page store, one set of self-metrics.

    Reloading builds a new pipeline beside the old one and swaps it between two ticks; clusters whose
    configuration did not change keep their sources and their state.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        storage: Path | None = None,
        clocks: Clocks = REAL,
    ) -> None:
        self._load = load
        self._clocks = clocks
        self.started_at = self._clocks.wall()
        self.telemetry = Telemetry()
        self.store = SnapshotStore()
        self.pages = PageStore(self.telemetry.exposition, self._clocks.wall)
        self.config = config
        vendors = _checked(config)
        store = CounterStore(storage) if storage else None
        if store is not None and store.recovered:
            log.error("the counters on disk were damaged and are restored", extra={"detail": store.recovered})
            self.telemetry.storage_damaged()
        self._counters = Counters(store, self._clocks.wall())
        self.pipeline = self._build(config, vendors, None)
        self.telemetry.reloaded(good=True)
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        self._lock = asyncio.Lock()

    def _build(self, config: Config, vendors: VendorIndex, earlier: Pipeline | None) -> Pipeline:
        part = own_part(config)
        if not part.clusters:
            log.warning("no cluster belongs to this shard", extra={"shard": f"{config.sharding}"})
        sources = build_sources(part, vendors, self._clocks)
        pipeline = Pipeline(part, vendors, sources, self.telemetry, counters=self._counters, clocks=self._clocks)
        if earlier is not None:
            pipeline.continue_from(earlier)
        return pipeline

    async def tick(self) -> None:
        """One cycle: gather, derive, render, publish. A defect is logged and counted; the next tick comes anyway."""
        async with self._lock:
            try:
                snapshot = await self.pipeline.tick()
                with self.telemetry.stage("render"):
                    await asyncio.to_thread(self.pages.render, snapshot)
                self.store.publish(snapshot)
            except Exception:
                log.exception("tick failed")

    async def reload(self) -> list[str]:
        """Read the configuration again. Returns every mistake; with any, the old configuration goes on."""
        try:
            config = await asyncio.to_thread(self._load)
            vendors = await asyncio.to_thread(_checked, config)
            async with self._lock:
                earlier, self.pipeline = self.pipeline, self._build(config, vendors, self.pipeline)
                changed = config.global_.interval != self.config.global_.interval
                self.config = config
                await earlier.close_what_is_not_in(self.pipeline)
        except KcloudError as exc:
            self.telemetry.reloaded(good=False)
            problems = list(exc.problems) if isinstance(exc, ConfigError) else [str(exc)]
            log.error(  # noqa: TRY400 - a mistake of the user, told in full, not a defect
                "reload failed, the old configuration goes on", extra={"problems": "; ".join(problems)}
            )
            return problems
        if changed and self._scheduler.running:
            self._scheduler.reschedule_job("tick", trigger="interval", seconds=config.global_.interval)
        self.telemetry.reloaded(good=True)
        log.info("configuration reloaded", extra={"clusters": len(config.clusters)})
        return []

    def start(self, first_at: float | None = None) -> None:
        """Begin ticking on the interval, first at a Unix time if one is given.

        Ticks never overlap, and missed ones are not made up for.
        """
        start = datetime.fromtimestamp(first_at, UTC) if first_at is not None else None
        self._scheduler.add_job(
            self.tick,
            "interval",
            seconds=self.config.global_.interval,
            start_date=start,
            id="tick",
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )
        self._scheduler.start()

    async def close(self) -> None:
        """Stop ticking and close every connection. A running cycle may end first, within a few seconds."""
        if self._scheduler.running:
            self._scheduler.pause()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS), self._lock:
                pass
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        await self.pipeline.close()
        self._counters.close()

    def status(self) -> Status:
        """What the landing page and /-/ready tell."""
        snapshot = self.store.current
        limit = STALE_TICKS * self.config.global_.interval
        reason = ""
        if snapshot is None:
            reason = "no snapshot yet: the first cycle has not ended"
        elif (age := self._clocks.wall() - snapshot.timestamp) > limit:
            reason = f"the snapshot is {age:.0f} s old, more than {limit:.0f} s"
        clusters = tuple(
            ClusterStatus(
                name=name,
                site=cluster.cluster.site,
                sources=tuple(
                    SourceStatus(
                        name=source,
                        up=state.up,
                        last_success=state.last_success,
                        failure=state.failure or None,
                        samples=state.samples,
                    )
                    for source, state in sorted(cluster.sources.items())
                ),
            )
            for name, cluster in self.pipeline.clusters.items()
        )
        return Status(
            version=__version__,
            started_at=self.started_at,
            snapshot_timestamp=snapshot.timestamp if snapshot else None,
            ready=not reason,
            ready_reason=reason,
            clusters=clusters,
            known_levels=tuple(catalogue.LEVELS),
            known_clusters=tuple(self.pipeline.clusters),
        )

    async def explain(self, series: str, depth: int | None = None) -> tuple[dict[str, Any], float]:
        """The tree behind one series as data, and when its cycle was (Unix time). Raises SelectorError."""
        tree, when = await self.pipeline.explain(series, depth)
        return as_data(tree), when

    async def page(
        self,
        openmetrics: bool,
        gzip: bool,
        levels: frozenset[str],
        clusters: frozenset[str],
    ) -> bytes:
        """The finished page for the web server."""
        known = cast("frozenset[Level]", levels)
        return await self.pages.page(Variant(openmetrics, known, clusters), gzip=gzip)
