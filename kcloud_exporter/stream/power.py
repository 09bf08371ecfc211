"""Power: the payload of `power_update`, and the total that thresholds look at. Pure, a filter at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import Family
from kcloud_exporter.model import ClusterSnapshot, Snapshot
from kcloud_exporter.stream.filters import Filter
from kcloud_exporter.stream.sums import Sums
from kcloud_exporter.units import rfc3339

Cell = tuple[str, str]
"""(value of the label that a sum is by, component)."""
_PLACES: Final = 3
"""Decimals of a watt: a milliwatt, finer than any meter."""


def watts(value: float) -> float:
    """Watts, or joules, as they are printed."""
    return round(value, _PLACES)


def _family(by_node: bool, by_namespace: bool) -> Family:
    """The family with the fewest rows that still tells nodes, or namespaces, apart."""
    if by_node and by_namespace:
        return catalogue.POD_POWER
    if by_namespace:
        return catalogue.NAMESPACE_POWER
    return catalogue.NODE_POWER if by_node else catalogue.CLUSTER_POWER


class PowerView:
    """Makes the payloads of one filter, and remembers only which rows belong to it.

    The total is that of the filter, whatever it is broken down by: what no namespace holds belongs to it too.
    """

    def __init__(self, wanted: Filter) -> None:
        self._filter = wanted
        node, namespace, by = bool(wanted.node), bool(wanted.namespace), wanted.breakdown_by
        self._whole = _family(node, namespace)
        self._parts = _family(node or by == "node", namespace or by == "namespace")
        self._sums: dict[tuple[str, str], Sums[Cell]] = {}

    def _of(self, cluster: ClusterSnapshot, family: Family, name: str) -> dict[Cell, float]:
        """(value of the label `name`, component) → watts of one cluster, for the rows that the filter takes."""
        at, kept = family.labels.index(name), self._filter
        wanted = [
            (family.labels.index(label), allowed)
            for label, allowed in (("node", kept.node), ("namespace", kept.namespace), ("component", kept.components))
            if allowed and label in family.labels
        ]

        def cell(row: tuple[str, ...]) -> Cell | None:
            if all(row[place] in allowed for place, allowed in wanted):
                return row[at], row[-1]
            return None

        sums = self._sums.setdefault((cluster.name, f"{family}/{name}"), Sums(cell))
        return sums.of(cluster.tables.get(family.name))

    def payload(self, snapshot: Snapshot) -> tuple[dict[str, Any], float | None, float]:
        """(payload, total watts or None while unknown, share of the nodes that are measured)."""
        chosen, by = chosen_clusters(snapshot, self._filter.cluster), self._filter.breakdown_by
        rows: dict[Cell, dict[str, float]] = {}
        for cluster in chosen:
            for (name, component), value in self._of(cluster, self._parts, by).items():
                rows.setdefault((cluster.name, name), {})[component] = value
        components = _by_component(self._of(c, self._whole, "cluster") for c in chosen)
        total = math.fsum(components.values()) if components else None
        data: dict[str, Any] = {"total_power_watts": watts(total)} if total is not None else {}
        data["components"] = {c: watts(components[c]) for c in catalogue.COMPONENTS if c in components}
        data["breakdown"], omitted = self._ranked(rows)
        if omitted:
            data["others"] = omitted
        if by == "namespace" and not self._filter.namespace:
            unheld = _by_component(self._of(c, catalogue.NODE_UNATTRIBUTED, "cluster") for c in chosen)
            if unheld:
                data["unattributed_power_watts"] = watts(math.fsum(unheld.values()))
        completeness, nodes = completeness_of(chosen)
        payload = {
            "timestamp": rfc3339(snapshot.timestamp),
            "cluster": self._filter.cluster[0] if len(self._filter.cluster) == 1 else None,
            "resource_type": self._filter.resource_type,
            "data": data,
            "metadata": {
                "cycle": snapshot.cycle,
                "clusters": [c.name for c in chosen],
                "breakdown_by": by,
                "completeness_ratio": round(completeness, 6),
                "nodes": nodes,
            },
        }
        return payload, total, completeness

    def _ranked(self, rows: dict[Cell, dict[str, float]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The rows with the most watts, and what the rest adds up to."""
        ranked = sorted(rows.items(), key=lambda item: (-math.fsum(item[1].values()), item[0]))
        by, most = self._filter.breakdown_by, self._filter.limit
        shown = [
            {
                "cluster": cluster,
                **({by: name} if by != "cluster" else {}),
                "power_watts": watts(math.fsum(parts.values())),
                "components": {c: watts(parts[c]) for c in catalogue.COMPONENTS if c in parts},
            }
            for (cluster, name), parts in ranked[:most]
        ]
        rest = [value for _, parts in ranked[most:] for value in parts.values()]
        others = {"count": len(ranked) - most, "power_watts": watts(math.fsum(rest))} if rest else {}
        return shown, others


def chosen_clusters(snapshot: Snapshot, names: tuple[str, ...]) -> list[ClusterSnapshot]:
    """The clusters that a filter names, or all."""
    return [cluster for name, cluster in snapshot.clusters.items() if not names or name in names]


def completeness_of(clusters: Iterable[ClusterSnapshot]) -> tuple[float, dict[str, int]]:
    """(nodes measured over nodes known, nodes by state). 0 when no node is known: then nothing is certain."""
    nodes = {"measured": 0, "partial": 0, "missing": 0}
    for cluster in clusters:
        table = cluster.tables.get(catalogue.CLUSTER_NODES.name)
        if table is not None:
            for (_, state), value in zip(table.keys.rows, table.values.tolist(), strict=False):
                nodes[state] += 0 if math.isnan(value) else int(value)
    known = sum(nodes.values())
    return (nodes["measured"] / known if known else 0.0), nodes


def _by_component(parts: Iterable[dict[Cell, float]]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for part in parts:
        for (_, component), value in part.items():
            found.setdefault(component, []).append(value)
    return {component: math.fsum(values) for component, values in found.items()}
