"""Devices and sources of the live view: the columns of the heat map and of the list of sources."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import Family
from kcloud_exporter.model import ClusterSnapshot

MOST_DEVICES: Final = 1024
MOST_SOURCES: Final = 200
DEVICE_COLUMNS: Final = ("name", "model", "power_watts", "power_limit_watts", "utilization_ratio", "healthy")
"""What each entry of a node's `devices` holds, in this order; `model` is a place in the list `models`."""


def values(cluster: ClusterSnapshot, family: Family, key: int) -> dict[tuple[str, ...], float]:
    """The first `key` label values after the cluster → value, without what is absent."""
    table = cluster.tables.get(family.name)
    if table is None:
        return {}
    pairs = zip(table.keys.rows, table.values.tolist(), strict=False)
    return {row[1 : key + 1]: value for row, value in pairs if not math.isnan(value)}


def accelerators(clusters: Iterable[ClusterSnapshot]) -> dict[str, Any]:
    """Every accelerator by node; of a large fleet the nodes whose accelerators draw the most, and what is left out."""
    models: dict[str, int] = {}
    nodes: list[tuple[float, str, str, list[list[Any]]]] = []
    for cluster in clusters:
        power = values(cluster, catalogue.ACCELERATOR_POWER, 2)
        limit = values(cluster, catalogue.ACCELERATOR_POWER_LIMIT, 2)
        use = values(cluster, catalogue.ACCELERATOR_UTILIZATION, 2)
        healthy = values(cluster, catalogue.ACCELERATOR_HEALTHY, 2)
        by_node: dict[str, list[list[Any]]] = {}
        watts: dict[str, float] = {}
        for node, uuid, index, _, vendor, model in values(cluster, catalogue.ACCELERATOR_INFO, 6):
            key, name = (node, uuid), f"{vendor} {model}".strip() or "unknown model"
            drawn = power.get(key)
            watts[node] = watts.get(node, 0.0) + (drawn or 0.0)
            row = [
                index or uuid[-6:],
                models.setdefault(name, len(models)),
                _rounded(drawn, 1),
                _rounded(limit.get(key), 1),
                _rounded(use.get(key), 3),
                None if key not in healthy else bool(healthy[key]),
            ]
            by_node.setdefault(node, []).append(row)
        nodes.extend((watts[node], cluster.name, node, devices) for node, devices in by_node.items())
    return {"columns": DEVICE_COLUMNS, "models": list(models), **_most(nodes)}


def _most(nodes: list[tuple[float, str, str, list[list[Any]]]]) -> dict[str, Any]:
    kept: list[tuple[str, str, list[list[Any]]]] = []
    left, left_watts, room = 0, 0.0, MOST_DEVICES
    for watts, cluster, node, devices in sorted(nodes, key=lambda each: (-each[0], each[1], each[2])):
        if len(devices) <= room:
            kept.append((cluster, node, sorted(devices, key=lambda device: (len(device[0]), device[0], device[1]))))
            room -= len(devices)
        else:
            room, left, left_watts = 0, left + len(devices), left_watts + watts
    told: dict[str, Any] = {
        "nodes": [{"cluster": cluster, "node": node, "devices": devices} for cluster, node, devices in sorted(kept)]
    }
    if left:
        told["others"] = {"count": left, "power_watts": round(left_watts, 1)}
    return told


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)


def sources(clusters: Iterable[ClusterSnapshot]) -> dict[str, Any]:
    """State of each source, those that are down first; of very many only the first, and how many there are."""
    rows: list[dict[str, Any]] = []
    for cluster in clusters:
        last, samples = (
            values(cluster, catalogue.SOURCE_LAST_SUCCESS, 1),
            values(cluster, catalogue.SOURCE_SAMPLES, 1),
        )
        for key, up in values(cluster, catalogue.SOURCE_UP, 1).items():
            row: dict[str, Any] = {"cluster": cluster.name, "source": key[0], "up": bool(up)}
            if key in last:
                row["last_success"] = round(last[key], 3)
            if key in samples:
                row["samples"] = int(samples[key])
            rows.append(row)
    rows.sort(key=lambda row: (row["up"], row["cluster"], row["source"]))
    down = sum(not row["up"] for row in rows)
    return {"up": len(rows) - down, "down": down, "list": rows[:MOST_SOURCES]}
