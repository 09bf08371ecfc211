"""The run: the parts that were asked for, each beside what else could be done, in CPU seconds of one machine."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from kcloud_exporter.bench import answers, exports, soak, streams, upstream
from kcloud_exporter.bench.measure import Plan, Result, measure, tell
from kcloud_exporter.bench.plot import plot
from kcloud_exporter.bench.report import exponent, keep, table


def main(args: argparse.Namespace) -> int:
    """`kcloud-exporter bench`: measure, print tables, keep figures and picture when asked."""
    cycles: list[Result] = []
    found: dict[str, Any] = {}
    for part in args.parts:
        if part == "cycle":
            cycles = _cycle(args)
        else:
            found[part] = _PARTS[part](args)
    if args.plot and cycles:
        Path(args.plot).write_text(plot(cycles), encoding="utf-8")
    if args.json:
        keep(Path(args.json), cycles, found)
    return 0


def _cycle(args: argparse.Namespace) -> list[Result]:
    plan = Plan(args.cycles, args.churn_cycles, not args.no_compare, not args.no_compare and not args.no_rules)
    results = []
    for size in args.series:
        results.append(measure(size, plan))
        _say(table(results[-1]))
    growth = exponent(results)
    if growth is not None:
        _say(f"CPU grows with the series to the power of {growth:.2f}; 1 is linear")
    return results


def _exports(args: argparse.Namespace) -> Any:
    tell(f"history of {args.rows:,} rows, and files of it (this takes a while)")
    files = exports.measure(args.rows)
    _say(exports.table(files))
    return [each.as_json() for each in files]


def _streams(args: argparse.Namespace) -> Any:
    tell(f"{args.clients:,} readers of a stream; those that stall are waited for")
    told = streams.measure(args.clients, args.stalled, args.events)
    _say(streams.table(told))
    return told.as_json()


def _api(args: argparse.Namespace) -> Any:
    tell("requests to the running demo")
    told = answers.measure(args.seconds)
    _say(answers.table(told))
    return [each.as_json() for each in told]


def _soak(args: argparse.Namespace) -> Any:
    found = []
    for series in args.series:
        tell(f"{args.soak_cycles} cycles of the running program over {series:,} series, {args.soak_interval:g} s apart")
        found.append(soak.measure(series, args.soak_cycles, args.soak_interval, args.soak_churn / 100))
        _say(soak.table(found[-1]))
    return [each.as_json() for each in found]


def _upstream(args: argparse.Namespace) -> Any:
    found = []
    for series in args.series:
        tell(f"{args.cycles} cycles each by federation, by queries and directly, over {series:,} series")
        asked = upstream.measure(series, args.cycles)
        _say(upstream.table(asked))
        found += [each.as_json() for each in asked]
    return found


_PARTS: Final[dict[str, Callable[[argparse.Namespace], Any]]] = {
    "exports": _exports,
    "streams": _streams,
    "api": _api,
    "soak": _soak,
    "upstream": _upstream,
}


def _say(text: str) -> None:
    print(text + "\n", flush=True)
