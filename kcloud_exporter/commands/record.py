"""`record`: its flags, and what it runs."""

from __future__ import annotations

import argparse
import asyncio
import math
import signal
import sys
from pathlib import Path
from typing import Any

from kcloud_exporter.commands.flags import command, config_flag, count, counted, duration

_EXAMPLES = """\
kcloud-exporter record --config.file my.yaml --output night.tar --duration 8h
kcloud-exporter record --config.file my.yaml --output three.tar --cycles 3
kcloud-exporter replay night.tar"""
_MORE = """\
Asks all sources on the interval, as serve does, and keeps every answer as it was received, with the
order in which it was read and the clocks of each cycle. From that kcloud-exporter replay computes the
same ledger, byte for byte. Counters begin at zero and stay in memory; nothing is served.

The file is a tar: config.yaml (without credentials), one JSON file per event, and beside it the body.
Credentials are never in it, but the answers of your exporters are, with the names of nodes, namespaces
and pods. Ctrl-C ends it with a whole file. If the process is killed, all that was complete can be read.
"""


def add(commands: Any) -> None:
    """Declare the command."""
    flags = command(
        commands,
        "record",
        "record what the sources answer, to compute the same ledger later",
        example=_EXAMPLES,
    )
    flags.description = f"{flags.description}\n\n{_MORE}"
    config_flag(flags)
    flags.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="the file to write; it must not be there yet"
    )
    how_long = flags.add_mutually_exclusive_group()
    how_long.add_argument(
        "--duration", type=duration, metavar="TIME", help="how long, for example 10m (default: until Ctrl-C)"
    )
    how_long.add_argument("--cycles", type=count, metavar="N", help="how many cycles (default: until Ctrl-C)")
    flags.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    return asyncio.run(_record(args))


async def _record(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from kcloud_exporter.config.load import load_config
    from kcloud_exporter.recording.live import Live, record

    config = await asyncio.to_thread(load_config, args.config_file)
    live = Live(config, args.output)
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    total = args.cycles or (math.ceil(args.duration / config.global_.interval) if args.duration else None)
    with tqdm(total=total, unit=" cycles", desc="recording", file=sys.stderr, disable=None) as bar:

        def told(live: Live) -> None:
            bar.set_postfix_str(_size(live.tape.size), refresh=False)
            bar.update(live.recorder.pages - bar.n)

        await record(live, stopped, cycles=args.cycles, seconds=args.duration, told=told)
    sources = sum(len(source.names) for source in live.sources)
    print(
        f"recorded {counted(live.recorder.pages, 'cycle')} of {counted(sources, 'source')} in {args.output} "
        f"({_size(live.tape.size)})\nsee it again: kcloud-exporter replay {args.output}"
    )
    return 0


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
