"""`export`: its flags, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from kcloud_exporter.commands.flags import command, config_flag

_WHAT = ("power", "metrics", "report")
_FORMATS = ("json", "csv", "parquet", "excel", "pdf")


def add(commands: Any) -> None:
    """Declare the command."""
    flags = command(
        commands,
        "export",
        "write history to a file: power and energy, any metric that is kept, or a report with charts",
        example="kcloud-exporter export power --config.file my.yaml --period 7d --output power.xlsx\n"
        "  kcloud-exporter export report --config.file my.yaml --template monthly --output november.pdf",
    )
    flags.add_argument("what", choices=_WHAT, metavar="|".join(_WHAT), help="what to write")
    config_flag(flags)
    flags.add_argument(
        "--storage.path",
        dest="storage_path",
        type=Path,
        metavar="DIR",
        help="where history is kept (default: storage.path of the configuration); a server may be writing to it, "
        "what it has not written yet (up to 5 minutes) is left out",
    )
    flags.add_argument("--format", choices=_FORMATS, help="form of the file (default: by the suffix of --output)")
    flags.add_argument("--output", "-o", required=True, metavar="FILE", help="where to write; - is stdout")
    window = flags.add_argument_group("window", "RFC 3339 with a zone, or Unix seconds; of a report: days, 2026-11-24")
    window.add_argument("--start", dest="start", metavar="TIME", help="where it begins")
    window.add_argument("--end", dest="end", metavar="TIME", help="where it ends (default: now)")
    window.add_argument("--period", metavar="TIME", help="how long it is, instead of --start (default: 1h)")
    window.add_argument("--step", metavar="TIME", help="one row per series and so much time (default: by the window)")
    of = flags.add_argument_group("choice")
    of.add_argument("--cluster", metavar="NAME", help="only this cluster")
    of.add_argument("--node", metavar="NAME", help="only this node")
    of.add_argument("--namespace", metavar="NAME", help="only this namespace")
    of.add_argument(
        "--resource-type",
        metavar="TYPE",
        help="of power: all, accelerators, gpu, npu, tpu, cpu, memory, other; of metrics: accelerators, nodes, pods, "
        "namespaces, clusters, sites, hardware",
    )
    of.add_argument(
        "--breakdown-by",
        metavar="LEVEL",
        help="of power: cluster, node, namespace, pod, accelerator, vendor, resource_type, site",
    )
    of.add_argument("--metric-name", metavar="NAMES", help="of metrics: names with commas between (default: all kept)")
    report = flags.add_argument_group("report")
    report.add_argument(
        "--template",
        choices=("daily", "weekly", "monthly", "custom"),
        help="the day, week or month of --start (default: the last that is over); custom: --start to --end",
    )
    report.add_argument("--lang", choices=("en", "ko"), help="language (default: en)")
    report.add_argument("--tz", metavar="ZONE", help="time zone of its days (default: that of the tariff, else UTC)")
    flags.set_defaults(run=_run)


_SUFFIXES = {".json": "json", ".csv": "csv", ".parquet": "parquet", ".xlsx": "excel", ".pdf": "pdf"}
_PARAMETERS = (
    *("period", "step", "cluster", "node", "namespace"),
    *("resource_type", "breakdown_by", "metric_name", "template", "lang", "tz"),
)


def _run(args: argparse.Namespace) -> int:
    from kcloud_exporter import exporting
    from kcloud_exporter.config.load import load_config
    from kcloud_exporter.errors import ExportError

    said = {name: value for name in _PARAMETERS if (value := getattr(args, name)) is not None}
    kind = "date" if args.what == "report" else "time"
    said |= {f"{name}_{kind}": value for name in ("start", "end") if (value := getattr(args, name)) is not None}
    said["format"] = args.format or _SUFFIXES.get(
        Path(args.output).suffix.lower(), "pdf" if args.what == "report" else "json"
    )
    other = sorted(said.keys() - exporting.PARAMETERS[args.what])
    if other:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in other)
        raise ExportError(400, f"{names}: not for export {args.what}")
    config = load_config(args.config_file)
    folder = args.storage_path or Path(config.storage.path)
    return exporting.export(config, folder, args.what, said, args.output)
