"""The run: every size asked for, side by side with what else could be done, in CPU seconds of one machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from kcloud_exporter.bench.measure import Plan, measure
from kcloud_exporter.bench.plot import plot
from kcloud_exporter.bench.report import exponent, keep, table


def main(args: argparse.Namespace) -> int:
    """`kcloud-exporter bench`: measure, print tables, keep figures and picture when asked."""
    plan = Plan(args.cycles, args.churn_cycles, not args.no_compare, not args.no_compare and not args.no_rules)
    results = []
    for size in args.series:
        results.append(measure(size, plan))
        print(table(results[-1]) + "\n", flush=True)
    growth = exponent(results)
    if growth is not None:
        print(f"CPU grows with the series to the power of {growth:.2f}; 1 is linear")
    if args.plot:
        Path(args.plot).write_text(plot(results), encoding="utf-8")
    if args.json:
        keep(Path(args.json), results)
    return 0
