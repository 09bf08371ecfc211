"""The run: our cycle and the conventional one on the same page, in one process, measured in CPU seconds."""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from kcloud_exporter.bench import conventional, pages
from kcloud_exporter.catalogue import FAMILIES
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.exposition.page import PageStore
from kcloud_exporter.model import Scrape, SeriesTable, Snapshot
from kcloud_exporter.pipeline import ClusterPipeline
from kcloud_exporter.sources.exposition import ParseLimits, SeriesIndex, parse_text
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.storage.counters import CounterStore
from kcloud_exporter.vendors.loading import load_vendors

_INTERVAL = 15.0
_BEGIN = 1_800_000_000.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Result:
    """One size of fleet: CPU seconds by stage of our steady cycle (medians), of the first cycle, and of theirs."""

    series: int
    body_bytes: int
    page_bytes: int
    first_cpu_seconds: float
    steady: dict[str, float]
    conventional: dict[str, float]
    rss_mib: float

    @property
    def steady_cpu_seconds(self) -> float:
        """CPU of one whole steady cycle: bytes in → counters on disk, rendered and compressed page."""
        return sum(self.steady.values())

    def as_json(self) -> dict[str, Any]:
        """The figures, and the two that are the point: samples per second and core, and the ratio."""
        theirs = sum(self.conventional.values())
        return {
            "series": self.series,
            "body_bytes": self.body_bytes,
            "page_bytes": self.page_bytes,
            "first_cycle_cpu_seconds": self.first_cpu_seconds,
            "steady_cycle_cpu_seconds": self.steady,
            "conventional_cpu_seconds": self.conventional,
            "peak_rss_mib": self.rss_mib,
            "samples_per_core_second": self.series / self.steady_cpu_seconds,
            "ratio_to_conventional": theirs / self.steady_cpu_seconds if theirs else None,
        }


class Ours:
    """The product's own path for one cluster, its counters on disk included, with a clock around each stage."""

    def __init__(self, folder: Path) -> None:
        vendors = load_vendors()
        self._table = SeriesTable()
        wanted = frozenset(vendors.names())
        self._index = SeriesIndex(self._table, wanted.__contains__, {}, ParseLimits())
        config = parse_config(
            {"clusters": [{"name": "bench", "sources": [{"prometheus": {"url": "http://bench"}}]}]}, {}
        )
        self._store = CounterStore(folder)
        self._counters = Counters(self._store, _BEGIN)
        self._cluster = ClusterPipeline(config, config.clusters[0], vendors, self._counters.cluster("bench"))
        self._pages = PageStore(lambda _: b"", lambda: _BEGIN)
        self.series = 0
        self.stages: dict[str, float] = {}

    def cycle(self, body: bytes, now: float) -> None:
        """One cycle: bytes in → counters on disk, rendered and compressed page."""
        self.stages = {}
        parsed = self._timed("parse", lambda: parse_text(body, self._index, openmetrics=False))
        scrape = Scrape("bench", "bench", self._table, parsed.rows, parsed.values, parsed.timestamps, now, 0.0)
        books = self._timed("derive", lambda: self._cluster.cycle([scrape], now, now))
        self._timed("persist", lambda: self._persist(now))
        snapshot = Snapshot(now, 0, {"bench": books.snapshot}, {})
        self.series = self._timed("render", lambda: self._pages.render(snapshot))

    def _persist(self, monotonic: float) -> None:
        samples = {"bench": self._cluster.last_samples(monotonic)}
        self._counters.save({"bench": self._cluster.energy}, {}, samples)

    def close(self) -> None:
        """Let go of the folder."""
        self._counters.close()

    def _timed(self, stage: str, work: Callable[[], _T]) -> _T:
        begun = time.process_time()
        done = work()
        self.stages[stage] = time.process_time() - begun
        return done


def measure(series: int, cycles: int, *, compare: bool, tell: Callable[[str], None]) -> Result:
    """Measure one size. The page's bytes are made outside the clock."""
    nodes = max(1, round(series / pages.series_per_node()))
    tell(f"making a cluster of {nodes:,} nodes")
    described = pages.cluster_series(nodes)
    with tempfile.TemporaryDirectory(prefix="kcloud-bench-") as folder:
        first, steady, body = _cycles(Path(folder), described, cycles, tell)
    medians = {stage: statistics.median(s[stage] for s in steady) for stage in steady[0]}
    theirs: dict[str, float] = {}
    page_bytes = 0
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if compare:
        tell("the conventional pipeline on the same page (this takes a while)")
        theirs, page_bytes = conventional.cycle(body)
    return Result(len(described.keys), len(body), page_bytes, first, medians, theirs, rss)


def _cycles(
    folder: Path, described: pages.Series, cycles: int, tell: Callable[[str], None]
) -> tuple[float, list[dict[str, float]], bytes]:
    """CPU of the first cycle, the stages of each steady one, and the last page."""
    ours = Ours(folder)
    first, steady, body = 0.0, [], b""
    for cycle in range(cycles + 1):
        now = _BEGIN + cycle * _INTERVAL
        body = pages.body(described, cycle=cycle, timestamp=now)
        ours.cycle(body, now)
        tell(f"{len(described.keys):,} series, cycle {cycle} of {cycles}: {sum(ours.stages.values()):.3f} s CPU")
        if cycle == 0:
            first = sum(ours.stages.values())
        else:
            steady.append(ours.stages)
    ours.close()
    return first, steady, body


def table(result: Result) -> str:
    """A table to read: stages, totals, ratio."""
    ours, theirs = result.steady_cpu_seconds, sum(result.conventional.values())
    lines = [
        f"{result.series:,} source series, {result.body_bytes / 1e6:.0f} MB of text a cycle",
        "",
        f"  {'stage':<22}{'kcloud-exporter':>17}{'conventional':>15}   CPU seconds",
    ]
    for stage in ("parse", "derive", "persist", "render", "compress"):
        shown = f"{result.steady[stage]:.3f}" if stage in result.steady else "(in render)"
        other = f"{result.conventional[stage]:.3f}" if stage in result.conventional else "-"
        lines.append(f"  {stage:<22}{shown:>17}{other:>15}")
    whole = f"{theirs:.3f}" if theirs else "-"
    lines.append(f"  {'one steady cycle':<22}{ours:>17.3f}{whole:>15}")
    lines += [
        "",
        f"  samples per second and core  {result.series / ours:,.0f}",
        f"  first cycle                  {result.first_cpu_seconds:.3f} s CPU",
        f"  peak resident memory         {result.rss_mib:,.0f} MiB (before the conventional run)",
    ]
    if theirs:
        lines.append(f"  CPU of the conventional pipeline / ours  {theirs / ours:.1f}")
    return "\n".join(lines)


def main(args: argparse.Namespace) -> int:
    """`kcloud-exporter bench`: measure, print a table, keep the figures when asked (`--json FILE`)."""

    def tell(text: str) -> None:
        print(f"bench: {text}", file=sys.stderr, flush=True)

    results = [measure(size, args.cycles, compare=not args.no_compare, tell=tell) for size in args.series]
    for result in results:
        print(table(result) + "\n")
    if args.json:
        machine = {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": platform.machine(),
            "system": platform.system(),
            "families": len(FAMILIES),
        }
        document = {"machine": machine, "results": [result.as_json() for result in results]}
        Path(args.json).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0
