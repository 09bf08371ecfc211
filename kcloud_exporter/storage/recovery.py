"""Recovery: the best that several damaged copies hold together. Each piece of it is proved by its own checksum."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from kcloud_exporter.storage.pieces import Copy, Key, Stored, read_copy
from kcloud_exporter.storage.salvage import salvaged

MAIN, BACKUP, NEW = "counters.sqlite", "counters.backup.sqlite", "counters.new.sqlite"
_KEPT: Final = 3
"""How many damaged sets of files are kept."""
_HEADER: Final = b"SQLite format 3\0"


def read_main(folder: Path) -> Copy:
    """What the main file and its log hold by SQLite's own account.

    Opened read-only: an ordinary connection would fold the log into the main file when it is closed, and with it
    everything that might still be found there. For the same reason SQLite sees no file that is empty: it would
    delete the log. Raises sqlite3.Error where the disk is the trouble.
    """
    path = folder / MAIN
    if not path.exists():
        return Copy(path.name)
    with path.open("rb") as file:
        begin = file.read(len(_HEADER))
    if not begin:
        return Copy(path.name)
    if begin != _HEADER:
        return Copy(path.name, faults=[f"{path.name} is no SQLite file"])
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        copy = read_copy(db, path.name)
    copy.faults = [f"{path.name}: {fault}" for fault in copy.faults]
    return copy


def log_of(folder: Path) -> bool:
    """Whether there is a log with something in it."""
    log = folder / f"{MAIN}-wal"
    return log.exists() and log.stat().st_size > 0


def read_alone(path: Path, origin: str) -> Copy:
    """What a file without a log holds; nothing when there is none. Raises sqlite3.Error as `read_main` does."""
    if not path.exists():
        return Copy(origin)
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        return read_copy(db, origin)


def best_of(folder: Path, main: Copy, backup: Copy) -> tuple[dict[Key, Stored], str, int]:
    """(counters, where they are from, the latest cycle among them) of everything that can be found in the folder."""
    copies = [main, *salvaged(folder / MAIN, folder / f"{MAIN}-wal"), read_alone(folder / NEW, "the new file"), backup]
    merged: dict[Key, Stored] = {}
    origins: dict[str, int] = {}
    cycle = -1
    for copy in sorted(copies, key=lambda copy: (copy.cycle, not copy.faults), reverse=True):
        fresh = [key for key in copy.books if key not in merged]
        newest = not merged or copy.cycle == cycle
        cycle = copy.cycle if not merged else cycle
        merged.update({key: copy.books[key] if newest else copy.books[key].without_time() for key in fresh})
        if fresh:
            origins[_told(copy)] = len(fresh)
    if len(origins) == 1:
        source = next(iter(origins))
    elif not origins:
        source = "nothing"
    else:
        source = ", ".join(f"{origin} ({count} of {len(merged)} families)" for origin, count in origins.items())
    return merged, source, cycle


def _told(copy: Copy) -> str:
    return f"{copy.origin}, cycle {copy.cycle}" if copy.cycle > 0 else copy.origin


def set_aside(folder: Path, names: Iterable[str]) -> None:
    """Keep files under another name, for whoever wants to look; the oldest of those that are kept go."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for name in names:
        path = folder / name
        if path.exists():
            path.replace(folder / f"damaged-{stamp}-{name}")
    stamps = sorted({path.name.split("-")[1] for path in folder.glob("damaged-*-*")})
    for path in folder.glob("damaged-*-*"):
        if path.name.split("-")[1] in stamps[:-_KEPT]:
            path.unlink()
