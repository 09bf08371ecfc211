"""Memory: giving back to the system what the allocators keep for a next time that is minutes away."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

import pyarrow as pa


def _trimmer() -> Callable[[int], int] | None:
    """glibc's malloc_trim; None where the C library has none (musl, macOS)."""
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return trim


_TRIM: Final = _trimmer()


def give_back() -> None:
    """Return free pages of Arrow and of the C library. Takes milliseconds, and lets other threads go on meanwhile."""
    pa.default_memory_pool().release_unused()
    if _TRIM is not None:
        _TRIM(0)
