"""Measure: one size of fleet in a process of its own, so that neither memory nor caches are another size's."""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isal import igzip

from kcloud_exporter.bench import conventional, pages
from kcloud_exporter.bench.floors import floors
from kcloud_exporter.bench.memory import apart, resident
from kcloud_exporter.bench.ours import STAGES, Ours
from kcloud_exporter.bench.printing import Printer
from kcloud_exporter.bench.rules import rules_cpu_seconds

CHURN = 0.05
"""Part of the pods that is replaced in each cycle of the second measurement."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured of each size."""

    cycles: int
    churn_cycles: int
    compare: bool
    rules: bool


@dataclass(frozen=True, slots=True)
class Result:
    """One size of fleet. Times are CPU seconds; stages are medians of the steady cycles."""

    series: int
    body_bytes: int
    wire_bytes: int
    first_cpu_seconds: float
    steady: dict[str, float]
    churn_cpu_seconds: float
    churn_new_series: int
    conventional: dict[str, float]
    rules_cpu_seconds: float | None
    floors: dict[str, float]
    resident_mib: float
    resident_after_churn_mib: float
    peak_mib: float

    @property
    def steady_cpu_seconds(self) -> float:
        """CPU of one whole steady cycle."""
        return sum(self.steady.values())

    @property
    def conventional_cpu_seconds(self) -> float | None:
        """CPU of one cycle of the conventional pipeline, where it was measured."""
        return sum(self.conventional.values()) or None

    def as_json(self) -> dict[str, Any]:
        """All figures, and those that are the point."""
        ours, theirs = self.steady_cpu_seconds, self.conventional_cpu_seconds
        return {
            **asdict(self),
            "steady_cpu_seconds": ours,
            "samples_per_core_second": self.series / ours,
            "ratio_to_conventional": theirs / ours if theirs else None,
            "ratio_to_recording_rules": self.rules_cpu_seconds / ours if self.rules_cpu_seconds else None,
            "churn_over_steady": self.churn_cpu_seconds / ours,
        }


def measure(series: int, plan: Plan) -> Result:
    """Measure one size in a process of its own."""
    return apart(_measure, series, plan)


def tell(text: str) -> None:
    """A line of progress on stderr."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _measure(series: int, plan: Plan) -> Result:
    nodes = max(1, round(series / pages.series_per_node()))
    tell(f"making a cluster of {nodes:,} nodes")
    with Printer(nodes) as printer, tempfile.TemporaryDirectory(prefix="kcloud-bench-") as folder:
        count = printer.series
        ours = Ours(Path(folder))
        first, steady = _steady(ours, printer, plan.cycles)
        settled, _ = resident()
        new, churn = _churning(ours, printer, plan.churn_cycles, plan.cycles)
        after, peak = resident()
        ours.close()
        wire = printer.page(plan.cycles)
    body: bytes = igzip.decompress(wire)  # type: ignore[no-untyped-call]
    theirs: dict[str, float] = {}
    if plan.compare:
        tell("the conventional pipeline on the same page (this takes a while)")
        theirs, _ = conventional.cycle(body)
    return Result(
        series=count,
        body_bytes=len(body),
        wire_bytes=len(wire),
        first_cpu_seconds=first,
        steady=steady,
        churn_cpu_seconds=churn,
        churn_new_series=new,
        conventional=theirs,
        rules_cpu_seconds=rules_cpu_seconds(body, tell) if plan.rules else None,
        floors=floors(body, count),
        resident_mib=settled,
        resident_after_churn_mib=after,
        peak_mib=peak,
    )


def _steady(ours: Ours, printer: Printer, cycles: int) -> tuple[float, dict[str, float]]:
    """CPU of the first cycle, and the median of each stage of the steady ones."""
    first, found = 0.0, []
    for cycle in range(cycles + 1):
        stages = ours.cycle(printer.page(cycle))
        tell(f"{printer.series:,} series, cycle {cycle} of {cycles}: {sum(stages.values()):.3f} s CPU")
        if cycle == 0:
            first = sum(stages.values())
        else:
            found.append(stages)
    return first, {stage: statistics.median(s[stage] for s in found) for stage in STAGES}


def _churning(ours: Ours, printer: Printer, cycles: int, before: int) -> tuple[int, float]:
    """New series in each cycle, and the mean CPU of a cycle: a compaction now and then belongs to its cost."""
    new, spent = 0, []
    for cycle in range(1, cycles + 1):
        new = printer.replace_pods(CHURN, cycle)
        spent.append(sum(ours.cycle(printer.page(before + cycle)).values()))
        if cycle % 10 == 0 or cycle == cycles:
            tell(f"{new:,} new series a cycle, cycle {cycle} of {cycles}: {spent[-1]:.3f} s CPU")
    return new, statistics.fmean(spent) if spent else 0.0
