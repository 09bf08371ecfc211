"""Time series: what was, from history. Columns, not rows: one list of times, one list of values per series."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pydantic import Field

from kcloud_exporter import catalogue
from kcloud_exporter.api import parameters as p
from kcloud_exporter.api.answers import Answer, Model, lack, page
from kcloud_exporter.api.frames import Frame, known
from kcloud_exporter.api.models import quantity
from kcloud_exporter.api.resources import ACCELERATORS
from kcloud_exporter.api.routes import Moment, Route, Values
from kcloud_exporter.catalogue import Family
from kcloud_exporter.errors import RequestError
from kcloud_exporter.history.series import Series
from kcloud_exporter.model import Floats
from kcloud_exporter.units import rfc3339

HOUR: Final = 3600.0
_STEPS: Final = 120
"""Steps of a window that says nothing of its step."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a client may ask the past of: a family, in the unit of the JSON field."""

    family: Family
    unit: str
    scale: float = 1.0
    kind: str | None = None


def _device(kind: str | None) -> dict[str, Metric]:
    return {
        "power_watts": Metric(catalogue.ACCELERATOR_POWER, "watts", kind=kind),
        "utilization_percent": Metric(catalogue.ACCELERATOR_UTILIZATION, "percent", 100.0, kind),
        "memory_used_bytes": Metric(catalogue.ACCELERATOR_MEMORY_USED, "bytes", kind=kind),
        "temperature_celsius": Metric(catalogue.ACCELERATOR_TEMPERATURE, "celsius", kind=kind),
        "energy_joules": Metric(catalogue.ACCELERATOR_ENERGY, "joules", kind=kind),
    }


METRICS: Final[dict[str, dict[str, Metric]]] = {
    "accelerators": _device(None),
    "gpus": _device("gpu"),
    "npus": _device("npu"),
    "nodes": {
        "power_watts": Metric(catalogue.NODE_POWER, "watts"),
        "energy_joules": Metric(catalogue.NODE_ENERGY, "joules"),
        "temperature_celsius": Metric(catalogue.HARDWARE_TEMPERATURE, "celsius"),
    },
    "pods": {
        "power_watts": Metric(catalogue.POD_POWER, "watts"),
        "energy_joules": Metric(catalogue.POD_ENERGY, "joules"),
    },
    "namespaces": {
        "power_watts": Metric(catalogue.NAMESPACE_POWER, "watts"),
        "energy_joules": Metric(catalogue.NAMESPACE_ENERGY, "joules"),
    },
    "clusters": {
        "power_watts": Metric(catalogue.CLUSTER_POWER, "watts"),
        "energy_joules": Metric(catalogue.CLUSTER_ENERGY, "joules"),
        "completeness_ratio": Metric(catalogue.CLUSTER_COMPLETENESS, "ratio"),
    },
    "sites": {
        "facility_power_watts": Metric(catalogue.SITE_FACILITY_POWER, "watts"),
        "it_power_watts": Metric(catalogue.SITE_IT_POWER, "watts"),
        "pue_ratio": Metric(catalogue.SITE_PUE, "ratio"),
        "carbon_intensity_grams_per_kwh": Metric(catalogue.SITE_CARBON_INTENSITY, "grams/kWh"),
    },
}
"""Resource type → metric name → what it is in history."""
NAMES: Final = tuple(dict.fromkeys(name for metrics in METRICS.values() for name in metrics))
BREAKDOWNS: Final[dict[str, tuple[Family, tuple[str, ...]]]] = {
    "cluster": (catalogue.CLUSTER_POWER, ("cluster",)),
    "resource_type": (catalogue.CLUSTER_POWER, ("component",)),
    "node": (catalogue.NODE_POWER, ("cluster", "node")),
    "namespace": (catalogue.NAMESPACE_POWER, ("cluster", "namespace")),
    "vendor": (catalogue.ACCELERATOR_POWER, ("vendor",)),
}
"""Way of dividing power → the family, and the labels that tell the parts."""
_ENERGY: Final = {
    catalogue.CLUSTER_POWER: catalogue.CLUSTER_ENERGY,
    catalogue.NODE_POWER: catalogue.NODE_ENERGY,
    catalogue.NAMESPACE_POWER: catalogue.NAMESPACE_ENERGY,
    catalogue.ACCELERATOR_POWER: catalogue.ACCELERATOR_ENERGY,
}


class OneSeries(Model):
    """One series. Its values belong to the times of the answer, one by one; null where nothing is known."""

    labels: dict[str, str] = Field(description="What it is of.", examples=[{"cluster": "seoul-a"}])
    values: list[float | None] = Field(description="One per time.", examples=[[3520.0, 3531.5]])
    average: float | None = Field(description="Mean of what is known.", examples=[3525.75])
    min: float | None = Field(description="Lowest.", examples=[3520.0])
    max: float | None = Field(description="Highest.", examples=[3531.5])
    latest: float | None = Field(description="The last that is known.", examples=[3531.5])
    coverage_ratio: float = Field(description="Part of the values that are known.", examples=[1.0])
    energy_joules: float | None = quantity("Of power: how far the energy counter came in the window.", "joules")


class SiteSeries(Model):
    """PUE of one site over the same times."""

    labels: dict[str, str] = Field(description="Site, category, method.", examples=[{"site": "icn1"}])
    values: list[float | None] = Field(description="One per time.", examples=[[1.18, 1.18]])


class Window(Model):
    """Series over a time span."""

    metric: str = Field(description="What the values are.", examples=["power_watts"])
    unit: str = Field(description="Their unit.", examples=["watts"])
    start_time: str = Field(description="Where the span begins.", examples=["2026-11-24T00:00:00.000Z"])
    end_time: str = Field(description="Where it ends.", examples=["2026-11-24T00:02:00.000Z"])
    step_seconds: float = Field(description="Each value speaks of so long a time before its own.", examples=[60.0])
    timestamps: list[float] = Field(description="Unix seconds, one per value.", examples=[[1795478460, 1795478520]])
    series: list[OneSeries] = Field(description="The series; limit and offset page them.")
    efficiency: list[SiteSeries] | None = Field(description="With include_efficiency: PUE of sites; null otherwise.")


@dataclass(frozen=True, slots=True)
class Span:
    """A time span and its step, in Unix seconds."""

    start: float
    end: float
    step: float


def span_of(values: Values, now: float) -> Span:
    """The time span that a request means. Raises RequestError (400)."""
    period, start = values["period"], _either(values, "start_time", "start")
    end = _either(values, "end_time", "end")
    if period is not None and start is not None:
        raise RequestError(400, "period: give it, or start_time and end_time, not both", {"parameter": "period"})
    if start is None and end is not None and period is None:
        raise RequestError(400, "end_time: start_time or period is needed with it", {"parameter": "end_time"})
    end = now if end is None else end
    start = end - (period or HOUR) if start is None else start
    if start >= end:
        raise RequestError(400, "start_time: it must lie before end_time", {"parameter": "start_time"})
    return Span(start, end, values["step"] or (end - start) / _STEPS)


def _either(values: Values, name: str, alias: str) -> float | None:
    found: float | None = values[name]
    other: float | None = values.get(alias)
    if found is not None and other is not None:
        raise RequestError(400, f"{alias}: the same as {name}; give one of them", {"parameter": alias})
    return found if found is not None else other


async def asked(moment: Moment, family: Family, matchers: Mapping[str, str], span: Span) -> Series:
    """A family over a span, with a step no finer than it is kept. Raises RequestError, HistoryError."""
    return await moment.history.series(
        family.name, matchers, span.start, span.end, min(span.step, span.end - span.start)
    )


def grouped(series: Series, by: tuple[str, ...]) -> list[tuple[dict[str, str], Floats]]:
    """Series added up over all labels but `by`: a value is known where any part of it is."""
    at = [series.label_names.index(label) for label in by]
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, labels in enumerate(series.labels):
        groups.setdefault(tuple(labels[n] for n in at), []).append(row)
    found = []
    for key, rows in groups.items():
        part = series.values[rows]
        there = ~np.isnan(part)
        found.append(
            (dict(zip(by, key, strict=True)), np.where(there.any(axis=0), np.where(there, part, 0).sum(0), np.nan))
        )
    return found


def one(labels: dict[str, str], values: Floats, energy: float | None = None) -> dict[str, Any]:
    """One series with what sums it up."""
    there = values[~np.isnan(values)]
    return {
        "labels": labels,
        "values": known(values),
        "average": float(there.mean()) if len(there) else None,
        "min": float(there.min()) if len(there) else None,
        "max": float(there.max()) if len(there) else None,
        "latest": float(there[-1]) if len(there) else None,
        "coverage_ratio": len(there) / len(values) if len(values) else 0.0,
        "energy_joules": energy,
    }


def window(metric: str, unit: str, span: Span, series: Series, shown: list[dict[str, Any]]) -> dict[str, Any]:
    """The window around the series that are shown."""
    return {
        "metric": metric,
        "unit": unit,
        "start_time": rfc3339(span.start),
        "end_time": rfc3339(span.end),
        "step_seconds": series.step,
        "timestamps": series.timestamps.tolist(),
        "series": shown,
        "efficiency": None,
    }


def matchers_of(moment: Moment, values: Values, family: Family) -> dict[str, str]:
    """Label equalities for history. What is gone now has been there, so only the cluster must be known."""
    moment.view.clusters(values["cluster"])
    found: dict[str, str] = {}
    for label in ("cluster", "node", "namespace"):
        value = values.get(label)
        if value is None:
            continue
        if label not in family.labels:
            raise RequestError(400, f"{label}: {family.name} is not kept by {label}", {"parameter": label})
        found[label] = value
    return found


async def power(moment: Moment, values: Values) -> Answer:
    """Power over time, of everything or divided."""
    span = span_of(values, time.time())
    by = values["breakdown_by"]
    family, labels = BREAKDOWNS[by] if by else (catalogue.CLUSTER_POWER, ())
    if by is None and values["node"] is not None:
        family = catalogue.NODE_POWER
    if by is None and values["namespace"] is not None:
        if values["node"] is not None:
            raise RequestError(400, "node: give it or namespace, not both", {"parameter": "node"})
        family = catalogue.NAMESPACE_POWER
    matchers = matchers_of(moment, values, family)
    history = moment.history
    series, increase = await asyncio.gather(
        asked(moment, family, matchers, span),
        history.increase(_ENERGY[family].name, matchers, span.start, span.end),
    )
    at = [increase.family.labels.index(label) for label in labels]
    joules: dict[tuple[str, ...], float] = {}
    for row, value in zip(increase.labels, increase.values.tolist(), strict=True):
        if value == value:
            key = tuple(row[n] for n in at)
            joules[key] = joules.get(key, 0.0) + value
    found = grouped(series, labels)
    shown = [
        one(of, watts, joules.get(tuple(of.values())))
        for of, watts in found[values["offset"] : values["offset"] + values["limit"]]
    ]
    data = window("power_watts", "watts", span, series, shown)
    if values["include_efficiency"]:
        sites = {moment.view.site_of(name) for name in moment.view.clusters(values["cluster"])}
        pue = await asked(moment, catalogue.SITE_PUE, {}, span)
        data["efficiency"] = [
            {"labels": dict(zip(pue.label_names, row, strict=True)), "values": known(pue.values[at])}
            for at, row in enumerate(pue.labels)
            if row[0] in sites
        ]
    return Answer(data, values["cluster"], _nothing(series), page(len(found), len(shown), values))


async def metrics(moment: Moment, values: Values) -> Answer:
    """One metric over time, series by series."""
    return await _metric(moment, values, values["resource_type"], values["metric_name"])


async def temperature(moment: Moment, values: Values) -> Answer:
    """Temperatures over time, sensor by sensor."""
    return await _metric(moment, values, values["resource_type"], "temperature_celsius")


async def _metric(moment: Moment, values: Values, resource_type: str, name: str) -> Answer:
    metric = METRICS[resource_type].get(name)
    if metric is None:
        told = f"metric_name: {resource_type} have no {name}; known: {', '.join(METRICS[resource_type])}"
        raise RequestError(400, told, {"parameter": "metric_name"})
    span = span_of(values, time.time())
    series = await asked(moment, metric.family, matchers_of(moment, values, metric.family), span)
    rows = list(range(len(series.labels)))
    if metric.kind is not None:
        rows = _of_kind(series, moment.view.frame(ACCELERATORS), metric.kind)
    shown = [
        one(dict(zip(series.label_names, series.labels[at], strict=True)), series.values[at] * metric.scale)
        for at in rows[values["offset"] : values["offset"] + values["limit"]]
    ]
    data = window(name, metric.unit, span, series, shown)
    return Answer(data, values["cluster"], _nothing(series), page(len(rows), len(shown), values))


def _nothing(series: Series) -> list[dict[str, Any]]:
    return [] if series.labels else [lack("series", "history knows nothing of this in this time span", kind="history")]


def _of_kind(series: Series, devices: Frame, kind: str) -> list[int]:
    """Rows whose device is of a kind: by its own label, or else by what is known of the device now."""
    names = series.label_names
    if "kind" in names:
        at = names.index("kind")
        return [row for row, labels in enumerate(series.labels) if labels[at] == kind]
    uuids = set(devices.where(kind=kind).texts["uuid"].tolist())
    at = names.index("uuid")
    return [row for row, labels in enumerate(series.labels) if labels[at] in uuids]


_PERIOD: Final = p.span("A time span that ends now or at end_time; a month is 30d.")
_SPAN: Final = (_PERIOD, p.START, p.END, p.STEP)
_PAGE: Final = (p.LIMIT, p.OFFSET)


def routes() -> list[Route]:
    """The routes of the past."""
    aliases = (p.moment("start", "The same as start_time."), p.moment("end", "The same as end_time."))
    return [
        Route(
            "/monitoring/timeseries/power",
            "power_timeseries",
            "Power over time",
            "Power of everything, of a cluster, node or namespace; divided where asked for; with the energy counters' "
            "increase in the window. Each value is the mean over the step before its time.",
            (
                *(p.CLUSTER, p.NODE, p.NAMESPACE),
                *_SPAN,
                *aliases,
                p.choice("breakdown_by", "How to divide it.", tuple(BREAKDOWNS)),
                p.flag("include_efficiency", "PUE of the sites as well.", default=False),
                *_PAGE,
            ),
            Window,
            ask=power,
        ),
        Route(
            "/monitoring/timeseries/metrics",
            "metrics_timeseries",
            "A metric over time",
            "One metric of one resource type, series by series.",
            (
                p.required(p.choice("metric_name", "What to tell.", NAMES)),
                p.choice("resource_type", "Of what.", tuple(METRICS), "accelerators"),
                *(p.CLUSTER, p.NODE, p.NAMESPACE),
                *_SPAN,
                *_PAGE,
            ),
            Window,
            ask=metrics,
        ),
        Route(
            "/monitoring/timeseries/temperature",
            "temperature_timeseries",
            "Temperatures over time",
            "Of accelerators or of servers, sensor by sensor.",
            (
                p.choice("resource_type", "Of what.", ("accelerators", "gpus", "npus", "nodes"), "accelerators"),
                *(p.CLUSTER, p.NODE),
                *_SPAN,
                *_PAGE,
            ),
            Window,
            ask=temperature,
        ),
    ]
