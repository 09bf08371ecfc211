"""Metrics: power, utilisation, temperature or memory of each accelerator, and of all of them together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import Family
from kcloud_exporter.model import ClusterSnapshot, Snapshot
from kcloud_exporter.stream.channel import Draft, Pace
from kcloud_exporter.stream.devices import values
from kcloud_exporter.stream.filters import Filter
from kcloud_exporter.stream.power import chosen_clusters
from kcloud_exporter.units import rfc3339

Device = tuple[str, str, str]
"""(cluster, node, uuid)."""

_FIELDS: Final[dict[str, tuple[tuple[str, Family, float], ...]]] = {
    "power": (("power_watts", catalogue.ACCELERATOR_POWER, 1.0),),
    "utilization": (("utilization_percent", catalogue.ACCELERATOR_UTILIZATION, 100.0),),
    "temperature": (("temperature_celsius", catalogue.ACCELERATOR_TEMPERATURE, 1.0),),
    "memory": (
        ("memory_used_bytes", catalogue.ACCELERATOR_MEMORY_USED, 1.0),
        ("memory_total_bytes", catalogue.ACCELERATOR_MEMORY_TOTAL, 1.0),
    ),
}
"""Metric → the fields that tell it, each with its family and scale."""
_SUMMARIES: Final[dict[str, tuple[tuple[str, Callable[[list[float]], float]], ...]]] = {
    "power": (("total", math.fsum),),
    "utilization": (("avg", lambda known: math.fsum(known) / len(known)),),
    "temperature": (("avg", lambda known: math.fsum(known) / len(known)), ("max", max)),
    "memory": (("total", math.fsum),),
}


class MetricsEvents:
    """The events of one metrics filter."""

    def __init__(self, wanted: Filter) -> None:
        self._filter, self._pace = wanted, Pace(wanted.interval)

    def drafts(self, snapshot: Snapshot) -> list[Draft]:
        """One update for every cycle that is due. Devices without a reading are counted, and have no value."""
        if not self._pace.due(snapshot.timestamp):
            return []
        wanted, chosen = self._filter, chosen_clusters(snapshot, self._filter.cluster)
        devices: dict[Device, dict[str, Any]] = {}
        for cluster in chosen:
            devices.update(self._devices(cluster))
        fields = [field for field, _, _ in _FIELDS[wanted.metric_name]]
        summary: dict[str, Any] = {"total_count": len(devices)}
        for field in fields:
            known = [device[field] for device in devices.values() if field in device]
            summary[f"{field}_known_count"] = len(known)
            if known:
                summary |= {f"{n}_{field}": round(of(known), 3) for n, of in _SUMMARIES[wanted.metric_name]}
        ranked = sorted(devices.items(), key=lambda item: (-item[1].get(fields[0], -math.inf), item[0]))
        data: dict[str, Any] = {"summary": summary, "devices": [device for _, device in ranked[: wanted.limit]]}
        if len(ranked) > wanted.limit:
            data["others"] = {"count": len(ranked) - wanted.limit}
        payload = {
            "timestamp": rfc3339(snapshot.timestamp),
            "cluster": wanted.cluster[0] if len(wanted.cluster) == 1 else None,
            "metric_name": wanted.metric_name,
            "resource_type": wanted.resource_type,
            "data": data,
            "metadata": {"cycle": snapshot.cycle, "clusters": [cluster.name for cluster in chosen]},
        }
        return [Draft("metrics_update", payload)]

    def _devices(self, cluster: ClusterSnapshot) -> dict[Device, dict[str, Any]]:
        found: dict[Device, dict[str, Any]] = {}
        for node, uuid, _, kind, vendor, model in values(cluster, catalogue.ACCELERATOR_INFO, 6):
            if kind in self._filter.components and (not self._filter.node or node in self._filter.node):
                told = {"cluster": cluster.name, "node": node, "uuid": uuid, "kind": kind}
                found[cluster.name, node, uuid] = {**told, "vendor": vendor, "model": model}
        for field, family, scale in _FIELDS[self._filter.metric_name]:
            # A device with several sensors is as hot as the hottest of them.
            for (node, uuid, *_), value in values(cluster, family, len(family.labels) - 1).items():
                device = found.get((cluster.name, node, uuid))
                if device is not None:
                    device[field] = max(round(value * scale, 3), device.get(field, -math.inf))
        return found
