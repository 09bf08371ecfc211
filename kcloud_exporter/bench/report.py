"""Report: the figures as tables to read, as a picture to look at, and as a file that keeps the history."""

from __future__ import annotations

import contextlib
import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from kcloud_exporter import __version__
from kcloud_exporter.bench.measure import CHURN, Result
from kcloud_exporter.bench.ours import STAGES
from kcloud_exporter.errors import ConfigError

_PIPELINE: Final = ("unzip", *STAGES, "compress")
_INSIDE: Final = {"unzip": "(in parse)", "compress": "(in render)"}


def table(result: Result) -> str:
    """One size: stages beside those of the conventional pipeline, and what it comes to."""
    ours, theirs = result.steady_cpu_seconds, result.conventional_cpu_seconds
    text = f"{result.body_bytes / 1e6:.0f} MB of text a cycle, {result.wire_bytes / 1e6:.1f} MB on the wire"
    lines = [
        f"{result.series:,} source series, {text}",
        "",
        f"  {'stage':<24}{'kcloud-exporter':>17}{'conventional':>15}   CPU seconds",
    ]
    for stage in _PIPELINE:
        mine = f"{result.steady[stage]:.3f}" if stage in result.steady else _INSIDE[stage]
        other = f"{result.conventional[stage]:.3f}" if stage in result.conventional else "-"
        lines.append(f"  {stage:<24}{mine:>17}{other:>15}")
    lines += [f"  {'one steady cycle':<24}{ours:>17.3f}{f'{theirs:.3f}' if theirs else '-':>15}", ""]
    lines += [f"  {name:<44}{figure}" for name, figure in _figures(result)]
    return "\n".join(lines)


def _figures(result: Result) -> Iterator[tuple[str, str]]:
    ours, theirs, rules = result.steady_cpu_seconds, result.conventional_cpu_seconds, result.rules_cpu_seconds
    yield "samples per second and core", f"{result.series / ours:,.0f}"
    if theirs:
        yield "CPU of the conventional pipeline / ours", f"{theirs / ours:.1f}"
    if rules:
        yield "CPU of Prometheus' recording rules / ours", f"{rules / ours:.1f}  ({rules:.2f} s an evaluation)"
    for name, seconds in result.floors.items():
        yield f"this machine's floor: {name}", f"{seconds:.3f} s, 1/{ours / seconds:.0f} of a cycle"
    yield "first cycle", f"{result.first_cpu_seconds:.2f} s CPU"
    if result.churn_cpu_seconds:
        churned = f"cycle with {CHURN:.0%} of the pods replaced"
        yield churned, f"{result.churn_cpu_seconds:.3f} s CPU, {result.churn_cpu_seconds / ours:.2f} of a steady one"
    after, peak = result.resident_after_churn_mib, result.peak_mib
    yield "resident memory", f"{result.resident_mib:,.0f} MiB, {after:,.0f} after the new pods, at most {peak:,.0f}"


def exponent(results: Sequence[Result]) -> float | None:
    """How CPU grows with series: the slope of log CPU over log series; 1 is linear. None for one size."""
    if len({result.series for result in results}) < 2:
        return None
    logs = [(math.log(r.series), math.log(r.steady_cpu_seconds)) for r in results]
    return float(np.polyfit([x for x, _ in logs], [y for _, y in logs], 1)[0])


def machine() -> dict[str, Any]:
    """What it was measured on, in terms that do not name it."""
    model = ""
    with contextlib.suppress(OSError, StopIteration):
        model = next(x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name"))
    return {
        "version": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
        "cpu": model.partition(":")[2].strip(),
    }


def keep(path: Path, results: Sequence[Result], parts: Mapping[str, Any]) -> None:
    """Add this run to a file of runs: cycles, and the other parts. Raises ConfigError when the file is no such."""
    runs: list[Any] = []
    if path.exists():
        try:
            runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
        except (ValueError, KeyError, TypeError) as exc:
            raise ConfigError([f"--json: {path} is no file of bench runs; name another"]) from exc
    run = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "scaling_exponent": exponent(results),
        "results": [result.as_json() for result in results],
        **parts,
    }
    path.write_text(json.dumps({"runs": [*runs, run]}, indent=2) + "\n", encoding="utf-8")
