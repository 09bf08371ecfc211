"""State: how history fares, for the self-metrics, the log and the pages."""

from __future__ import annotations

import logging
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

log = logging.getLogger(__name__)
CopyFailure = Literal[
    "unreachable",  # nobody answers, or not in time
    "denied",  # credentials are missing, wrong, or not enough
    "missing",  # there is no such bucket or folder
    "unreadable",  # the file of our own cannot be read
    "other",  # the storage says something else; the log has its words
    "defect",  # a mistake of this program
]
COPY_FAILURES: Final[tuple[CopyFailure, ...]] = ("unreachable", "denied", "missing", "unreadable", "other", "defect")


class HistoryState:
    """Counts what the history's thread does. Safe to use from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.failure = ""
        self._working = Gauge(
            "kcloud_exporter_history_working",
            "1 while history can be written, 0 while the disk does not take it; everything else goes on.",
            registry=registry,
        )
        self._rows = Counter("kcloud_exporter_history_rows_total", "Rows written to history.", registry=registry)
        self._bytes = Counter(
            "kcloud_exporter_history_written_bytes_total", "Bytes of new files of history.", registry=registry
        )
        self._failures = Counter(
            "kcloud_exporter_history_failures_total", "Times that history could not be written.", registry=registry
        )
        self._lost = Counter(
            "kcloud_exporter_history_lost_rows_total",
            "Rows that were let go of, because the disk did not take them for too long.",
            registry=registry,
        )
        self._passed = Counter(
            "kcloud_exporter_history_skipped_cycles_total",
            "Cycles that history passed over, because it was still busy with earlier ones.",
            registry=registry,
        )
        self._damaged = Counter(
            "kcloud_exporter_history_damaged_files_total",
            "Files in the history's folder that were left out: damaged, or not of this program.",
            registry=registry,
        )
        self._working.set(1)

    def wrote(self, rows: int, size: int) -> None:
        """Note a new file."""
        self._rows.inc(rows)
        self._bytes.inc(size)

    def failed(self, why: str) -> None:
        """Note that something could not be written; the log tells it once."""
        self._failures.inc()
        self._working.set(0)
        if not self.failure:
            log.error("history has stopped; everything else goes on", extra={"reason": why})
        self.failure = why

    def well(self) -> None:
        """Note that writing works."""
        self._working.set(1)
        if self.failure:
            log.info("history goes on")
        self.failure = ""

    def lost(self, rows: int) -> None:
        """Note rows that were let go of."""
        self._lost.inc(rows)

    def passed_over(self) -> None:
        """Note a cycle that history did not take."""
        self._passed.inc()

    def damaged(self) -> None:
        """Note a file that was left out."""
        self._damaged.inc()


class CopyState:
    """Counts what the copies of history do (`history.copy_to`). Belongs to their thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._failing = False
        self._files = Counter(
            "kcloud_exporter_history_copied_files_total",
            "Files of history that were copied to history.copy_to.",
            registry=registry,
        )
        self._bytes = Counter(
            "kcloud_exporter_history_copied_bytes_total", "Bytes of the files that were copied.", registry=registry
        )
        self._waiting = Gauge(
            "kcloud_exporter_history_copy_waiting_files",
            "Files of history that are not at history.copy_to yet, as far as is known.",
            registry=registry,
        )
        self._failures = Counter(
            "kcloud_exporter_history_copy_failures_total",
            "Times that copying failed and is tried again, by reason: " + ", ".join(COPY_FAILURES) + ".",
            ("reason",),
            registry=registry,
        )
        for reason in COPY_FAILURES:
            self._failures.labels(reason)

    def copied(self, size: int) -> None:
        """Note a file that is there."""
        self._files.inc()
        self._bytes.inc(size)

    def waiting(self, files: int) -> None:
        """How many files are not there yet."""
        self._waiting.set(files)

    def failed(self, reason: CopyFailure, detail: str) -> None:
        """Note a failure; the log tells the first of several."""
        self._failures.labels(reason).inc()
        if not self._failing:
            log.warning(
                "history cannot be copied; it is kept here and copied later", extra={"reason": reason, "detail": detail}
            )
        self._failing = True

    def well(self) -> None:
        """Note that everything is there."""
        if self._failing:
            log.info("history is copied again")
        self._failing = False
