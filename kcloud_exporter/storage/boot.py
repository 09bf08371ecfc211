"""The boot that a monotonic time belongs to: within one boot such times can be compared across processes."""

from __future__ import annotations

from pathlib import Path

_BOOT, _OFFSETS = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/timens_offsets")


def boot_identity() -> str:
    """The same text in every process whose `time.monotonic()` is the same clock; empty when that cannot be told.

    A process in a time namespace has a monotonic clock with an offset of its own, so that is part of it.
    """
    try:
        boot = _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
    try:
        offsets = {tuple(line.split()[1:]) for line in _OFFSETS.read_text(encoding="ascii").splitlines()}
    except OSError:
        offsets = set()
    moved = sorted(":".join(offset) for offset in offsets if set(offset) != {"0"})
    return "/".join([boot, *moved])
