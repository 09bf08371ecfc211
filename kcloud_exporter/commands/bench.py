"""`bench`: its parts, its flags, and what it runs."""

from __future__ import annotations

import argparse
from typing import Any, Final

from kcloud_exporter.commands.flags import command, count
from kcloud_exporter.errors import ConfigError

PARTS: Final = {
    "cycle": "a cycle beside the conventional pipeline and recording rules",
    "api": "requests a second beside an idle aiohttp handler",
    "streams": "readers of server-sent events, some of whom stall",
    "exports": "large files and the memory that they take",
    "soak": "the running program over many cycles: memory, and what small requests wait meanwhile",
    "upstream": "what a cycle asks of a Prometheus, by federation and queries, and of the exporters themselves",
}


def add(commands: Any) -> None:
    """Declare the command."""
    flags = command(
        commands,
        "bench",
        "measure a cycle, the API, streams and exports, each beside something to compare with in the same run",
        example="kcloud-exporter bench --series 10000 --series 1000000 --plot bench.svg --json bench.json\n"
        "kcloud-exporter bench api streams exports",
    )
    flags.add_argument(
        "parts",
        nargs="*",
        type=_part,
        metavar="PART",
        help="; ".join(f"{name}: {told}" for name, told in PARTS.items()) + " (default: cycle)",
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
        default=40,
        help="cycles with 5%% of the pods replaced to measure (default: 40, until some are let go)",
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
    flags.add_argument(
        "--seconds", type=seconds, default=5.0, help="how long each route is asked (default: 5; only api)"
    )
    flags.add_argument("--clients", type=count, default=2000, help="readers of the stream (default: 2000)")
    flags.add_argument("--stalled", type=count, default=200, help="of them, those that stop reading (default: 200)")
    flags.add_argument("--events", type=count, default=100, help="events of the stream, at least (default: 100)")
    flags.add_argument("--rows", type=count, default=10_000_000, help="rows of each file (default: 10000000)")
    flags.add_argument("--soak-cycles", dest="soak_cycles", type=count, default=200, help="its cycles (default: 200)")
    flags.add_argument("--soak-interval", dest="soak_interval", type=seconds, default=5.0, help="seconds between them")
    flags.add_argument(
        "--soak-churn",
        dest="soak_churn",
        type=percent,
        default=0.0,
        metavar="PERCENT",
        help="pods that are replaced in each of its cycles (default: 0)",
    )
    flags.add_argument("--plot", metavar="FILE.svg", help="draw CPU over the number of series")
    flags.add_argument("--json", metavar="FILE", help="add the figures to a file that keeps every run")
    flags.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from kcloud_exporter.bench.exports import MOST_ROWS
    from kcloud_exporter.bench.run import main as bench

    args.series = args.series or [200_000]
    args.parts = list(dict.fromkeys(args.parts)) or ["cycle"]
    if args.stalled >= args.clients:
        raise ConfigError([f"--stalled: of {args.clients} readers at least one must read"])
    if args.rows > MOST_ROWS:
        raise ConfigError([f"--rows: a file has at most {MOST_ROWS:,} rows"])
    return bench(args)


def _part(said: str) -> str:
    if said not in PARTS:
        raise argparse.ArgumentTypeError(f"{said!r}; known: {', '.join(PARTS)}")
    return said


def seconds(text: str) -> float:
    """How long something takes."""
    return _number(text, 0.001, 3600.0, "write seconds, up to 3600")


def percent(text: str) -> float:
    """A part of a whole."""
    return _number(text, 0.0, 100.0, "write a number from 0 to 100")


def _number(text: str, least: float, most: float, hint: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r}; {hint}")
    return value
