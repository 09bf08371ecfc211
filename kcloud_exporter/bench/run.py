"""The run: our cycle and the conventional one on the same page, in one process, measured in CPU seconds."""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from kcloud_exporter.bench import conventional, pages
from kcloud_exporter.catalogue import FAMILIES
from kcloud_exporter.derive.inputs import inputs_of
from kcloud_exporter.derive.ledger import balance
from kcloud_exporter.derive.tables import ClusterTables
from kcloud_exporter.exposition.page import PageStore
from kcloud_exporter.model import ClusterSnapshot, Scrape, SeriesTable, Snapshot
from kcloud_exporter.normalise.engine import ClusterEngine
from kcloud_exporter.sources.exposition import ParseLimits, SeriesIndex, parse_text
from kcloud_exporter.vendors.mapping import load_vendors
from kcloud_exporter.vendors.quantities import METERS

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
        """CPU of one whole steady cycle: bytes in → rendered and compressed page."""
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
    """The product's own path for one cluster, with a clock around each stage."""

    def __init__(self) -> None:
        self._vendors = load_vendors()
        self._table = SeriesTable()
        wanted = frozenset(self._vendors.names())
        self._index = SeriesIndex(self._table, wanted.__contains__, {}, ParseLimits())
        self._engine = ClusterEngine(
            self._vendors, aliases={}, pattern=None, meters=METERS, max_staleness=45.0, forget_after=3600.0
        )
        self._tables = ClusterTables("bench")
        self._pages = PageStore(lambda _: b"", lambda: _BEGIN)
        self.series = 0
        self.stages: dict[str, float] = {}

    def cycle(self, body: bytes, now: float) -> None:
        """One cycle: bytes in → rendered and compressed page."""
        self.stages = {}
        parsed = self._timed("parse", lambda: parse_text(body, self._index, openmetrics=False))
        scrape = Scrape("bench", "bench", self._table, parsed.rows, parsed.values, parsed.timestamps, now, 0.0)
        self._timed("normalise", lambda: self._engine.ingest([scrape], now))
        readings = self._timed("evaluate", lambda: self._engine.readings(now))
        ledger = self._timed("derive", lambda: balance(inputs_of(readings)))
        tables = self._timed("tables", lambda: self._tables.build(readings, ledger))
        snapshot = Snapshot(now, 0, {"bench": ClusterSnapshot("bench", "bench", tables)}, {})
        self.series = self._timed("render and compress", lambda: self._pages.render(snapshot))

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
    ours = Ours()
    steady: list[dict[str, float]] = []
    body, first = b"", 0.0
    for cycle in range(cycles + 1):
        now = _BEGIN + cycle * _INTERVAL
        body = pages.body(described, cycle=cycle, timestamp=now)
        ours.cycle(body, now)
        tell(f"{len(described.keys):,} series, cycle {cycle} of {cycles}: {sum(ours.stages.values()):.3f} s CPU")
        if cycle == 0:
            first = sum(ours.stages.values())
        else:
            steady.append(ours.stages)
    medians = {stage: statistics.median(s[stage] for s in steady) for stage in steady[0]}
    theirs: dict[str, float] = {}
    page_bytes = 0
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if compare:
        tell("the conventional pipeline on the same page (this takes a while)")
        theirs, page_bytes = conventional.cycle(body)
    return Result(len(described.keys), len(body), page_bytes, first, medians, theirs, rss)


def table(result: Result) -> str:
    """A table to read: stages, totals, ratio."""
    ours, theirs = result.steady_cpu_seconds, sum(result.conventional.values())
    lines = [
        f"{result.series:,} source series, {result.body_bytes / 1e6:.0f} MB of text a cycle",
        "",
        f"  {'stage':<22}{'kcloud-exporter':>17}{'conventional':>15}   CPU seconds",
    ]
    stages = {
        "parse": ("parse",),
        "derive": ("normalise", "evaluate", "derive", "tables"),
        "render": ("render and compress",),
        "compress": (),
    }
    for name, mine in stages.items():
        own = sum(result.steady[stage] for stage in mine)
        shown = f"{own:.3f}" if mine else "(in render)"
        lines.append(f"  {name:<22}{shown:>17}{result.conventional.get(name, float('nan')):>15.3f}")
    lines.append(f"  {'one steady cycle':<22}{ours:>17.3f}{theirs or float('nan'):>15.3f}")
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
