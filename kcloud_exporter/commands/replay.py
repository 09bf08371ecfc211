"""`replay`: its flags, and what it runs."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kcloud_exporter.commands.flags import command, counted
from kcloud_exporter.errors import ConfigError, RecordingError

if TYPE_CHECKING:
    from kcloud_exporter.recording.reading import Recording
    from kcloud_exporter.recording.replay import Replay

_EXAMPLES = """\
kcloud-exporter replay night.tar                                   is it the same ledger? and its last page
kcloud-exporter replay night.tar --at 2026-03-01T02:30:00+09:00    the page of that moment
kcloud-exporter replay night.tar --config.file other.yaml          what if: another policy, another tariff
tar -xOf night.tar config.yaml > other.yaml                        the configuration to begin with"""
_MORE = """\
Computes the ledger of a recording (kcloud-exporter record) again, without any network, compares each
cycle's page with the one that was recorded, and prints the last page on stdout. Exit status 1 tells that
a page differs: then the first cycle and line that do are on stderr.

With --config.file nothing is compared: the page is what would have been shown with that configuration.
It must have the same sources; nodes, sites, tariffs, work units, limits and policies may be others.
"""


def add(commands: Any) -> None:
    """Declare the command."""
    flags = command(
        commands,
        "replay",
        "compute the ledger of a recording again and compare it",
        example=_EXAMPLES,
        level="error",
    )
    flags.description = f"{flags.description}\n\n{_MORE}"
    flags.add_argument("recording", type=Path, metavar="FILE", help="what kcloud-exporter record has written")
    flags.add_argument(
        "--config.file",
        dest="config_file",
        type=Path,
        metavar="FILE",
        help="what if it had been this configuration (default: the recorded one, and compare)",
    )
    flags.add_argument(
        "--at",
        type=cycle_or_time,
        metavar="CYCLE|TIME",
        help="stop at a cycle (1 is the first) or at the last one before a time (ISO 8601; without a zone UTC)",
    )
    flags.add_argument(
        "--output", default="-", metavar="FILE", help="where the page goes (default: -, which is stdout)"
    )
    flags.set_defaults(run=_run)


def cycle_or_time(text: str) -> int | float:
    """A cycle (int), or a moment in Unix seconds (float)."""
    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}; write the number of a cycle, or a time such as 2026-03-01T02:30:00+09:00"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from kcloud_exporter.config.load import load_config
    from kcloud_exporter.exposition.ledger import ledger_page
    from kcloud_exporter.exposition.renderer import Renderer
    from kcloud_exporter.recording.compare import difference
    from kcloud_exporter.recording.reading import open_recording
    from kcloud_exporter.recording.replay import Replay, cycle_in

    recording = open_recording(args.recording)
    what_if = load_config(args.config_file) if args.config_file else None
    last = cycle_in(recording, cycle_at(recording, args.at))
    replay, renderer, page = Replay(recording, what_if), Renderer(), b""
    _tell_what_to_know(recording, replay)
    with tqdm(
        total=recording.end, unit="B", unit_scale=True, desc="replaying", file=sys.stderr, disable=None, leave=False
    ) as bar:
        for replayed in replay.cycles():
            bar.update(replayed.position - bar.n)
            if what_if is None or replayed.cycle == last:
                page = ledger_page(renderer, replayed.snapshot)
            found = difference(replayed, page) if what_if is None else None
            if found is not None:
                bar.close()
                print(f"not the same ledger: {found.told()}\n{_program(recording)}", file=sys.stderr)
                return 1
            if replayed.cycle == last:
                break
    told = "the same ledger, byte for byte, in" if what_if is None else "another ledger from the same answers:"
    of = f"{last} of {len(recording.pages)} cycles" if what_if is None else counted(last, "cycle")
    print(f"{told} {of}", file=sys.stderr)
    _write(args.output, page)
    return 0


def cycle_at(recording: Recording, at: int | float | None) -> int | None:
    """The cycle that `--at` means; None for the last. Raises RecordingError."""
    if at is None or isinstance(at, int):
        return at
    cycle = recording.cycles_until(at)
    if not cycle:
        raise RecordingError(f"{recording.path} has no cycle before that time; its first one is {_first(recording)}")
    return cycle


def _first(recording: Recording) -> str:
    if not recording.pages:
        return "missing"
    return datetime.fromtimestamp(recording.pages[0][1], UTC).isoformat(timespec="milliseconds")


def _tell_what_to_know(recording: Recording, replay: Replay) -> None:
    if not recording.is_whole:
        whole = counted(len(recording.pages), "whole cycle")
        print(f"{recording.path} was cut off: it has {whole}; what came after is left out", file=sys.stderr)
    for cluster, names in replay.unasked.items():
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        print(
            f"note: the Prometheus of cluster {cluster} was not asked for {shown}: absent in this replay",
            file=sys.stderr,
        )


def _program(recording: Recording) -> str:
    from kcloud_exporter.recording.recorder import PROGRAM

    same = recording.head.program == PROGRAM
    return f"recorded by {recording.head.program}, replayed by {'the same' if same else PROGRAM}"


def _write(output: str, page: bytes) -> None:
    if output == "-":
        sys.stdout.buffer.write(page)
        sys.stdout.buffer.flush()
        return
    try:
        Path(output).write_bytes(page)
    except OSError as exc:
        raise ConfigError([f"--output: {output} cannot be written: {exc.strerror}"]) from exc
