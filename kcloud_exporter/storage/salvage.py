"""Salvage: what a write-ahead log still holds behind the place where it is damaged.

Each frame of SQLite's log is vouched for by a checksum over all frames before it, so one flipped bit makes SQLite
forget every later commit. The pages in them are mostly whole, and a later cycle writes the same pages again. Here
the frames are laid over the main file in memory without asking that chain; our own checksums decide afterwards
whether the result is what was written (format of the log: https://www.sqlite.org/fileformat2.html#walformat).
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from kcloud_exporter.storage.pieces import Copy, NewerSchemaError, read_copy

_MAGIC: Final = b"SQLite format 3\0"
_HEADER, _FRAME, _SALTS = 32, 24, slice(8, 16)
_TRIES: Final = 16
"""How many commits, from the last one backwards, are tried."""


def salvaged(main: Path, log: Path) -> Iterator[Copy]:
    """Copies of what stood in the files at their last commits, the latest first, ended by one that is whole.

    A file that is missing or cannot be read gives nothing.
    """
    try:
        pages, frames = main.read_bytes() if main.exists() else b"", log.read_bytes()
    except OSError:
        return
    size = _page_size(pages, frames)
    for salts in dict.fromkeys(_salts(frames, size)):
        for end in _commits(frames, size, salts)[: -_TRIES - 1 : -1]:
            copy = _read(_laid_over(pages, frames, size, salts, end))
            if copy is not None:
                yield copy
                if not copy.faults:
                    return


def _page_size(pages: bytes, frames: bytes) -> int:
    """The page size that the main file tells, or else the log's header."""
    told = 0
    if pages[:16] == _MAGIC:
        told = int.from_bytes(pages[16:18])
    elif len(frames) >= _HEADER:
        told = int.from_bytes(frames[8:12])
    told = 65536 if told == 1 else told
    return told if told >= 512 and not told & (told - 1) else 4096


def _salts(frames: bytes, size: int) -> list[bytes]:
    """The salts that frames of the log's last generation carry, by its header and by its first two frames."""
    first, second = _HEADER, _HEADER + _FRAME + size
    return [frames[16:24], *(frames[at:][_SALTS] for at in (first, second) if len(frames) >= at + _FRAME + size)]


def _commits(frames: bytes, size: int, salts: bytes) -> list[int]:
    """Where the frames end that close a transaction."""
    step = _FRAME + size
    return [
        at + step
        for at in range(_HEADER, len(frames) - step + 1, step)
        if frames[at:][_SALTS] == salts and frames[at + 4 : at + 8] != b"\0\0\0\0"
    ]


def _laid_over(pages: bytes, frames: bytes, size: int, salts: bytes, end: int) -> bytes:
    """The main file with the log's frames up to `end` laid over it."""
    file, count = bytearray(pages), 0
    most = len(pages) // size + len(frames) // size + 1
    for at in range(_HEADER, end, _FRAME + size):
        number, commit = struct.unpack_from(">II", frames, at)
        if frames[at:][_SALTS] != salts or not 0 < number <= most:
            continue
        if len(file) < number * size:
            file.extend(bytes(number * size - len(file)))
        file[(number - 1) * size : number * size] = frames[at + _FRAME : at + _FRAME + size]
        count = commit or count
    if 0 < count <= most:
        del file[count * size :]
    if len(file) > 20:
        file[18:20] = b"\1\1"  # no log belongs to it any more
    return bytes(file)


def _read(file: bytes) -> Copy | None:
    if not file:
        return None
    with closing(sqlite3.connect(":memory:")) as db, suppress(sqlite3.Error, NewerSchemaError):
        db.deserialize(file)
        return read_copy(db, "the log behind its damage")
    return None
