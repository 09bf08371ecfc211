"""`demo`: its flags, and what it runs."""

from __future__ import annotations

import argparse
from typing import Any

from kcloud_exporter.commands.flags import command, fleet_flags, serve_options, web_flags


def add(commands: Any) -> None:
    """Declare the command."""
    flags = command(
        commands,
        "demo",
        "serve a simulated fleet on loopback, with nothing to configure",
        example="kcloud-exporter demo --fleet.seed 42",
    )
    web_flags(flags)
    fleet_flags(flags)
    flags.set_defaults(run=_run, config_file=None)


def _run(args: argparse.Namespace) -> int:
    from kcloud_exporter import app

    return app.demo(serve_options(args), seed=args.seed, world=args.world, frozen=args.frozen)
