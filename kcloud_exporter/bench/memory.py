"""Memory: what a process of this machine holds, and a process of its own for each thing that is measured."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_END_SECONDS: Final = 60.0
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


@contextmanager
def beside(
    what: str, patience: float, work: Callable[..., object], *arguments: Any
) -> Iterator[tuple[Connection, Any]]:
    """A process that does `work(connection, *arguments)` meanwhile: the other end, and the first that it says.

    It is to end when its connection is closed. Raises RuntimeError when it has said nothing after so many seconds.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(patience):
            raise RuntimeError(f"{what} did not start")
        yield ours, ours.recv()
    finally:
        ours.close()
        process.join(_END_SECONDS)
        if process.is_alive():
            process.kill()


def apart(work: Callable[..., _T], *arguments: Any) -> _T:
    """What `work` returns, done in a fresh process, so that memory and caches are nobody else's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *arguments).result()
