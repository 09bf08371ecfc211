"""Request: which file somebody asks for. Every word is checked against a closed set before any work begins."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import FAMILIES, Family
from kcloud_exporter.errors import ExportError
from kcloud_exporter.history.kept import resolution
from kcloud_exporter.units import parse_duration

FORMATS: Final = ("json", "csv", "parquet", "excel", "pdf")
SUFFIX: Final = {"json": "json", "csv": "csv", "parquet": "parquet", "excel": "xlsx", "pdf": "pdf"}
MEDIA_TYPE: Final = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8; header=present",
    "parquet": "application/vnd.apache.parquet",
    "excel": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
ROWS: Final = {"json": 2_000_000, "csv": 20_000_000, "parquet": 20_000_000, "excel": 500_000, "pdf": 3_000}
"""Most rows of a file. JSON is read whole by most, a sheet ends at 1,048,576 rows, and nobody reads a longer table."""
STEPS: Final = 600_000
"""Most steps of a window: more than a year of minutes."""
_COMMON: Final = frozenset(
    {"format", "period", "start_time", "end_time", "step", "cluster", "node", "namespace", "resource_type"}
)
PARAMETERS: Final = {
    "power": _COMMON | {"breakdown_by"},
    "metrics": _COMMON | {"metric_name"},
    "report": frozenset({"template", "format", "cluster", "start_date", "end_date", "lang", "tz"}),
}
"""What can be said of each kind of file."""
_USUAL_STEPS: Final = 1_500
_NICE: Final = (60.0, 300.0, 900.0, 3600.0, 6 * 3600.0, 86400.0)
_LATEST: Final = 253402300799.0
_UNIX: Final = re.compile(r"[0-9]{1,11}(\.[0-9]{1,9})?")
_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_WEEKS: Final = re.compile(r"(\d{1,4})w")
_LONGEST: Final = 512


@dataclass(frozen=True, slots=True)
class Breakdown:
    """How power is divided: the families, and the labels by which they are added up (all of them: not at all)."""

    power: Family
    energy: Family
    by: tuple[str, ...]


def _whole(power: Family, energy: Family) -> Breakdown:
    return Breakdown(power, energy, power.labels)


BREAKDOWNS: Final[Mapping[str, Breakdown]] = {
    "cluster": _whole(catalogue.CLUSTER_POWER, catalogue.CLUSTER_ENERGY),
    "node": _whole(catalogue.NODE_POWER, catalogue.NODE_ENERGY),
    "namespace": _whole(catalogue.NAMESPACE_POWER, catalogue.NAMESPACE_ENERGY),
    "pod": _whole(catalogue.POD_POWER, catalogue.POD_ENERGY),
    "accelerator": _whole(catalogue.ACCELERATOR_POWER, catalogue.ACCELERATOR_ENERGY),
    "vendor": Breakdown(catalogue.ACCELERATOR_POWER, catalogue.ACCELERATOR_ENERGY, ("cluster", "kind", "vendor")),
    "resource_type": Breakdown(catalogue.CLUSTER_POWER, catalogue.CLUSTER_ENERGY, ("component",)),
    "site": _whole(catalogue.SITE_IT_POWER, catalogue.SITE_IT_ENERGY),
}
_ACCELERATED: Final = frozenset({"gpu", "npu", "tpu"})
RESOURCES: Final[Mapping[str, frozenset[str] | None]] = {
    "all": None,
    "accelerators": _ACCELERATED,
    **{name: frozenset({name}) for name in catalogue.COMPONENTS},
    **{f"{name}s": frozenset({name}) for name in sorted(_ACCELERATED)},
}
"""Value of resource_type → the components (of accelerators: the kinds) that are meant; None: all."""
LEVELS: Final[Mapping[str, str]] = {
    "accelerators": "accelerator",
    "gpus": "accelerator",
    "npus": "accelerator",
    "tpus": "accelerator",
    "nodes": "node",
    "pods": "pod",
    "vms": "vm",
    "namespaces": "namespace",
    "clusters": "cluster",
    "sites": "site",
    "hardware": "hardware",
}
"""Value of resource_type of the dataset `metrics` → level of the families."""
_SHORT: Final = {"power": "power_watts", "energy": "energy_joules", "temperature": "temperature_celsius"}


@dataclass(frozen=True, slots=True)
class Request:
    """One file. The window is whole steps: [start, start + step × points]. `families` are those of `metrics`."""

    dataset: str
    format: str
    start: float
    step: float
    points: int
    matchers: tuple[tuple[str, str], ...]
    resource: frozenset[str] | None
    breakdown: str = ""
    families: tuple[str, ...] = ()

    @property
    def end(self) -> float:
        """The end of the last step."""
        return self.start + self.step * self.points


def read_request(dataset: str, said: Mapping[str, str], now: float) -> Request:
    """The request that parameters mean. Raises ExportError that names the parameter."""
    form = _choice("format", said.get("format", "json"), FORMATS)
    matchers = {name: said[name] for name in ("cluster", "node", "namespace") if name in said}
    for name, value in matchers.items():
        if not 0 < len(value) <= _LONGEST:
            raise ExportError(400, f"{name}: 1 to {_LONGEST} characters are needed", name)
    families: tuple[Family, ...]
    if dataset == "power":
        breakdown = _choice("breakdown_by", said.get("breakdown_by", "cluster"), tuple(BREAKDOWNS))
        resource = RESOURCES[_choice("resource_type", said.get("resource_type", "all"), tuple(RESOURCES))]
        families = (BREAKDOWNS[breakdown].power, BREAKDOWNS[breakdown].energy)
        if resource is not None and not {"component", "kind"} & set(families[0].labels):
            raise ExportError(400, f"resource_type: a {breakdown} is not divided by it", "resource_type")
    else:
        kind = _choice("resource_type", said.get("resource_type", "accelerators"), tuple(LEVELS))
        breakdown, resource = "", RESOURCES.get(kind) if kind != "accelerators" else None
        families = _families(kind, said.get("metric_name"))
    for name in matchers:
        if not all(name in family.labels for family in families):
            raise ExportError(400, f"{name}: {families[0].name} is not kept by {name}", name)
    start, end = window(said, now)
    finest = max(resolution(family) or 0.0 for family in families)
    step = _step(said.get("step"), end - start, finest)
    start = start // finest * finest
    points = math.ceil((end - start) / step - 1e-9)
    if points > STEPS:
        least = math.ceil((end - start) / STEPS)
        told = f"step: {points} steps of {step:g} s; at most {STEPS} make a file: take {least}s or more"
        raise ExportError(413, told, "step")
    chosen = tuple(family.name for family in families) if dataset == "metrics" else ()
    return Request(dataset, form, start, step, points, tuple(sorted(matchers.items())), resource, breakdown, chosen)


def _families(kind: str, said: str | None) -> tuple[Family, ...]:
    """The families of a level that are meant: all that history keeps, or those named."""
    prefix = f"kcloud_{LEVELS[kind]}_"
    kept = {
        name.removeprefix(prefix).removesuffix("_total"): family
        for name, family in FAMILIES.items()
        if family.level == LEVELS[kind] and resolution(family) and name.startswith(prefix)
    }
    if not kept:
        raise ExportError(400, f"resource_type: history keeps nothing of {kind}", "resource_type")
    if said is None:
        return tuple(kept.values())
    by_name = {**kept, **{family.name: family for family in kept.values()}}
    found = []
    for name in said.split(","):
        family = by_name.get(_SHORT.get(name, name))
        if family is None:
            raise ExportError(
                400, f"metric_name: {name[:60]!r} is none of {kind}; known: {', '.join(kept)}", "metric_name"
            )
        found.append(family)
    return tuple(dict.fromkeys(found))


def window(said: Mapping[str, str], now: float) -> tuple[float, float]:
    """(start, end) in Unix seconds from start_time and end_time, or period. Raises ExportError."""
    if "period" in said and "start_time" in said:
        raise ExportError(400, "period: give it, or start_time and end_time, not both", "period")
    end = moment("end_time", said["end_time"]) if "end_time" in said else now
    if "start_time" in said:
        start = moment("start_time", said["start_time"])
    elif "end_time" in said and "period" not in said:
        raise ExportError(400, "end_time: start_time or period is needed with it", "end_time")
    else:
        start = end - duration("period", said.get("period", "1h"))
    if not 0 <= start < end:
        raise ExportError(400, "start_time: it must lie before end_time", "start_time")
    return start, end


def duration(name: str, said: str) -> float:
    """Seconds of a duration of a client. Raises ExportError."""
    if name == "period" and said == "1m":
        raise ExportError(400, "period: '1m' does not do: say 30d for a month, 60s for a minute", name)
    try:
        weeks = _WEEKS.fullmatch(said)
        seconds = int(weeks[1]) * 7 * 86400.0 if weeks else parse_duration(said)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3660 * 86400:
        told = f"{name}: {said[:60]!r} does not do: a duration up to ten years is needed, such as 90s, 1h or 30d"
        raise ExportError(400, told, name)
    return seconds


def moment(name: str, said: str) -> float:
    """Unix seconds of RFC 3339 text with a zone, or of decimal Unix seconds. Raises ExportError."""
    text = said[:-6] + "+" + said[-5:] if said[-6:-5] == " " else said
    try:
        if _UNIX.fullmatch(text):
            seconds = float(text)
        elif _ISO.fullmatch(text):
            seconds = datetime.fromisoformat(text.upper()).astimezone(UTC).timestamp()
        else:
            seconds = -1.0
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds <= _LATEST:
        told = f"{name}: {said[:60]!r} does not do: write 2026-11-24T09:00:00Z, with its zone, or Unix seconds"
        raise ExportError(400, told, name)
    return seconds


def _step(said: str | None, seconds: float, finest: float) -> float:
    """The step that was asked for, never finer than what is kept; else one that gives a readable number of rows."""
    if said is not None:
        return max(duration("step", said), finest)
    usual = next((step for step in _NICE if seconds / step <= _USUAL_STEPS), _NICE[-1])
    return max(usual, finest)


def _choice(name: str, said: str, known: tuple[str, ...]) -> str:
    if said not in known:
        raise ExportError(400, f"{name}: {said[:60]!r} does not do; known: {', '.join(known)}", name)
    return said
