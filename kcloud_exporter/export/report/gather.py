"""Gather: the numbers of a report, from history. NaN and None are unknown; nothing unknown is ever nought.

Energies come from the counters. Cost and emissions of all energy are energy × price (× grams per kWh) step by step;
those of namespaces are the exporter's own counters, at the factors of each moment. A PUE is facility over IT energy,
over the steps in which both are known.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import COMPONENTS, Family
from kcloud_exporter.export.provenance import Origin, coverage
from kcloud_exporter.export.report.asked import ReportRequest
from kcloud_exporter.history.kept import FINE
from kcloud_exporter.history.series import History, Series
from kcloud_exporter.model import Floats

JOULES_PER_KWH: Final = 3.6e6
_QUESTIONS: Final = 10
"""About how many questions to history make a report."""


@dataclass(slots=True)
class Namespace:
    """One namespace: what it used, and what its counters say of cost and emissions."""

    cluster: str
    name: str
    joules: float
    cost: dict[str, float] = field(default_factory=dict)
    grams: float | None = None


@dataclass(slots=True)
class Device:
    """All accelerators of one model."""

    kind: str
    vendor: str
    model: str
    count: int = 0
    joules: float = 0.0
    utilization: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Site:
    """One site: its PUE by category over the window and step by step, and its factors step by step."""

    name: str
    pue: dict[str, float] = field(default_factory=dict)
    pue_steps: dict[str, Floats] = field(default_factory=dict)
    price: dict[str, Floats] = field(default_factory=dict)
    grams: Floats | None = None


@dataclass(slots=True)
class Report:
    """Everything that a report shows. T steps; `power` in watts, energies in joules."""

    request: ReportRequest
    origin: Origin
    now: float
    times: Floats
    power: dict[str, Floats]
    energy_steps: dict[str, Floats]
    energy_by_component: dict[str, float]
    complete_steps: Floats
    completeness: dict[str, float]
    namespaces: list[Namespace]
    nodes: list[tuple[str, str, float]]
    devices: list[Device]
    sites: list[Site]
    gap_seconds: dict[str, float]
    before: float | None
    """Joules of the window before this one; None: unknown, or known in part only."""

    @property
    def total_power(self) -> Floats:
        """Watts of everything in each step; NaN where nothing is known."""
        return added(list(self.power.values()), len(self.times))

    @property
    def joules(self) -> float | None:
        """Energy of everything; None when nothing is known."""
        return sum(self.energy_by_component.values()) if self.energy_by_component else None

    @property
    def complete(self) -> float:
        """The part of nodes and time that was measured, over all clusters."""
        return float(np.mean(list(self.completeness.values()))) if self.completeness else 0.0

    @property
    def is_over(self) -> bool:
        """Whether the window has passed."""
        return self.request.end <= self.now

    def cost_steps(self) -> dict[str, Floats]:
        """Currency → price of the energy of each step; NaN where energy or price is unknown."""
        parts: dict[str, list[Floats]] = {}
        for site in self.sites:
            for currency, price in site.price.items():
                parts.setdefault(currency, []).append(self._energy_of(site.name) / JOULES_PER_KWH * price)
        return {currency: added(found, len(self.times)) for currency, found in parts.items()}

    def gram_steps(self) -> Floats:
        """Grams of CO2 of the energy of each step."""
        parts = [self._energy_of(s.name) / JOULES_PER_KWH * s.grams for s in self.sites if s.grams is not None]
        return added(parts, len(self.times))

    def _energy_of(self, site: str) -> Floats:
        mine = [values for cluster, values in self.energy_steps.items() if self.origin.site_of(cluster) == site]
        return added(mine, len(self.times))


def added(parts: list[Floats], steps: int) -> Floats:
    """The sum of rows where any of them is known."""
    if not parts:
        return np.full(steps, np.nan)
    known = np.logical_or.reduce([~np.isnan(part) for part in parts])
    return np.where(known, np.nansum(parts, axis=0), np.nan)


async def gather(
    history: History,
    request: ReportRequest,
    origin: Origin,
    now: float,
    progress: Callable[[float], None] = lambda _: None,
) -> Report:
    """Ask history for everything. Raises HistoryError."""
    asked = itertools.count(1)
    start, end, step = request.start, request.end, request.step
    only = {"cluster": request.cluster} if request.cluster else {}

    async def steps(family: Family, matchers: Mapping[str, str] = only) -> Series:
        progress(next(asked) / _QUESTIONS)
        return await history.series(family.name, matchers, start, end, step)

    async def came(family: Family, matchers: Mapping[str, str] = only) -> dict[tuple[str, ...], float]:
        progress(next(asked) / _QUESTIONS)
        found = await history.increase(family.name, matchers, start, min(end, max(now, start + FINE)))
        return dict(zip(found.labels, found.values.tolist(), strict=True))

    power = await steps(catalogue.CLUSTER_POWER)
    energy = await history.increments(catalogue.CLUSTER_ENERGY.name, only, start, end, step)
    points = len(power.timestamps)
    clusters = [request.cluster] if request.cluster else list(origin.clusters)
    minutes = await coverage(history, request.cluster, start, min(end, max(now, start + FINE)), origin.interval)
    everything = await came(catalogue.CLUSTER_ENERGY)
    by_component = _by(everything, 1)
    return Report(
        request=request,
        origin=origin,
        now=now,
        times=power.timestamps,
        power={c: rows for c in COMPONENTS if (rows := _sum_where(power, 1, c)) is not None},
        energy_steps={c: rows for c in clusters if (rows := _sum_where(energy, 0, c)) is not None},
        energy_by_component={c: by_component[c] for c in COMPONENTS if c in by_component},
        complete_steps=_complete(minutes, clusters, points, step),
        completeness={c: float(minutes[c].mean()) if c in minutes else 0.0 for c in clusters},
        namespaces=_namespaces(
            await came(catalogue.NAMESPACE_ENERGY),
            await came(catalogue.NAMESPACE_COST),
            await came(catalogue.NAMESPACE_EMISSIONS),
        ),
        nodes=sorted(
            ((c, n, j) for (c, n), j in _pairs(await came(catalogue.NODE_ENERGY)).items()), key=lambda row: -row[2]
        ),
        devices=await _devices(history, request, await came(catalogue.ACCELERATOR_ENERGY)),
        sites=[await _site(history, request, name) for name in sorted({origin.site_of(c) for c in clusters})],
        gap_seconds={key[0]: value for key, value in (await came(catalogue.ENERGY_GAP)).items()},
        before=await _before(history, request, only, origin.interval),
    )


def _sum_where(series: Series, position: int, value: str) -> Floats | None:
    rows = [n for n, labels in enumerate(series.labels) if labels[position] == value]
    return added([series.values[n] for n in rows], len(series.timestamps)) if rows else None


def _by(found: Mapping[tuple[str, ...], float], position: int) -> dict[str, float]:
    sums: dict[str, float] = {}
    for labels, value in found.items():
        sums[labels[position]] = sums.get(labels[position], 0.0) + value
    return sums


def _pairs(found: Mapping[tuple[str, ...], float]) -> dict[tuple[str, str], float]:
    sums: dict[tuple[str, str], float] = {}
    for labels, value in found.items():
        sums[labels[0], labels[1]] = sums.get((labels[0], labels[1]), 0.0) + value
    return sums


def _complete(minutes: Mapping[str, Floats], clusters: list[str], points: int, step: float) -> Floats:
    """Per step the part of nodes and minutes that was measured, over all clusters; NaN where no minute has come yet."""
    if not minutes:
        return np.zeros(points)
    length = max(len(values) for values in minutes.values())
    whole = sum((minutes[c] for c in clusters if c in minutes), np.zeros(length)) / max(len(clusters), 1)
    at = np.minimum((np.arange(length) * FINE / step).astype(int), points - 1)
    count = np.bincount(at, minlength=points)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, np.bincount(at, whole, points) / count, np.nan)


def _namespaces(
    energy: Mapping[tuple[str, ...], float],
    cost: Mapping[tuple[str, ...], float],
    grams: Mapping[tuple[str, ...], float],
) -> list[Namespace]:
    found = {key: Namespace(*key, joules) for key, joules in _pairs(energy).items()}
    for (cluster, name, currency), price in cost.items():
        if (cluster, name) in found:
            found[cluster, name].cost[currency] = price
    for (cluster, name), value in grams.items():
        if (cluster, name) in found:
            found[cluster, name].grams = value
    return sorted(found.values(), key=lambda it: -it.joules)


async def _devices(history: History, request: ReportRequest, energy: Mapping[tuple[str, ...], float]) -> list[Device]:
    span, only = request.end - request.start, {"cluster": request.cluster} if request.cluster else {}
    use = await history.series(catalogue.ACCELERATOR_UTILIZATION.name, only, request.start, request.end, span)
    busy = {labels: float(values[0]) for labels, values in zip(use.labels, use.values, strict=True)}
    found: dict[tuple[str, str, str], Device] = {}
    for (cluster, node, uuid, kind, vendor, model), joules in energy.items():
        device = found.setdefault((kind, vendor, model), Device(kind, vendor, model))
        device.count += 1
        device.joules += joules
        if (cluster, node, uuid) in busy:
            device.utilization.append(busy[cluster, node, uuid])
    return sorted(found.values(), key=lambda it: -it.joules)


async def _site(history: History, request: ReportRequest, name: str) -> Site:
    only, window = {"site": name}, (request.start, request.end, request.step)
    site = Site(name)
    for labels, values in _rows(await history.series(catalogue.SITE_PUE.name, only, *window)):
        site.pue_steps[labels[1] or labels[2]] = values
        if labels[2] == "static":
            site.pue[labels[1] or labels[2]] = float(np.nanmean(values))
    it = await history.increments(catalogue.SITE_IT_ENERGY.name, only, *window)
    for labels, values in _rows(await history.increments(catalogue.SITE_FACILITY_ENERGY.name, only, *window)):
        drawn = it.values[0] if it.labels else np.full(len(values), np.nan)
        # A step in which the PUE was withheld, because a side was unknown, tells nothing of it.
        shown = site.pue_steps.get(labels[1], np.full(len(values), np.nan))
        both = ~np.isnan(values) & ~np.isnan(drawn) & ~np.isnan(shown)
        ratio = values[both].sum() / drawn[both].sum() if drawn[both].sum() > 0 else math.nan
        if ratio >= 1:
            site.pue[labels[1]] = float(ratio)
    for labels, values in _rows(await history.series(catalogue.SITE_PRICE.name, only, *window)):
        site.price[labels[1]] = values
    for _, values in _rows(await history.series(catalogue.SITE_CARBON_INTENSITY.name, only, *window)):
        site.grams = values
    return site


def _rows(series: Series) -> list[tuple[tuple[str, ...], Floats]]:
    return list(zip(series.labels, series.values, strict=True))


async def _before(history: History, request: ReportRequest, only: Mapping[str, str], interval: float) -> float | None:
    """Joules of a window of the same length before this one, if it was measured as a whole."""
    start = request.start - (request.end - request.start)
    if start < 0:
        return None
    minutes = await coverage(history, request.cluster, start, request.start, interval)
    if not minutes or min(float(values.mean()) for values in minutes.values()) < 0.99:
        return None
    found = await history.increase(catalogue.CLUSTER_ENERGY.name, dict(only), start, request.start)
    return float(found.values.sum()) if found.labels else None
