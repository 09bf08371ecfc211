"""Answers: requests a second of the running program, beside an aiohttp handler that does nothing at all.

The program is `demo` as anybody starts it, over its simulated fleet. What counts is the CPU of the server's process:
requests a second of wall time share the machine with those who ask, and with everything else that runs.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from subprocess import PIPE
from typing import Any, Final

from kcloud_exporter.bench.load import CONNECTIONS, load

_API: Final = "/api/v1"
_GPUS: Final = f"{_API}/accelerators/gpus?cluster=seoul-a&status=active"
_BREAKDOWN: Final = f"{_API}/monitoring/power/breakdown?breakdown_by=namespace"
_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:([0-9]+)/(?:metrics)?\s*$")
_WARM_SECONDS: Final = 0.3


def _same(path: str) -> Callable[[], Iterator[str]]:
    return lambda: itertools.repeat(path)


def _new(path: str) -> Callable[[], Iterator[str]]:
    """No two of these questions are equal, so that each is answered for the first time."""
    return lambda: (f"{path}&limit={1000 + n % 9000}&offset={n // 9000}" for n in itertools.count())


ROUTES: Final[Sequence[tuple[str, str, Callable[[], Iterator[str]]]]] = (
    ("overview of power", "kept", _same(f"{_API}/monitoring/power")),
    ("GPUs of a cluster, filtered", "kept", _same(_GPUS)),
    ("GPUs of a cluster, filtered", "drawn", _new(_GPUS)),
    ("power by namespace", "kept", _same(_BREAKDOWN)),
    ("power by namespace", "drawn", _new(_BREAKDOWN)),
    ("/metrics", "kept", _same("/metrics")),
)
"""What is asked, whether it is the same question again (`kept`) or always another (`drawn`), and the paths."""
ORIGINAL: Final = "KCloud Monitor's own figures, on another machine: 25 requests/s drawn, 540 to 940 kept"
TRIVIAL: Final = "an aiohttp handler that does nothing"


@dataclass(frozen=True, slots=True)
class Answered:
    """One route. `ratio` is its requests per CPU second over those of the trivial handler."""

    route: str
    kind: str
    answers: int
    bytes_each: int
    cpu_seconds: float
    wall_seconds: float
    ratio: float

    def as_json(self) -> dict[str, Any]:
        """All figures, and those that are the point."""
        return {
            **asdict(self),
            "requests_per_second": self.answers / self.wall_seconds,
            "requests_per_cpu_second": self.answers / self.cpu_seconds,
        }


def measure(seconds: float) -> list[Answered]:
    """Every route for so long, one after the other; the trivial handler first."""
    with (
        _started(["-m", "kcloud_exporter.bench.trivial"]) as (plain, plain_port),
        _started(["-m", "kcloud_exporter", "demo", "--fleet.frozen", "--web.listen-address=127.0.0.1:0"]) as (
            pid,
            port,
        ),
    ):
        first = asyncio.run(_asked(plain_port, plain, _same("/"), seconds))
        least = first[0] / first[2]
        found = [_result(TRIVIAL, "", first, least)]
        for route, kind, paths in ROUTES:
            found.append(_result(route, kind, asyncio.run(_asked(port, pid, paths, seconds)), least))
    return found


def _result(route: str, kind: str, told: tuple[int, int, float, float], least: float) -> Answered:
    answers, size, cpu, wall = told
    return Answered(route, kind, answers, size // answers, cpu, wall, answers / cpu / least)


async def _asked(
    port: int, pid: int, paths: Callable[[], Iterator[str]], seconds: float
) -> tuple[int, int, float, float]:
    asked = paths()
    await load(port, pid, asked, min(_WARM_SECONDS, seconds))
    return await load(port, pid, asked, seconds)


@contextmanager
def _started(arguments: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(process id, port) of a server, once it has told where it listens. Raises RuntimeError when it does not."""
    process = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, *arguments], stdin=PIPE, stdout=PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        for line in process.stdout or ():
            told = _ADDRESS.search(line)
            if told:
                yield process.pid, int(told[1])
                return
        raise RuntimeError(f"{' '.join(arguments)} did not start")
    finally:
        process.terminate()
        process.communicate()


def table(results: Sequence[Answered]) -> str:
    """The figures to read."""
    kinds = "kept: the same question again, drawn: always another"
    lines = [
        f"Answers over {CONNECTIONS} connections, one process that serves; {kinds}",
        "",
        f"  {'route':<36}{'':<8}{'bytes':>9}{'requests/s':>13}{'per CPU s':>12}{'of trivial':>12}",
    ]
    for each in results:
        told = each.as_json()
        lines.append(
            f"  {each.route:<36}{each.kind:<8}{each.bytes_each:>9,}{told['requests_per_second']:>13,.0f}"
            f"{told['requests_per_cpu_second']:>12,.0f}{each.ratio:>12.2f}"
        )
    return "\n".join([*lines, "", f"  {ORIGINAL}"])
