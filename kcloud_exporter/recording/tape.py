"""Tape: a tar file that grows by whole members, and stays readable wherever it is cut off.

Each member goes to the system in one write, and a write that fails is taken back, so that what stands in the file is
whole but for a last member that a killed process, or a full disk, has left unfinished.
"""

from __future__ import annotations

import os
import tarfile
import time
from pathlib import Path
from typing import Final

from kcloud_exporter.errors import RecordingError

BLOCK: Final = tarfile.BLOCKSIZE


class Tape:
    """The file that is written. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        """Begin a new file, which only its owner may read. Raises RecordingError, also for a file that is there."""
        self.path, self.size = path, 0
        try:
            self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise RecordingError(f"{path} is there already: choose another --output, or remove it first") from None
        except OSError as exc:
            raise RecordingError(f"{path} cannot be written: {exc.strerror}") from exc

    def add(self, name: str, content: bytes) -> None:
        """Append one member. Raises RecordingError; the file then ends before this member."""
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = len(content), 0o600, int(time.time())
        self._write(info.tobuf(tarfile.USTAR_FORMAT), content, b"\0" * (-len(content) % BLOCK))

    def sync(self) -> None:
        """See to it that everything so far survives a loss of power. Raises RecordingError."""
        try:
            os.fdatasync(self._file)
        except OSError as exc:
            raise RecordingError(f"{self.path} cannot be written: {exc.strerror}") from exc

    def close(self) -> None:
        """Write the end mark of a tar file."""
        try:
            self._write(b"\0" * (2 * BLOCK))
            self.sync()
        finally:
            os.close(self._file)

    def abandon(self) -> None:
        """Remove the file: nothing has come of it."""
        os.close(self._file)
        self.path.unlink(missing_ok=True)

    def _write(self, *parts: bytes) -> None:
        whole = sum(map(len, parts))
        try:
            done = os.writev(self._file, parts)
            if done < whole:
                rest = b"".join(parts)
                while done < whole:
                    done += os.write(self._file, rest[done : done + (1 << 30)])
        except OSError as exc:
            os.ftruncate(self._file, self.size)
            os.lseek(self._file, self.size, os.SEEK_SET)
            raise RecordingError(f"{self.path} cannot be written: {exc.strerror}") from exc
        self.size += whole
