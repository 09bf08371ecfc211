"""Telemetry: the metrics about ourselves, and only those. Proxied data never passes through here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from kcloud_exporter import __version__
from kcloud_exporter.catalogue import Family

_LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0)


class Telemetry:
    """The registry of self-metrics. One object per process, handed to whoever has something to tell."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            self.registry.register(collector)
        build = Gauge(
            "kcloud_exporter_build_info",
            "Constant 1 that carries the version of the exporter.",
            ("version",),
            registry=self.registry,
        )
        build.labels(__version__).set(1)
        self._stage = Gauge(
            "kcloud_exporter_cycle_duration_seconds",
            "How long each stage of the last cycle took.",
            ("stage",),
            registry=self.registry,
        )
        self._reload = Gauge(
            "kcloud_exporter_config_last_reload_successful",
            "1 when the last reading of the configuration was good.",
            registry=self.registry,
        )
        self._reload_time = Gauge(
            "kcloud_exporter_config_last_reload_success_timestamp_seconds",
            "Unix time of the last good reading of the configuration.",
            registry=self.registry,
        )
        self._requests = Counter(
            "kcloud_exporter_http_requests_total",
            "Requests by route, method and status.",
            ("route", "method", "code"),
            registry=self.registry,
        )
        self._latency = Histogram(
            "kcloud_exporter_http_request_duration_seconds",
            "Time to answer a request.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )

        self._dropped = Counter(
            "kcloud_exporter_http_connections_dropped_total",
            "Connections that we ended: limit (too many at once, turned away with 503), head (no whole request in "
            "time), stalled (the reader took nothing more of its answer).",
            ("reason",),
            registry=self.registry,
        )
        for reason in ("limit", "head", "stalled"):
            self._dropped.labels(reason)
        self._lag = Histogram(
            "kcloud_exporter_event_loop_lag_seconds",
            "How late the event loop comes to what is due; as late is every answer, whatever was asked.",
            buckets=_LAGS,
            registry=self.registry,
        )

        self._storage_failures = Counter(
            "kcloud_exporter_storage_write_failures_total",
            "Cycles whose counters could not be written to disk; they went on in memory.",
            registry=self.registry,
        )

        self._storage_damaged = Counter(
            "kcloud_exporter_storage_damaged_total",
            "Times that the counters on disk were found damaged, and were restored from the copies that are whole.",
            registry=self.registry,
        )

        self._backup_failures = Counter(
            "kcloud_exporter_storage_backup_failures_total",
            "Times that the backup of the counters could not be written; the counters themselves were.",
            registry=self.registry,
        )

        self._stream_clients = Gauge(
            "kcloud_exporter_stream_clients",
            "Streams that are open, by kind.",
            ("kind",),
            registry=self.registry,
        )
        self._stream_events = Counter(
            "kcloud_exporter_stream_events_total",
            "Events handed to the connections of streams.",
            ("kind",),
            registry=self.registry,
        )
        self._stream_dropped = Counter(
            "kcloud_exporter_stream_dropped_total",
            "Readers of streams that fell behind: skipped (an event gave way to a newer one), slow (cut off).",
            ("kind", "reason"),
            registry=self.registry,
        )
        for kind in ("sse", "websocket"):
            self._stream_clients.labels(kind)
            self._stream_events.labels(kind)
            for reason in ("skipped", "slow"):
                self._stream_dropped.labels(kind, reason)

    def backup_failed(self) -> None:
        """Note that there is no new backup."""
        self._backup_failures.inc()

    def stream_clients(self, kind: str, change: int) -> None:
        """Note one stream more, or one less."""
        self._stream_clients.labels(kind).inc(change)

    def stream_sent(self, kind: str, events: int) -> None:
        """Note events handed to a stream's connection."""
        self._stream_events.labels(kind).inc(events)

    def stream_dropped(self, kind: str, reason: str) -> None:
        """Note a reader that fell behind."""
        self._stream_dropped.labels(kind, reason).inc()

    def storage_damaged(self) -> None:
        """Note that damage was found."""
        self._storage_damaged.inc()

    def storage_failed(self) -> None:
        """Note that a cycle's counters are not on disk."""
        self._storage_failures.inc()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure one stage of the cycle in seconds of wall time."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._stage.labels(name).set(time.perf_counter() - begun)

    def reloaded(self, *, good: bool) -> None:
        """Note the outcome of reading the configuration."""
        self._reload.set(float(good))
        if good:
            self._reload_time.set_to_current_time()

    def request(self, route: str, method: str, code: int, seconds: float) -> None:
        """Note one answered request. `route` is the template, never the path that a client sent."""
        self._requests.labels(route, method, str(code)).inc()
        self._latency.labels(route).observe(seconds)

    def connection_dropped(self, reason: str) -> None:
        """Note a connection that we ended: limit, head or stalled."""
        self._dropped.labels(reason).inc()

    def lagged(self, seconds: float) -> None:
        """Note how late the event loop was."""
        self._lag.observe(seconds)

    def families(self) -> list[Family]:
        """What the registry's own metrics are, for the documentation; those of the process are left out."""
        # The library tells label names through samples only, and there are none before something has happened.
        registered = (each for each in self.registry._collector_to_names if isinstance(each, MetricWrapperBase))
        return [
            Family(
                name=metric._name + ("_total" if metric._type == "counter" else ""),
                type=metric._type,  # type: ignore[arg-type]
                help=metric._documentation,
                labels=tuple(metric._labelnames),
                level="snapshot",
            )
            for metric in registered
        ]

    def exposition(self, openmetrics: bool) -> bytes:
        """All self-metrics as text, without the closing `# EOF`."""
        if openmetrics:
            text: bytes = generate_openmetrics(self.registry)  # type: ignore[no-untyped-call]
            return text.removesuffix(b"# EOF\n")
        return generate_text(self.registry)
