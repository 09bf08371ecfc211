"""Ours: the product's own path for one cluster, with a clock around each stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from kcloud_exporter.bench.printing import BEGIN, INTERVAL
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.exposition.page import PageStore
from kcloud_exporter.model import Snapshot
from kcloud_exporter.pipeline import COMPACT_EVERY, ClusterPipeline
from kcloud_exporter.sources.exposition import ParseLimits
from kcloud_exporter.sources.http import Fetched
from kcloud_exporter.sources.intake import PrometheusIntake
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.storage.counters import CounterStore
from kcloud_exporter.vendors.loading import load_vendors

STAGES: Final = ("parse", "derive", "persist", "render")
_BODY_BYTES: Final = 2**31
_T = TypeVar("_T")


class Ours:
    """One cluster of which one Prometheus tells: bytes as they come, counters on disk, the page as it goes."""

    def __init__(self, folder: Path) -> None:
        vendors = load_vendors()
        wanted = frozenset(vendors.names())
        limits = ParseLimits(series=20_000_000)
        self._intake = PrometheusIntake("bench", wanted.__contains__, limits, _BODY_BYTES)
        config = parse_config(
            {"clusters": [{"name": "bench", "sources": [{"prometheus": {"url": "http://bench"}}]}]}, {}
        )
        self._counters = Counters(CounterStore(folder), BEGIN)
        self._cluster = ClusterPipeline(config, config.clusters[0], vendors, self._counters.cluster("bench"))
        self._pages = PageStore(lambda _: b"", lambda: BEGIN)
        self._cycles = 0
        self.stages: dict[str, float] = {}

    def cycle(self, body: bytes) -> dict[str, float]:
        """One cycle: compressed bytes in → counters on disk, rendered and compressed page. CPU seconds by stage."""
        now = BEGIN + self._cycles * INTERVAL
        self.stages = dict.fromkeys(STAGES, 0.0)
        sent = Fetched(200, body, "gzip", "text/plain", is_framed=True)
        self._intake.begin()
        answer = self._timed("parse", lambda: self._intake.join([self._intake.answer(0, sent).step]))
        scrape = answer.scrape("bench", "bench", now, 0.0)
        books = self._timed("derive", lambda: self._cluster.cycle([scrape], now, now))
        self._timed("persist", lambda: self._persist(now))
        snapshot = Snapshot(now, self._cycles, {"bench": books.snapshot}, {})
        self._timed("render", lambda: self._pages.render(snapshot))
        self._cycles += 1
        if self._cycles % COMPACT_EVERY == 0:
            self._timed("parse", self._compact)
        return self.stages

    def _compact(self) -> None:
        self._cluster.compact(self._intake.table, self._intake.compact)

    def _persist(self, monotonic: float) -> None:
        samples = {"bench": self._cluster.last_samples(monotonic)}
        self._counters.save({"bench": self._cluster.energy}, {}, samples)

    def close(self) -> None:
        """Let go of the folder and the thread."""
        self._counters.close()
        self._intake.close()

    def _timed(self, stage: str, work: Callable[[], _T]) -> _T:
        begun = time.process_time()
        done = work()
        self.stages[stage] += time.process_time() - begun
        return done
