"""The mark: the number of the last cycle that was committed, in a small file beside the counters.

SQLite passes over everything that stands behind a damaged piece of its log, without a word: cycles that were
committed are gone, and what remains looks whole. The mark tells that they were there. It is written after each
commit and never synced: it may lag behind the counters, and never runs ahead of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from kcloud_exporter.errors import StorageError

_FILE = "counters.cycle"


class MarkDamageError(Exception):
    """The file does not hold what was written."""


class Mark:
    """The mark of one folder, held open."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise StorageError(f"{self._path}: {exc.strerror}") from exc

    def read(self) -> int:
        """The last cycle that was committed, 0 when nothing tells. Raises MarkDamageError."""
        try:
            text = os.pread(self._file, 256, 0)
        except OSError as exc:
            raise StorageError(f"{self._path}: {exc.strerror}") from exc
        if not text:
            return 0
        number, _, _ = text.partition(b" ")
        if not number.isdigit() or text != _line(int(number)):
            raise MarkDamageError(f"{self._path.name} does not hold what was written")
        return int(number)

    def write(self, cycle: int) -> None:
        """Put down a cycle that is on disk. One that cannot be put down is only not vouched for."""
        line = _line(cycle)
        with contextlib.suppress(OSError):
            os.pwrite(self._file, line, 0)
            os.ftruncate(self._file, len(line))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _line(cycle: int) -> bytes:
    number = b"%020d" % cycle
    return number + b" " + hashlib.blake2b(number, digest_size=8).hexdigest().encode() + b"\n"
