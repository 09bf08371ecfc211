"""`snapshot`: its flags, and what it runs."""

from __future__ import annotations

import argparse
from typing import Any

from kcloud_exporter.commands.flags import command, config_flag


def add(commands: Any) -> None:
    """Declare the command."""
    flags = command(
        commands,
        "snapshot",
        "do one cycle, print the page on stdout, exit",
        example="kcloud-exporter snapshot --config.file my.yaml | promtool check metrics",
    )
    config_flag(flags)
    flags.add_argument("--openmetrics", action="store_true", help="OpenMetrics 1.0 instead of the text format")
    flags.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from kcloud_exporter import app
    from kcloud_exporter.config.load import load_config

    return app.snapshot(load_config(args.config_file), openmetrics=args.openmetrics)
