"""App: the composition root. The only place that knows everybody, and where the running program is put together.

    config ─► sources ─► Pipeline.tick (APScheduler) ─► SnapshotStore ─► PageStore ─► web
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from kcloud_exporter import __version__, catalogue
from kcloud_exporter.catalogue import Level
from kcloud_exporter.config.load import load_config, parse_config
from kcloud_exporter.config.schema import Config, ExporterConfig, PrometheusConfig
from kcloud_exporter.errors import ConfigError, KcloudError
from kcloud_exporter.exposition.page import PageStore, Variant
from kcloud_exporter.fleet import Fleet, FleetSpec
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


def _prometheus(config: Config, cluster: str, entry: PrometheusConfig, vendors: VendorIndex, facility: list[str],
                limits: ParseLimits) -> Source:
    counters = vendors.counters()
    gauges = [name for name in vendors.names() if name not in counters] + facility
    return PrometheusSource(
        cluster=cluster, url=entry.url, method=entry.method, name=entry.name, match=dict(entry.match),
        gauges=gauges, counters=sorted(counters), counter_window=config.global_.max_staleness,
        body_bytes=config.limits.body_bytes, limits=limits, access=entry)


def _exporter(config: Config, cluster: str, entry: ExporterConfig, vendors: VendorIndex, facility: list[str],
              limits: ParseLimits) -> Source:
    wanted = frozenset([*vendors.names(entry.vendor), *facility])
    return ExporterSource(
        cluster=cluster, vendor=entry.vendor, targets=list(entry.targets), name=entry.name,
        target_labels=dict(entry.labels), wanted=wanted.__contains__,
        body_bytes=config.limits.body_bytes, limits=limits, access=entry)


def check_vendors(config: Config, vendors: VendorIndex) -> list[str]:
    """What only the vendor tables can tell of a configuration: names of tables that do not exist."""
    known = [*vendors.tables, "generic"]
    return [
        f"clusters.{c}.sources.{s}.exporter.vendor: {source.exporter.vendor!r} is no vendor table; "
        f"known: {', '.join(known)}"
        for c, cluster in enumerate(config.clusters) for s, source in enumerate(cluster.sources)
        if source.exporter is not None and source.exporter.vendor not in known
    ]
