"""Live: the compact state of the whole fleet that the live page shows, one event a cycle."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from kcloud_exporter import catalogue
from kcloud_exporter.model import ClusterSnapshot, Snapshot
from kcloud_exporter.stream.channel import Draft
from kcloud_exporter.stream.devices import accelerators, sources
from kcloud_exporter.stream.flow import Parts, components, energy, flow, site_values
from kcloud_exporter.stream.power import chosen_clusters, completeness_of, watts
from kcloud_exporter.units import rfc3339

TREND_POINTS: Final = 120
_CATEGORIES: Final = ("pue3", "pue2", "pue1")
"""Categories of ISO/IEC 30134-2, the one that is measured nearest to the IT first."""


class Trend:
    """Watts and joules of each cluster in the last cycles, and in the first one that was seen."""

    def __init__(self) -> None:
        self.points: deque[tuple[float, dict[str, float]]] = deque(maxlen=TREND_POINTS)
        self.begun: float | None = None
        self._first: dict[str, float] = {}

    def add(self, snapshot: Snapshot) -> None:
        """Note one cycle."""
        if self.begun is None:
            self.begun = snapshot.timestamp
        power = {name: math.fsum(parts.values()) for name, c in snapshot.clusters.items() if (parts := components(c))}
        self.points.append((snapshot.timestamp, power))
        for name, cluster in snapshot.clusters.items():
            if joules := energy(cluster):
                self._first.setdefault(name, math.fsum(joules.values()))

    def since_begun(self, clusters: Iterable[ClusterSnapshot]) -> float | None:
        """Joules of some clusters since each was first seen; None while none is known."""
        pairs = [(energy(cluster), self._first.get(cluster.name)) for cluster in clusters]
        grown = [math.fsum(now.values()) - first for now, first in pairs if now and first is not None]
        return math.fsum(grown) if grown else None

    def of(self, clusters: Iterable[ClusterSnapshot]) -> list[tuple[float, float | None]]:
        """(Unix time, watts of some clusters) of the last cycles.

        None where one that was known before or after is not: it would look as if the power had fallen.
        """
        points = tuple(self.points)
        ever = {name for _, power in points for name in power}
        names = [cluster.name for cluster in clusters if cluster.name in ever]
        return [
            (round(at, 1), round(math.fsum(power[n] for n in names), 1) if all(n in power for n in names) else None)
            for at, power in points
            if names
        ]


class LiveEvents:
    """The live view of the fleet, or of some clusters of it. `interval` tells the seconds between cycles."""

    def __init__(self, cluster: tuple[str, ...], trend: Trend, interval: Callable[[], float]) -> None:
        self._names, self._trend, self._interval = cluster, trend, interval

    def drafts(self, snapshot: Snapshot) -> list[Draft]:
        """One event: the whole state. What is not known has no key, or null in a column; it is never 0."""
        chosen = chosen_clusters(snapshot, self._names)
        sites = _sites(snapshot, chosen)
        payload = {
            "timestamp": rfc3339(snapshot.timestamp),
            "interval_seconds": self._interval(),
            "known_clusters": list(snapshot.clusters),
            "total": self._total(chosen, sites),
            "sites": sites,
            "clusters": [_cluster(cluster) for cluster in chosen],
            "flow": flow(chosen, {} if self._names else _overheads(sites)),
            "accelerators": accelerators(chosen),
            "sources": sources(chosen),
            "trend": self._trend.of(chosen),
        }
        return [Draft("live", payload)]

    def _total(self, chosen: list[ClusterSnapshot], sites: list[dict[str, Any]]) -> dict[str, Any]:
        power, joules = _added(map(components, chosen)), _added(map(energy, chosen))
        completeness, nodes = completeness_of(chosen)
        told: dict[str, Any] = {
            "components": _rounded(power),
            "energy_components": _rounded(joules),
            "completeness_ratio": round(completeness, 6),
            "nodes": nodes,
        }
        if power:
            told["power_watts"] = watts(math.fsum(power.values()))
        if joules:
            told["energy_joules"] = watts(math.fsum(joules.values()))
        grown = self._trend.since_begun(chosen)
        if grown is not None and self._trend.begun is not None:
            told["energy_since"] = {"time": rfc3339(self._trend.begun), "joules": watts(grown)}
        pue = _pue_of_all(sites)
        if pue is not None:
            told["pue"] = pue
        return told


def _added(of_clusters: Iterable[Parts]) -> Parts:
    found: dict[str, list[float]] = {}
    for parts in of_clusters:
        for component, value in parts.items():
            found.setdefault(component, []).append(value)
    return {component: math.fsum(found[component]) for component in catalogue.COMPONENTS if component in found}


def _rounded(parts: Parts) -> Parts:
    return {component: watts(value) for component, value in parts.items()}


def _cluster(cluster: ClusterSnapshot) -> dict[str, Any]:
    parts = components(cluster)
    completeness, nodes = completeness_of([cluster])
    told: dict[str, Any] = {"cluster": cluster.name, "site": cluster.site, "nodes": nodes}
    told["completeness_ratio"] = round(completeness, 6)
    if parts:
        told["power_watts"] = watts(math.fsum(parts.values()))
    return told


def _sites(snapshot: Snapshot, chosen: list[ClusterSnapshot]) -> list[dict[str, Any]]:
    """What is known of each site where one of the clusters stands."""
    it = site_values(snapshot.fleet.get(catalogue.SITE_IT_POWER.name))
    facility = site_values(snapshot.fleet.get(catalogue.SITE_FACILITY_POWER.name))
    pue = site_values(snapshot.fleet.get(catalogue.SITE_PUE.name))
    carbon = site_values(snapshot.fleet.get(catalogue.SITE_CARBON_INTENSITY.name))
    found = []
    for name in sorted({cluster.site for cluster in chosen}):
        site: dict[str, Any] = {"site": name}
        if (name,) in it:
            site["it_power_watts"] = watts(it[name,])
        site["facility"] = {category: watts(value) for (of, category), value in facility.items() if of == name}
        site["pue"] = [
            {"ratio": round(ratio, 4), "category": category, "method": method}
            for (of, category, method), ratio in pue.items()
            if of == name
        ]
        if (name,) in carbon:
            site["carbon_intensity_grams_per_kwh"] = carbon[name,]
        found.append(site)
    return found


def _pue_of_all(sites: list[dict[str, Any]]) -> dict[str, Any] | None:
    """PUE of all sites together: weighted by IT power, of one category and method that every site has; else none."""
    for category, method in [(c, "measured") for c in _CATEGORIES] + [("", "static")]:
        ratios = [
            (site["it_power_watts"], each["ratio"])
            for site in sites
            for each in site["pue"]
            if (each["category"], each["method"]) == (category, method) and site.get("it_power_watts")
        ]
        if ratios and len(ratios) == len(sites):
            ratio = math.fsum(it * pue for it, pue in ratios) / math.fsum(it for it, _ in ratios)
            return {"ratio": round(ratio, 4), "category": category, "method": method}
    return None


def _overheads(sites: list[dict[str, Any]]) -> dict[str, float]:
    """Watts that a site draws beyond its IT, where that is measured and the IT is complete enough for a PUE."""
    found = {}
    for site in sites:
        for category in _CATEGORIES:
            measured = any((e["category"], e["method"]) == (category, "measured") for e in site["pue"])
            if measured and category in site["facility"]:
                found[site["site"]] = site["facility"][category] - site["it_power_watts"]
                break
    return found
