"""Exports: a week and more of history as one file, made as the server's worker makes it, and the most that it held."""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from kcloud_exporter import catalogue
from kcloud_exporter.bench.memory import apart, resident
from kcloud_exporter.export.desk import CHUNK, FRUGAL, WORKER
from kcloud_exporter.export.job import Job
from kcloud_exporter.export.provenance import Origin
from kcloud_exporter.export.request import ROWS, read_request
from kcloud_exporter.export.tables import META
from kcloud_exporter.history.columns import tables
from kcloud_exporter.history.layout import DAY, day_of, partition, write
from kcloud_exporter.history.place import Place
from kcloud_exporter.history.recorder import Block, seven_digits
from kcloud_exporter.model import Floats

GOAL_MIB: Final = 300.0
FORMATS: Final = ("parquet", "csv")
SERIES: Final = 1_000
"""Series of the file: clusters × namespaces × components."""
MOST_ROWS: Final = min(ROWS[form] for form in FORMATS)
_CLUSTERS: Final = tuple(f"cluster-{n}" for n in range(4))
_COMPONENTS: Final = ("cpu", "gpu")
_MINUTE: Final = 60.0
_LOOK_SECONDS: Final = 0.02
_BEGIN: Final = 1_795_478_400.0 // DAY * DAY


@dataclass(frozen=True, slots=True)
class Exported:
    """One file. `peak_mib` is the most that the process held from its start, the interpreter and libraries included."""

    format: str
    rows: int
    bytes: int
    cpu_seconds: float
    wall_seconds: float
    peak_mib: float

    def as_json(self) -> dict[str, Any]:
        """All figures, and whether the goal is met."""
        return {
            **asdict(self),
            "rows_per_cpu_second": self.rows / self.cpu_seconds,
            "within_goal": self.peak_mib < GOAL_MIB,
        }


def measure(rows: int) -> list[Exported]:
    """Files of `rows` rows (in whole minutes of SERIES series) in each format. Raises RuntimeError for a wrong one."""
    minutes = max(math.ceil(rows / SERIES), 1)
    with tempfile.TemporaryDirectory(prefix="kcloud-bench-") as folder:
        joules = apart(keep, Path(folder) / "history", minutes)
        return [export(Path(folder), form, minutes, joules) for form in FORMATS]


def keep(folder: Path, minutes: int) -> float:
    """Write the history: a file per day and cluster, as compaction leaves them. Returns the joules of the window.

    The counters begin a minute before the window, so that each of its minutes has an increase.
    """
    total = 0.0
    for number, cluster in enumerate(_CLUSTERS):
        pace = np.random.default_rng(number).uniform(50.0, 5_000.0, SERIES // len(_CLUSTERS))
        days: dict[str, list[Block]] = {}
        for minute in range(minutes + 1):
            at = _BEGIN + minute * _MINUTE
            days.setdefault(day_of(at - 1), []).extend(_blocks(cluster, at, pace))
        for day, blocks in days.items():
            write(partition(folder, day, cluster), cluster, tables(blocks))
        total += float((_joules(pace, _BEGIN + minutes * _MINUTE) - _joules(pace, _BEGIN)).sum())
    return total


def _joules(pace: Floats, at: float) -> Floats:
    """Where the counters stand: they always grow, by `pace` joules a second more or less."""
    joules: Floats = 1e9 + pace * (at - _BEGIN + 50.0 * np.sin(at / 97.0 + np.arange(len(pace))))
    return joules


def _blocks(cluster: str, at: float, pace: Floats) -> Iterator[Block]:
    """The rows of one minute, with numbers that do not compress better than those of real meters."""
    count = len(pace)
    labels: list[tuple[str, ...]] = [
        (cluster, f"team-{n // len(_COMPONENTS):04d}", _COMPONENTS[n % len(_COMPONENTS)]) for n in range(count)
    ]
    rows = np.arange(count, dtype=np.int32)
    watts = seven_digits(pace * np.random.default_rng([int(at), round(pace[0] * 1e6)]).uniform(0.8, 1.2, count))
    yield Block(catalogue.NAMESPACE_POWER, cluster, at, labels, rows, watts)
    yield Block(catalogue.NAMESPACE_ENERGY, cluster, at, labels, rows, _joules(pace, at))
    one = np.zeros(1, np.int32)
    yield Block(catalogue.CLUSTER_COMPLETENESS, cluster, at, [(cluster,)], one, np.ones(1))


def export(folder: Path, form: str, minutes: int, joules: float) -> Exported:
    """One file from the server's worker. Raises RuntimeError when it does not hold what history does."""
    end = _BEGIN + minutes * _MINUTE
    said = {"format": form, "breakdown_by": "namespace", "step": "60s", "start_time": str(_BEGIN), "end_time": str(end)}
    origin = Origin("0" * 64, (), _CLUSTERS, "embedded")
    job = Job(read_request("power", said, end), Place(folder / "history"), origin, end)
    target = folder / f"power.{form}"
    begun = time.perf_counter()
    with subprocess.Popen(WORKER, stdin=PIPE, stdout=PIPE, env={**os.environ, **FRUGAL}) as worker:  # noqa: S603 - ourselves
        peak, cpu = _written(worker, pickle.dumps(job), target)
    wall = time.perf_counter() - begun
    if worker.returncode:
        raise RuntimeError(f"the {form} file was not made")
    told = _told(form, target)
    if told[0] != minutes * SERIES or not math.isclose(told[1], joules, rel_tol=1e-9):
        raise RuntimeError(f"the {form} file tells {told}, and not {minutes * SERIES} rows with {joules} J")
    result = Exported(form, told[0], target.stat().st_size, cpu, wall, peak)
    target.unlink()
    return result


def _written(worker: subprocess.Popen[bytes], job: bytes, target: Path) -> tuple[float, float]:
    """Have the file written as a client would; (most MiB that the worker held, its CPU seconds)."""
    if worker.stdin is None or worker.stdout is None:
        raise RuntimeError("a worker without pipes")
    worker.stdin.write(job)
    worker.stdin.close()
    worker.stdout.readline()  # the provenance, for the headers of the answer
    peak, looked = resident(worker.pid)[1], 0.0
    with target.open("wb") as file:
        while chunk := worker.stdout.read(CHUNK):
            file.write(chunk)
            if time.monotonic() > looked + _LOOK_SECONDS:
                peak, looked = max(peak, resident(worker.pid)[1]), time.monotonic()
    _, status, used = os.wait4(worker.pid, 0)
    worker.returncode = os.waitstatus_to_exitcode(status)
    return peak, used.ru_utime + used.ru_stime


def _told(form: str, path: Path) -> tuple[int, float]:
    """(rows, joules) of a file."""
    if form == "parquet":
        totals = json.loads(pq.read_metadata(path).metadata[META])["totals"]
        return totals["rows"], totals["energy_joules"]
    rows, joules = 0, 0.0
    with csv.open_csv(path) as batches:
        for batch in batches:
            rows += len(batch)
            joules += pc.sum(batch["energy_joules"]).as_py() or 0.0
    return rows, joules


def table(results: list[Exported]) -> str:
    """The figures to read."""
    lines = [
        f"{results[0].rows:,} rows of power and energy out of history, each file by a process of its own",
        "",
        f"  {'file':<12}{'size':>10}{'CPU':>10}{'rows/CPU s':>14}{'at most':>12}   MiB resident",
    ]
    for each in results:
        speed = f"{each.rows / each.cpu_seconds:,.0f}"
        lines.append(
            f"  {each.format:<12}{each.bytes / 1e6:>7,.0f} MB{each.cpu_seconds:>8.1f} s{speed:>14}"
            f"{each.peak_mib:>12,.0f}"
            f"   {'below' if each.peak_mib < GOAL_MIB else 'ABOVE'} the goal of {GOAL_MIB:.0f}"
        )
    return "\n".join(lines)
