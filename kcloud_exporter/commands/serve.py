"""`serve`: its flags, and what it runs."""

from __future__ import annotations

import argparse
from typing import Any

from kcloud_exporter.commands.flags import command, config_flag, serve_options, web_flags


def add(commands: Any) -> None:
    """Declare the command."""
    flags = command(
        commands,
        "serve",
        "poll all sources on the interval and serve one consistent page",
        example="kcloud-exporter serve --config.file /etc/kcloud-exporter.yaml",
    )
    config_flag(flags)
    web_flags(flags)
    flags.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from kcloud_exporter import app

    return app.serve(serve_options(args))
