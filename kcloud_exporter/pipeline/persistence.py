"""Persistence: one cycle's counters to disk, and what is said when the disk does not take them.

A disk that is full, read-only or broken costs no cycle: the counters go on in memory, and the first write that
succeeds holds everything. The log tells the first failure, a reminder now and then, and the end of it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from kcloud_exporter.derive.energy import SiteBook
from kcloud_exporter.errors import StorageError
from kcloud_exporter.pipeline.cluster import ClusterPipeline
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.telemetry import Telemetry

log = logging.getLogger(__name__)
REMIND_SECONDS: Final = 600.0


class Persistence:
    """The way to disk of one process, and how it is going."""

    def __init__(self, counters: Counters, telemetry: Telemetry) -> None:
        self._counters, self._telemetry = counters, telemetry
        self._failures, self._backup_failures = 0, 0
        self._told_at = 0.0

    def persist(
        self, clusters: Mapping[str, ClusterPipeline], sites: Mapping[str, SiteBook], now: float, monotonic: float
    ) -> None:
        """Write one cycle. Never raises for a disk that fails."""
        samples = {name: cluster.last_samples(monotonic) for name, cluster in clusters.items()}
        energy = {name: cluster.energy for name, cluster in clusters.items()}
        try:
            repaired = self._counters.save(energy, sites, samples)
        except StorageError as exc:
            self._failed(str(exc), monotonic)
            return
        if repaired:
            self._telemetry.storage_damaged()
            log.error("the counters on disk were damaged and are written anew", extra={"detail": repaired})
        if self._failures:
            log.warning("counters are on disk again, none is lost", extra={"cycles_in_memory": self._failures})
            self._failures = 0
        self._backup(now)

    def _failed(self, detail: str, monotonic: float) -> None:
        self._telemetry.storage_failed()
        self._failures += 1
        if self._failures == 1 or monotonic - self._told_at >= REMIND_SECONDS:
            self._told_at = monotonic
            log.error(
                "counters could not be written; they go on in memory and are lost if the process ends",
                extra={"detail": detail, "cycles_in_memory": self._failures},
            )

    def _backup(self, now: float) -> None:
        try:
            self._counters.backup(now)
        except StorageError as exc:
            self._telemetry.backup_failed()
            if not self._backup_failures:
                log.error("the backup of the counters could not be written", extra={"detail": str(exc)})  # noqa: TRY400
            self._backup_failures += 1
        else:
            self._backup_failures = 0
