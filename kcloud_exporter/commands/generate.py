"""`generate`: its flags, and what it runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from kcloud_exporter.catalogue import Family
from kcloud_exporter.commands.flags import command, counted
from kcloud_exporter.errors import ArtefactError


def add(commands: Any) -> None:
    """Declare the command."""
    flags = command(
        commands,
        "generate",
        "write rules, alerts, dashboards, runbooks, docs and samples from the catalogue",
        example="kcloud-exporter generate --values my-values.yaml --output.path out",
    )
    flags.add_argument(
        "--check",
        action="store_true",
        help="write nothing; say what differs from the files on disk, and exit 1 when anything does",
    )
    flags.add_argument(
        "--values",
        type=Path,
        metavar="FILE",
        help="thresholds, durations and budgets (default: the built-in ones, see config/rules-values.example.yaml)",
    )
    flags.add_argument(
        "--output.path",
        dest="output",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where rules/, dashboards/, docs/ and config/ are written (default: here)",
    )
    flags.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from kcloud_exporter.artefacts import tree
    from kcloud_exporter.artefacts.alerts import ALERTS
    from kcloud_exporter.artefacts.values import read_values
    from kcloud_exporter.config.load import json_schema
    from kcloud_exporter.vendors.loading import load_vendors, table_texts

    try:
        from kcloud_exporter.artefacts.dashboards import dashboards
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "grafana_foundation_sdk":
            raise
        raise ArtefactError(
            "dashboards are made with grafana-foundation-sdk, which is not installed: "
            "pip install 'kcloud-exporter[generate]'"
        ) from exc

    values = read_values(args.values, ALERTS)
    files = tree.tree(values, load_vendors(), own_families(), json_schema(), table_texts(), dashboards())
    if args.check:
        found = tree.differences(args.output, files)
        for difference in found:
            print(difference, file=sys.stderr)
        if found:
            print(f"{counted(len(found), 'file')} to write anew: run kcloud-exporter generate", file=sys.stderr)
            return 1
        print(f"{counted(len(files), 'file')} as generated")
        return 0
    changed = tree.write(args.output, files)
    for name in changed:
        print(name)
    print(f"{counted(len(changed), 'file')} changed, {len(files) - len(changed)} as they were")
    return 0


def own_families() -> list[Family]:
    """What the page can tell of the exporter itself, with everything that is off by default."""
    from kcloud_exporter.history.state import CopyState, HistoryState
    from kcloud_exporter.remote.state import RemoteState
    from kcloud_exporter.telemetry import Telemetry

    telemetry = Telemetry()
    HistoryState(telemetry.registry)
    CopyState(telemetry.registry)
    RemoteState(telemetry.registry)
    return telemetry.families()
