"""`bench`: its flags, and what it runs."""

from __future__ import annotations

import argparse
from typing import Any

from kcloud_exporter.commands.flags import command, count


def add(commands: Any) -> None:
    """Declare the command."""
    flags = command(
        commands,
        "bench",
        "measure a cycle beside the conventional pipeline and Prometheus' recording rules, in one run",
        example="kcloud-exporter bench --series 10000 --series 1000000 --plot bench.svg --json bench.json",
    )
    flags.add_argument(
        "--series",
        type=count,
        action="append",
        metavar="N",
        help="source series to measure with; may be given several times (default: 200000)",
    )
    flags.add_argument("--cycles", type=count, default=5, help="steady cycles to measure (default: 5)")
    flags.add_argument(
        "--churn-cycles",
        dest="churn_cycles",
        type=count,
        default=20,
        help="cycles with 5%% of the pods replaced to measure (default: 20; from 100 on a compaction is among them)",
    )
    flags.add_argument(
        "--no-compare",
        dest="no_compare",
        action="store_true",
        help="leave the conventional pipeline and Prometheus out (they take most of the time)",
    )
    flags.add_argument(
        "--no-rules",
        dest="no_rules",
        action="store_true",
        help="leave Prometheus out (it is also left out where it is not installed)",
    )
    flags.add_argument("--plot", metavar="FILE.svg", help="draw CPU over the number of series")
    flags.add_argument("--json", metavar="FILE", help="add the figures to a file that keeps every run")
    flags.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from kcloud_exporter.bench.run import main as bench

    args.series = args.series or [200_000]
    return bench(args)
