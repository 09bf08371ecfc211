"""Building: from the configuration to its vendor tables and its sources, each asking only for what those name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kcloud_exporter.clocks import REAL, Clocks
from kcloud_exporter.config.schema import Config, ExporterConfig, PrometheusConfig
from kcloud_exporter.errors import ConfigError, VendorError
from kcloud_exporter.pipeline.cluster import facility_meters, work_meters
from kcloud_exporter.sources.base import Source
from kcloud_exporter.sources.exporter import ExporterSource
from kcloud_exporter.sources.exposition import ParseLimits
from kcloud_exporter.sources.prometheus import PrometheusSource
from kcloud_exporter.vendors.loading import load_vendors
from kcloud_exporter.vendors.mapping import VendorIndex
from kcloud_exporter.vendors.mistakes import nearest


def build_sources(config: Config, vendors: VendorIndex, clocks: Clocks = REAL) -> list[Source]:
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
        work = sorted({meter.metric for meter in work_meters(config, cluster.name)})
        for entry in cluster.sources:
            if entry.prometheus is not None:
                sources.append(
                    _prometheus(config, cluster.name, entry.prometheus, vendors, facility, work, limits, clocks.steady)
                )
            elif entry.exporter is not None:
                more = [*facility, *work]
                sources.append(_exporter(config, cluster.name, entry.exporter, vendors, more, limits, clocks.steady))
    return sources


def _prometheus(
    config: Config,
    cluster: str,
    entry: PrometheusConfig,
    vendors: VendorIndex,
    facility: list[str],
    work: list[str],
    limits: ParseLimits,
    steady: Callable[[], float],
) -> Source:
    asked = vendors.asked()
    counters = (vendors.counters() & set(asked)) | set(work)
    gauges = [name for name in asked if name not in counters] + facility
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
        steady=steady,
    )


def _exporter(
    config: Config,
    cluster: str,
    entry: ExporterConfig,
    vendors: VendorIndex,
    more: list[str],
    limits: ParseLimits,
    steady: Callable[[], float],
) -> Source:
    wanted = frozenset([*vendors.names(entry.vendor), *more])
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
        steady=steady,
    )


def vendors_of(config: Config) -> VendorIndex:
    """The vendor tables of the package and those of the configuration's own folder. Raises ConfigError."""
    try:
        return load_vendors(*([Path(config.vendors_dir)] if config.vendors_dir else []))
    except VendorError as exc:
        raise ConfigError([f"vendors_dir: {problem}" for problem in str(exc).splitlines()]) from exc


def check_vendors(config: Config, vendors: VendorIndex) -> list[str]:
    """What only the vendor tables can tell of a configuration: tables that do not exist, series that mean power."""
    known = [*vendors.tables, "generic"]
    taken = [
        f"work_units.{n}.metric: {counter.metric!r} is what the vendor table {ranked.table.vendor} reads as "
        f"{ranked.rule.to}; name a counter of work"
        for n, counter in enumerate(config.work_units)
        for ranked in vendors.rules(counter.metric)[:1]
    ]
    return taken + [
        f"clusters.{c}.sources.{s}.exporter.vendor: {source.exporter.vendor!r} is no vendor table; "
        f"known: {', '.join(known)}.{nearest(source.exporter.vendor, known)}"
        for c, cluster in enumerate(config.clusters)
        for s, source in enumerate(cluster.sources)
        if source.exporter is not None and source.exporter.vendor not in known
    ]
