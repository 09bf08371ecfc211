"""State: what is told of each remote store on our own page."""

from __future__ import annotations

from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

Lost = Literal[
    "queue_full",  # the store was away for longer than the queue lasts
    "refused",  # the store said that it will never take them
]
LOST: Final[tuple[Lost, ...]] = ("queue_full", "refused")


class RemoteState:
    """Self-metrics of remote write, by store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sent = Counter(
            "kcloud_exporter_remote_write_samples_total",
            "Samples that a remote store has taken.",
            ("remote",),
            registry=registry,
        )
        self._lost = Counter(
            "kcloud_exporter_remote_write_lost_samples_total",
            "Samples that a remote store did not get: queue_full (it was away for too long), refused (it said no).",
            ("remote", "reason"),
            registry=registry,
        )
        self._failures = Counter(
            "kcloud_exporter_remote_write_failures_total",
            "Requests that failed and are tried again.",
            ("remote",),
            registry=registry,
        )
        self._waiting = Gauge(
            "kcloud_exporter_remote_write_queue_bytes",
            "Compressed bytes that wait to be sent.",
            ("remote",),
            registry=registry,
        )

    def known(self, remote: str) -> None:
        """Show a store from its beginning, with zeros."""
        self._sent.labels(remote)
        self._failures.labels(remote)
        self._waiting.labels(remote)
        for reason in LOST:
            self._lost.labels(remote, reason)

    def sent(self, remote: str, samples: int) -> None:
        """Samples have arrived."""
        self._sent.labels(remote).inc(samples)

    def lost(self, remote: str, reason: Lost, samples: int) -> None:
        """Samples will not arrive."""
        self._lost.labels(remote, reason).inc(samples)

    def failed(self, remote: str) -> None:
        """One request has failed."""
        self._failures.labels(remote).inc()

    def waiting(self, remote: str, size: int) -> None:
        """How many bytes wait."""
        self._waiting.labels(remote).set(size)
