"""Memory: what a process of this machine holds, and a process of its own for each thing that is measured."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def resident(pid: int | str = "self") -> tuple[float, float]:
    """(resident now, most so far) of a process in MiB; zeros where there is no /proc, or when it has just ended.

    The kernel's VmHWM is that of the program itself; `ru_maxrss` would tell what its parent held when it began.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    found = dict(line.split(":", 1) for line in lines)
    now, most = (float(found.get(name, "0 kB").split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def cpu_seconds(pid: int) -> float:
    """CPU that a running process has used so far. Raises OSError where there is no /proc, or no such process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def apart(work: Callable[..., _T], *arguments: Any) -> _T:
    """What `work` returns, done in a fresh process, so that memory and caches are nobody else's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *arguments).result()
