"""`explain`: the tree of inputs behind one number: of a running exporter, of own cycles, or of a recording."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from kcloud_exporter.commands.access import access_flag, access_of
from kcloud_exporter.commands.flags import command, config_flag, count
from kcloud_exporter.commands.replay import cycle_at, cycle_or_time
from kcloud_exporter.config.schema import Access
from kcloud_exporter.errors import KcloudError, SourceError
from kcloud_exporter.explain.tree import as_data, as_text, from_data
from kcloud_exporter.sources.http import Connection, decoded

_SECONDS: Final = 30.0
_BODY_BYTES: Final = 256 * 2**20


def add(commands: Any) -> None:
    """Declare the command."""
    flags = command(
        commands,
        "explain",
        "show the tree of inputs behind one number of the page",
        example='kcloud-exporter explain \'kcloud_pod_power_watts{namespace="a",pod="train",component="gpu"}\'\n'
        "kcloud-exporter explain --config.file my.yaml 'kcloud_site_pue_ratio{site=\"icn1\"}'\n"
        "kcloud-exporter explain --recording night.tar --at 2026-03-01T02:30:00+09:00 'kcloud_site_it_power_watts'",
    )
    flags.add_argument("series", help="which number: a metric name and as many labels as it takes to mean one series")
    flags.add_argument(
        "--url",
        default="http://127.0.0.1:28283",
        help="a running kcloud-exporter (default: http://127.0.0.1:28283)",
    )
    access_flag(flags)
    config_flag(flags)
    flags.add_argument(
        "--recording",
        type=Path,
        metavar="FILE",
        help="what kcloud-exporter record has written: explain a number of then, without any network",
    )
    flags.add_argument(
        "--at",
        type=cycle_or_time,
        metavar="CYCLE|TIME",
        help="which cycle of the recording, or the last one before a time (default: its last)",
    )
    flags.add_argument(
        "--depth",
        type=count,
        metavar="N",
        help="how many steps to follow (default: all, and 4 for a namespace, a cluster or a site)",
    )
    flags.add_argument("--output", choices=("text", "json"), default="text", help="form of the tree (default: text)")
    flags.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.recording is not None:
        tree = _of_a_recording(args)
    elif args.config_file is not None:
        tree = _of_own_cycles(args)
    else:
        tree = asyncio.run(_of_a_running_one(args.url.rstrip("/"), access_of(args.http_config_file), args))
    print(orjson.dumps(tree).decode() if args.output == "json" else as_text(from_data(tree)), end="")
    return 0


def _of_a_recording(args: argparse.Namespace) -> dict[str, Any]:
    from kcloud_exporter.config.load import load_config
    from kcloud_exporter.recording.reading import open_recording
    from kcloud_exporter.recording.replay import replay_to

    cycle = cycle_at(open_recording(args.recording), args.at)
    what_if = load_config(args.config_file) if args.config_file else None
    replay, _ = replay_to(args.recording, cycle, what_if)
    tree, _ = replay.pipeline.explain_now(args.series, args.depth)
    return as_data(tree)


def _of_own_cycles(args: argparse.Namespace) -> dict[str, Any]:
    from kcloud_exporter import app
    from kcloud_exporter.config.load import load_config

    tree, _ = app.explain(load_config(args.config_file), args.series, args.depth)
    return tree


async def _of_a_running_one(url: str, access: Access, args: argparse.Namespace) -> dict[str, Any]:
    asked = {"series": args.series, **({"depth": str(args.depth)} if args.depth else {})}
    connection = Connection(access, connections=1, body_bytes=_BODY_BYTES)
    try:
        fetched = await connection.fetch(
            "GET",
            f"{url}/api/v1/explain?{urlencode(asked)}",
            _SECONDS,
            headers={"Accept": "application/json"},
            accept=frozenset({200, 400, 404}),
        )
    except SourceError as exc:
        raise KcloudError(f"{url}: {exc}; name a running one with --url, or read the sources: --config.file") from exc
    finally:
        await connection.close()
    return _data(url, fetched.status, decoded(fetched, _BODY_BYTES))


def _data(url: str, status: int, body: bytes) -> dict[str, Any]:
    """The tree of an answer. Raises KcloudError with the message of an error answer."""
    try:
        answer = orjson.loads(body)
        found: Any = answer["data"] if status == 200 else answer["error"]["message"]
    except (KeyError, TypeError, orjson.JSONDecodeError) as exc:
        raise KcloudError(f"{url} does not answer as a kcloud-exporter does") from exc
    if not isinstance(found, dict):
        raise KcloudError(str(found))
    return found
