"""Stamps: by what one sees that a file is another one than before."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, int, int] | None


def stamp_of(path: Path) -> Stamp:
    """Time of change, inode and bytes of a file; None where there is none."""
    try:
        told = path.stat()
    except (OSError, ValueError):  # a NUL in a path is a ValueError
        return None
    return told.st_mtime_ns, told.st_ino, told.st_size
