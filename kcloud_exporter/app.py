"""App: the composition root. The only place that knows everybody, and where the running program is put together.

config ─► sources ─► Pipeline.tick (APScheduler) ─► SnapshotStore ─► PageStore ─► web
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from kcloud_exporter import __version__, catalogue
from kcloud_exporter.catalogue import Level
from kcloud_exporter.config.load import KNOWN_DEFAULTS, load_config, parse_config
from kcloud_exporter.config.schema import Config, ExporterConfig, PrometheusConfig
from kcloud_exporter.errors import ConfigError, KcloudError
from kcloud_exporter.exposition.page import PageStore, Variant
from kcloud_exporter.fleet import Fleet, FleetSpec, run_fleet
from kcloud_exporter.options import ServeOptions
from kcloud_exporter.pipeline import Pipeline, facility_meters
from kcloud_exporter.snapshot import SnapshotStore
from kcloud_exporter.sources.base import Source
from kcloud_exporter.sources.exporter import ExporterSource
from kcloud_exporter.sources.exposition import ParseLimits
from kcloud_exporter.sources.prometheus import PrometheusSource
from kcloud_exporter.telemetry import Telemetry
from kcloud_exporter.vendors.mapping import VendorIndex, load_vendors
from kcloud_exporter.web.auth import WebAuth
from kcloud_exporter.web.server import build_app, start_site
from kcloud_exporter.web.status import ClusterStatus, SourceStatus, Status, WebDeps

log = logging.getLogger(__name__)
STALE_TICKS = 3
"""Ready means: the newest snapshot is no older than this many intervals."""


def build_sources(config: Config, vendors: VendorIndex) -> list[Source]:
    """One source per entry of the configuration, asking only for what the vendor tables and the sites name."""
    limits = ParseLimits(
        series=config.limits.series_per_source,
        labels=config.limits.labels,
        label_name_bytes=config.limits.label_name_bytes,
        label_value_bytes=config.limits.label_value_bytes,
    )
    sources: list[Source] = []
    for cluster in config.clusters:
        facility = sorted(facility_meters(config, cluster.name))
        for entry in cluster.sources:
            if entry.prometheus is not None:
                sources.append(_prometheus(config, cluster.name, entry.prometheus, vendors, facility, limits))
            elif entry.exporter is not None:
                sources.append(_exporter(config, cluster.name, entry.exporter, vendors, facility, limits))
    return sources


def _prometheus(
    config: Config,
    cluster: str,
    entry: PrometheusConfig,
    vendors: VendorIndex,
    facility: list[str],
    limits: ParseLimits,
) -> Source:
    counters = vendors.counters()
    gauges = [name for name in vendors.names() if name not in counters] + facility
    return PrometheusSource(
        cluster=cluster,
        url=entry.url,
        method=entry.method,
        name=entry.name,
        match=dict(entry.match),
        gauges=gauges,
        counters=sorted(counters),
        counter_window=config.global_.max_staleness,
        body_bytes=config.limits.body_bytes,
        limits=limits,
        access=entry,
    )


def _exporter(
    config: Config, cluster: str, entry: ExporterConfig, vendors: VendorIndex, facility: list[str], limits: ParseLimits
) -> Source:
    wanted = frozenset([*vendors.names(entry.vendor), *facility])
    return ExporterSource(
        cluster=cluster,
        vendor=entry.vendor,
        targets=list(entry.targets),
        name=entry.name,
        target_labels=dict(entry.labels),
        wanted=wanted.__contains__,
        body_bytes=config.limits.body_bytes,
        limits=limits,
        access=entry,
    )


def check(config: Config) -> None:
    """Everything that can be checked of a configuration without a network. Raises ConfigError."""
    problems = check_vendors(config, vendors_of(config))
    if problems:
        raise ConfigError(problems)


def vendors_of(config: Config) -> VendorIndex:
    """The vendor tables of the package and those of the configuration's own folder."""
    return load_vendors(*([Path(config.vendors_dir)] if config.vendors_dir else []))


def check_vendors(config: Config, vendors: VendorIndex) -> list[str]:
    """What only the vendor tables can tell of a configuration: names of tables that do not exist."""
    known = [*vendors.tables, "generic"]
    return [
        f"clusters.{c}.sources.{s}.exporter.vendor: {source.exporter.vendor!r} is no vendor table; "
        f"known: {', '.join(known)}"
        for c, cluster in enumerate(config.clusters)
        for s, source in enumerate(cluster.sources)
        if source.exporter is not None and source.exporter.vendor not in known
    ]


class Runtime:
    """The running program: one pipeline on a schedule, one page store, one set of self-metrics.

    Reloading builds a new pipeline beside the old one and swaps it between two ticks; clusters whose
    configuration did not change keep their sources and their state.
    """

    def __init__(self, config: Config, load: Callable[[], Config]) -> None:
        self._load = load
        self.started_at = time.time()
        self.telemetry = Telemetry()
        self.store = SnapshotStore()
        self.pages = PageStore(self.telemetry.exposition, time.time)
        self.config = config
        self.pipeline = self._build(config, None)
        self.telemetry.reloaded(good=True)
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        self._lock = asyncio.Lock()

    def _build(self, config: Config, earlier: Pipeline | None) -> Pipeline:
        check(config)
        vendors = vendors_of(config)
        pipeline = Pipeline(config, vendors, build_sources(config, vendors), self.telemetry)
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
            async with self._lock:
                earlier, self.pipeline = self.pipeline, self._build(config, self.pipeline)
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
        if changed:
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
        """Stop ticking and close every connection."""
        self._scheduler.shutdown(wait=False)
        async with self._lock:
            await self.pipeline.close()

    def status(self) -> Status:
        """What the landing page and /-/ready tell."""
        snapshot = self.store.current
        limit = STALE_TICKS * self.config.global_.interval
        reason = ""
        if snapshot is None:
            reason = "no snapshot yet: the first cycle has not ended"
        elif (age := time.time() - snapshot.timestamp) > limit:
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


def web_auth(path: Path | None, environ: Mapping[str, str]) -> WebAuth | None:
    """Who may read: the web configuration, or the user that the original's environment names. Raises ConfigError."""
    if path is not None:
        return WebAuth.load(path)
    username, password = environ.get("API_AUTH_USERNAME"), environ.get("API_AUTH_PASSWORD")
    if not username and not password:
        return None
    if not (username and password):
        raise ConfigError(["API_AUTH_USERNAME and API_AUTH_PASSWORD: give both or none"])
    if password.lower() in KNOWN_DEFAULTS:
        raise ConfigError(["API_AUTH_PASSWORD: this is a well-known default password; choose another"])
    return WebAuth.for_user(username, password)


@asynccontextmanager
async def running(
    config: Config, load: Callable[[], Config], options: ServeOptions, first_at: Callable[[], float] | None = None
) -> AsyncIterator[Runtime]:
    """The whole program, serving; everything it opened is closed at the end."""
    async with AsyncExitStack() as stack:
        runtime = Runtime(config, load)
        stack.push_async_callback(runtime.close)
        auth = web_auth(options.web_config_file, os.environ)
        web = build_app(
            WebDeps(
                page=runtime.page,
                status=runtime.status,
                reload=runtime.reload,
                enable_lifecycle=options.enable_lifecycle,
                auth=auth,
                observe=runtime.telemetry.request,
            )
        )
        site = await start_site(web, options.listen_host, options.listen_port, auth.ssl_context() if auth else None)
        stack.push_async_callback(site.close)
        await runtime.tick()
        runtime.start(first_at() if first_at else None)
        yield runtime


def serve(options: ServeOptions) -> int:
    """The main job: poll all sources on the interval, keep one snapshot, serve it, until SIGTERM or SIGINT."""

    def load() -> Config:
        return load_config(options.config_file)

    return asyncio.run(_until_stopped(load(), load, options, _announce))


def demo(options: ServeOptions, *, seed: int, frozen: bool) -> int:
    """`serve` with zero configuration: the simulated fleet on loopback, aggregated."""
    return asyncio.run(_demo(options, FleetSpec(seed=seed, frozen=frozen, start=time.time(), step_seconds=30.0)))


async def _demo(options: ServeOptions, spec: FleetSpec) -> int:
    async with Fleet(spec) as fleet:
        config = parse_config(fleet.kcloud_config(method="exporter", interval="5s"))

        def before_a_step_ends() -> float:
            """Joule counters tell the mean since the last cycle, so cycles keep clear of the fleet's steps."""
            begun, interval = spec.start or 0.0, config.global_.interval
            return begun + (math.floor((time.time() - begun + 0.25) / interval) + 1) * interval - 0.25

        def announce(options: ServeOptions) -> None:
            _announce(options)
            _say(f"  simulated fleet  {fleet.control_url}/         every exporter; /truth has the right answers")

        return await _until_stopped(config, lambda: config, options, announce, before_a_step_ends)


def _announce(options: ServeOptions) -> None:
    base = f"http://{options.listen_host}:{options.listen_port}"
    _say(
        f"kcloud-exporter {__version__} is running; Ctrl-C stops it\n"
        f"  landing page     {base}/\n"
        f"  metrics          {base}/metrics"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def _until_stopped(
    config: Config,
    load: Callable[[], Config],
    options: ServeOptions,
    announce: Callable[[ServeOptions], None],
    first_at: Callable[[], float] | None = None,
) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with running(config, load, options, first_at) as runtime:
        reloads: set[asyncio.Task[Any]] = set()

        def reload() -> None:
            task = loop.create_task(runtime.reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        announce(options)
        await stopped.wait()
        log.info("stopping")
    return 0


def fleet(*, seed: int, frozen: bool) -> int:
    """Only the simulated exporters, until stopped."""
    asyncio.run(run_fleet(FleetSpec(seed=seed, frozen=frozen)))
    return 0


def snapshot(config: Config, *, openmetrics: bool) -> int:
    """One cycle of all sources; the page goes to stdout. 1 when no source answered at all."""
    return asyncio.run(_snapshot(config, openmetrics=openmetrics))


async def _snapshot(config: Config, *, openmetrics: bool) -> int:
    runtime = Runtime(config, lambda: config)
    try:
        await runtime.tick()
        page = await runtime.page(openmetrics, False, frozenset(), frozenset())
    finally:
        await runtime.pipeline.close()
    sys.stdout.buffer.write(page)
    sys.stdout.buffer.flush()
    answered = any(state.up for cluster in runtime.pipeline.clusters.values() for state in cluster.sources.values())
    if not answered:
        log.error("no source answered; see kcloud_source_failures_total")
    return 0 if answered else 1
