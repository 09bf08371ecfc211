"""`vendors`: the tables that say what exporters' series mean, and what of a page they understand."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from kcloud_exporter.commands.access import access_flag, access_of
from kcloud_exporter.commands.flags import command, config_flag
from kcloud_exporter.config.schema import Access
from kcloud_exporter.errors import ConfigError, KcloudError, SourceError, VendorError
from kcloud_exporter.vendors.loading import load_vendors, table_files
from kcloud_exporter.vendors.mapping import VendorIndex, VendorTable

_SECONDS: Final = 30.0
_BODY_BYTES: Final = 256 * 2**20
_TEXT: Final = "text/plain;version=0.0.4, */*;q=0.1"
_ABOUT: Final = """\
What an exporter's series mean is data: one YAML table per exporter. Without arguments all tables are listed. With
URLs or files, each page is read and the report tells what of it would be understood, by which table and as which
quantity, then what would not, with known names that are nearly the same. Tables of your own (--vendors.dir, or
vendors_dir: of a configuration) stand beside those of the package, and replace those of the same name.

A Prometheus can be asked as well: its /federate?match[]=... is a page like any other.

Exit status: 0 when something of every page is understood, 1 when nothing of one is or it cannot be had, 2 when a
table is wrong; its mistakes are told with their file and place.
"""


def add(commands: Any) -> None:
    """Declare the command."""
    flags = command(
        commands,
        "vendors",
        "list the vendor tables, or tell what of a page they understand",
        example="kcloud-exporter vendors\n  kcloud-exporter vendors --show dcgm\n"
        "  kcloud-exporter vendors http://10.0.0.7:9400/metrics\n"
        "  curl -s 10.0.0.9:9999/metrics | kcloud-exporter vendors --vendors.dir my-tables -",
    )
    flags.description = f"{flags.description}\n\n{_ABOUT}"
    flags.add_argument("pages", nargs="*", metavar="URL|FILE", help="pages to examine; - is standard input")
    flags.add_argument("--show", metavar="NAME", help="print the table of that name")
    flags.add_argument("--all", action="store_true", help="list every family that is not understood")
    flags.add_argument(
        "--vendors.dir", dest="vendors_dir", type=Path, metavar="DIR", help="a folder with tables of your own"
    )
    config_flag(flags)
    access_flag(flags)
    flags.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    folders = _folders(args)
    try:
        vendors = load_vendors(*folders)
    except VendorError as exc:
        raise ConfigError(str(exc).splitlines()) from exc
    if args.show is not None:
        return _show(args.show, vendors, folders)
    if not args.pages:
        print(_listed(vendors, folders), end="")
        return 0
    return max(_examine(page, vendors, args) for page in args.pages)


def _folders(args: argparse.Namespace) -> list[Path]:
    from kcloud_exporter.config.load import load_config

    folders = [args.vendors_dir] if args.vendors_dir is not None else []
    if args.config_file is not None and (configured := load_config(args.config_file).vendors_dir):
        folders.insert(0, Path(configured))
    return folders


def _show(name: str, vendors: VendorIndex, folders: list[Path]) -> int:
    files = table_files(*folders)
    if name not in files:
        raise ConfigError([f"--show: {name!r} is no vendor table; known: {', '.join(vendors.tables)}"])
    print(files[name].read_text(encoding="utf-8"), end="")
    return 0


def _listed(vendors: VendorIndex, folders: list[Path]) -> str:
    files, own = table_files(*folders), [folder.resolve() for folder in folders]
    rows = [("TABLE", "SERIES", "TELLS", "EXPORTER")]
    for name, table in sorted(vendors.tables.items()):
        mine = f" [{files[name]}]" if files[name].parent.resolve() in own else ""
        rows.append((name, str(len(vendors.names(name))), ", ".join(_tells(table)), f"{table.exporter}{mine}"))
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    return "".join(
        f"{'  '.join(text.ljust(width) for text, width in zip(row, widths, strict=False))}  {row[3]}\n" for row in rows
    )


def _tells(table: VendorTable) -> list[str]:
    """In a few words what a table gives: of which things, with or without power."""
    told = {rule.to for rule in table.series}
    words = {
        f"{table.kind} power": "accelerator_power_watts",
        f"{table.kind} use": "accelerator_utilization_ratio",
        "whole-server power": "node_wall_power_watts",
        "cpu power": "node_cpu_power_watts",
        "pod power": "pod_cpu_power_watts",
    }
    found = [word for word, quantity in words.items() if quantity in told]
    if any(rule.owner for rule in table.series):
        found.append("holders")
    if any(quantity.startswith("hardware_") for quantity in told):
        found.append("sensors")
    return found or sorted(told)


def _examine(page: str, vendors: VendorIndex, args: argparse.Namespace) -> int:
    from kcloud_exporter.coverage.examine import examine
    from kcloud_exporter.coverage.report import report

    try:
        body, openmetrics = _body(page, access_of(args.http_config_file))
        host = urlsplit(page).netloc if "://" in page else "?"
        coverage = examine(body, vendors, target={"instance": host, "job": "vendors"}, openmetrics=openmetrics)
    except (OSError, SourceError) as exc:
        print(f"{page}: {exc}", file=sys.stderr)
        return 1
    print(report(page, coverage, everything=args.all), end="")
    return 0 if coverage.understood else 1


def _body(page: str, access: Access) -> tuple[bytes, bool]:
    """The bytes of a page, and whether it is OpenMetrics. Raises OSError or SourceError."""
    if "://" in page:
        return asyncio.run(_fetched(page, access))
    body = sys.stdin.buffer.read() if page == "-" else Path(page).read_bytes()
    return body, body.rstrip().endswith(b"# EOF")


async def _fetched(url: str, access: Access) -> tuple[bytes, bool]:
    from kcloud_exporter.sources.http import Connection, decoded

    if urlsplit(url).scheme not in ("http", "https"):
        raise KcloudError(f"{url}: is no http:// or https:// URL")
    connection = Connection(access, connections=1, body_bytes=_BODY_BYTES)
    try:
        fetched = await connection.fetch("GET", url, _SECONDS, headers={"Accept": _TEXT})
        return decoded(fetched, _BODY_BYTES), fetched.content_type.startswith("application/openmetrics-text")
    finally:
        await connection.close()
