"""`fleet`: its flags, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from kcloud_exporter.commands.flags import command, fleet_flags


def add(commands: Any) -> None:
    """Declare the command."""
    flags = command(
        commands,
        "fleet",
        "run only the simulated exporters, with the ground truth at /truth",
        example="kcloud-exporter fleet --fleet.frozen",
    )
    fleet_flags(flags)
    flags.add_argument(
        "--fleet.write-config",
        dest="write_config",
        type=Path,
        metavar="FILE",
        help="write a configuration with which kcloud-exporter serve reads this fleet",
    )
    # What `demo` uses: one JSON line instead of the list, and an end when the parent has ended.
    flags.add_argument("--fleet.for-demo", dest="for_demo", action="store_true", help=argparse.SUPPRESS)
    flags.add_argument("--fleet.start", dest="start", type=float, help=argparse.SUPPRESS)
    flags.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from kcloud_exporter import app

    return app.fleet(
        app.fleet_spec(args.seed, frozen=args.frozen, size=args.world, start=args.start),
        write_config=args.write_config,
        for_demo=args.for_demo,
    )
