"""Flow: where the watts go, as nodes and links from sites through clusters and components to namespaces.

Every link is a sum of the ledger, so what enters a node leaves it; what is not known has no link.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kcloud_exporter import catalogue
from kcloud_exporter.model import ClusterSnapshot, Table

MOST_OWNERS: Final = 14
"""Namespaces that are drawn; the rest is one node."""
_LEAST: Final = 0.5
"""Watts below which a difference is rounding and no flow."""
_VM_POWER: Final = "kcloud_vm_power_watts"

Parts = dict[str, float]
"""Component → watts, or joules."""


@dataclass(slots=True)
class Owners:
    """What a cluster's components go to: namespaces, projects of virtual machines, and nobody."""

    namespaces: dict[str, Parts] = field(default_factory=dict)
    projects: dict[str, Parts] = field(default_factory=dict)
    nobody: Parts = field(default_factory=dict)


def by_component(cluster: ClusterSnapshot, family: str, name: str | None, labels: tuple[str, ...]) -> dict[str, Parts]:
    """Value of the label `name` ("" without one) → component → watts, for everything that has a value."""
    table = cluster.tables.get(family)
    if table is None:
        return {}
    at, of = (labels.index(name) if name else None), labels.index("component")
    found: dict[str, Parts] = {}
    for row, value in zip(table.keys.rows, table.values.tolist(), strict=False):
        if not math.isnan(value):
            parts = found.setdefault(row[at] if at is not None else "", {})
            parts[row[of]] = parts.get(row[of], 0.0) + value
    return found


def owners(cluster: ClusterSnapshot) -> Owners:
    """Who holds what of one cluster."""
    vm_labels = ("cluster", "node", "project", "vm", "component")
    unattributed, namespace = catalogue.NODE_UNATTRIBUTED, catalogue.NAMESPACE_POWER
    return Owners(
        by_component(cluster, namespace.name, "namespace", namespace.labels),
        by_component(cluster, _VM_POWER, "project", vm_labels),
        by_component(cluster, unattributed.name, None, unattributed.labels).get("", {}),
    )


def components(cluster: ClusterSnapshot) -> Parts:
    """Watts of one cluster by component."""
    family = catalogue.CLUSTER_POWER
    return by_component(cluster, family.name, None, family.labels).get("", {})


def energy(cluster: ClusterSnapshot) -> Parts:
    """Joules of one cluster by component, since its counters began."""
    family = catalogue.CLUSTER_ENERGY
    return by_component(cluster, family.name, None, family.labels).get("", {})


def site_values(table: Table | None) -> dict[tuple[str, ...], float]:
    """Label values → value of a family of the fleet, without what is absent."""
    if table is None:
        return {}
    pairs = zip(table.keys.rows, table.values.tolist(), strict=False)
    return {row: value for row, value in pairs if not math.isnan(value)}


class _Graph:
    """Nodes in the order of their coming, and links added up."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.links: dict[tuple[str, str, str], float] = {}

    def node(self, name: str, label: str, layer: int, kind: str) -> str:
        self.nodes.setdefault(name, {"id": name, "label": label, "layer": layer, "kind": kind})
        return name

    def link(self, start: str, end: str, value: float, component: str = "") -> None:
        if value > 0:
            key = (start, end, component)
            self.links[key] = self.links.get(key, 0.0) + value

    def told(self) -> dict[str, Any]:
        """The graph as JSON. Watts to a tenth: a picture shows no more."""
        drawn = {(a, b, c): round(value, 1) for (a, b, c), value in self.links.items() if value >= 0.05}
        used = {end for a, b, _ in drawn for end in (a, b)}
        return {
            "nodes": [node for name, node in self.nodes.items() if name in used],
            "links": [{"from": a, "to": b, "component": c, "power_watts": value} for (a, b, c), value in drawn.items()],
        }


def flow(clusters: Iterable[ClusterSnapshot], overheads: Mapping[str, float]) -> dict[str, Any]:
    """Nodes in four layers and links between them. `overheads` are watts of sites beyond their IT."""
    graph, every = _Graph(), list(clusters)
    held = {cluster.name: owners(cluster) for cluster in every}
    ranked = _ranked(held)
    first = ranked if len(ranked) == MOST_OWNERS + 1 else ranked[:MOST_OWNERS]  # one alone needs no node of its own
    shown = {(where, kind, name) for _, where, kind, name in first}
    twice = _repeated(name for _, _, _, name in first)
    for cluster in every:
        at = graph.node(f"cluster:{cluster.name}", cluster.name, 1, "cluster")
        whole = components(cluster)
        graph.link(graph.node(f"site:{cluster.site}", cluster.site, 0, "site"), at, math.fsum(whole.values()))
    for site, value in overheads.items():
        end = graph.node(f"overhead:{site}", f"Overhead · {site}", 1, "overhead")
        graph.link(f"site:{site}", end, value)
    for component in catalogue.COMPONENTS:
        graph.node(f"component:{component}", component, 2, "component")
    for _, where, kind, name in first:
        label = name or "(no name)"
        graph.node(f"{kind}:{where}/{name}", f"{label} · {where}" if name in twice else label, 3, kind)
    graph.node("others:", f"{len(ranked) - len(first)} others", 3, "others")
    graph.node("nobody:", "Unattributed", 3, "nobody")
    graph.node("rest:", "Not broken down", 3, "rest")
    for cluster in every:
        _held_by(graph, cluster, held[cluster.name], shown)
    return graph.told()


def _held_by(graph: _Graph, cluster: ClusterSnapshot, of: Owners, shown: set[tuple[str, str, str]]) -> None:
    rest = components(cluster)
    for component, value in rest.items():
        graph.link(f"cluster:{cluster.name}", f"component:{component}", value, component)
    for kind, names in (("namespace", of.namespaces), ("project", of.projects)):
        for name, parts in names.items():
            drawn = (cluster.name, kind, name) in shown
            end = f"{kind}:{cluster.name}/{name}" if drawn else "others:"
            for component, value in parts.items():
                graph.link(f"component:{component}", end, value, component)
                rest[component] = rest.get(component, 0.0) - value
    for component, value in of.nobody.items():
        graph.link(f"component:{component}", "nobody:", value, component)
        rest[component] = rest.get(component, 0.0) - value
    for component, value in rest.items():
        if value >= _LEAST:
            graph.link(f"component:{component}", "rest:", value, component)


def _ranked(held: Mapping[str, Owners]) -> list[tuple[float, str, str, str]]:
    """(minus watts, cluster, kind, name) of every namespace and project, the greatest first."""
    return sorted(
        (-math.fsum(parts.values()), cluster, kind, name)
        for cluster, of in held.items()
        for kind, names in (("namespace", of.namespaces), ("project", of.projects))
        for name, parts in names.items()
    )


def _repeated(names: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    return {name for name in names if name in seen or seen.add(name)}  # type: ignore[func-returns-value]
