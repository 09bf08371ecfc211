"""The command line: help that teaches, errors that say what to do. Each command has its module in `commands`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from kcloud_exporter import __version__, logs
from kcloud_exporter.commands import (
    bench,
    check,
    demo,
    explain,
    export,
    fleet,
    generate,
    record,
    replay,
    serve,
    snapshot,
    vendors,
)
from kcloud_exporter.commands.flags import Help, counted, level_named
from kcloud_exporter.errors import ConfigError, KcloudError

_DESCRIPTION = """\
One conserved power ledger for AI clouds, as Prometheus metrics.

Reads what your exporters already say (NVIDIA, AMD, Intel, Gaudi, Ascend, Furiosa, Rebellions and TPU devices;
Kepler, IPMI, Redfish, PDUs, node_exporter; kcloud-exporter vendors lists all), from any number of clusters,
and re-exposes it as kcloud_* metrics in which every watt is counted once and has an owner.
"""
_EXAMPLES = """\
first steps:
  kcloud-exporter demo                               a simulated fleet, aggregated; nothing to configure
  kcloud-exporter check --config.file my.yaml        every mistake of a configuration, with its place
  kcloud-exporter vendors http://host:9400/metrics   what of an exporter's page would be understood
  kcloud-exporter snapshot --config.file my.yaml     one cycle, the page on stdout
  kcloud-exporter explain SERIES                     why a number is what it is: its tree of inputs
  kcloud-exporter serve --config.file my.yaml        the main job; scrape it with honor_labels: true

Each command explains itself: kcloud-exporter COMMAND --help
"""
_COMMANDS = (serve, demo, fleet, snapshot, explain, export, check, vendors, generate, record, replay, bench)


def parser() -> argparse.ArgumentParser:
    """All commands and flags."""
    root = argparse.ArgumentParser(
        prog="kcloud-exporter", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=Help
    )
    root.add_argument("--version", action="version", version=f"kcloud-exporter {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return root


def log_level(environ: Mapping[str, str]) -> str:
    """The level that LOG_LEVEL names, in any case and with the names that Python has for it. Raises ConfigError."""
    said = environ.get("LOG_LEVEL", "").strip().lower() or "info"
    level = level_named(said)
    if level not in logs.LEVELS:
        raise ConfigError([f"LOG_LEVEL: {said!r} is no level; known: {', '.join(logs.LEVELS)}"])
    return level


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. 0 = done, 1 = failed, 2 = a mistake of usage or configuration, each told on stderr."""
    args = parser().parse_args(argv)
    try:
        args.log_level = args.log_level or log_level(os.environ)
        logs.set_up(args.log_level, args.log_format)
        return int(args.run(args))
    except ConfigError as exc:
        for problem in exc.problems:
            print(problem, file=sys.stderr)
        print(f"{counted(len(exc.problems), 'mistake')} in the configuration", file=sys.stderr)
        return 2
    except KcloudError as exc:
        print(f"kcloud-exporter: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
