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
        "measure a cycle beside the conventional Python pipeline, in one run",
        example="kcloud-exporter bench --series 10000 --series 200000",
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
        "--no-compare",
        dest="no_compare",
        action="store_true",
        help="leave the conventional pipeline out (it takes most of the time)",
    )
    flags.add_argument("--json", metavar="FILE", help="keep the figures in a file")
    flags.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from kcloud_exporter.bench.run import main as bench

    args.series = args.series or [200_000]
    return bench(args)
