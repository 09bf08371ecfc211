"""Files made of a history whose every number is known."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from kcloud_exporter.export.job import Job, make
from kcloud_exporter.export.provenance import Origin
from kcloud_exporter.export.request import read_request
from kcloud_exporter.history.embedded import EmbeddedHistory
from kcloud_exporter.history.place import Place
from kcloud_exporter.history.state import HistoryState
from kcloud_exporter.model import Snapshot
from tests.history.snapshots import T0, snapshot

ORIGIN = Origin("0" * 64, (("idle", "unattributed"), ("overhead", "unattributed")), ("seoul-a", "busan-a"), "embedded")
END = T0 + 3600
COMPONENTS = ("cpu", "gpu", "other")


def joules(cluster: str, namespace: int, component: str, at: float) -> float:
    """Where a counter stands: it grows evenly, each at a pace of its own."""
    pace = 10.0 * (1 + namespace) + COMPONENTS.index(component) + (0.5 if cluster == "busan-a" else 0.0)
    return 1e6 + pace * (at - T0 + 600)


def cycle(at: float, names: tuple[str, ...], *, gap: bool = True) -> Snapshot:
    """Two clusters; of the second one nothing is known for a quarter of an hour."""
    clusters = {}
    for cluster in ("seoul-a", "busan-a"):
        if gap and cluster == "busan-a" and T0 + 900 < at <= T0 + 1800:
            continue
        energy: dict[tuple[str, ...], float] = {
            (cluster, name, component): joules(cluster, n, component, at)
            for n, name in enumerate(names)
            for component in COMPONENTS[:2]
        }
        whole: dict[tuple[str, ...], float] = {
            (cluster, component): sum(joules(cluster, n, component, at) for n in range(len(names)))
            for component in COMPONENTS
        }
        families: dict[str, dict[tuple[str, ...], float]] = {
            "kcloud_namespace_energy_joules_total": {**energy},
            "kcloud_namespace_power_watts": dict.fromkeys(energy, 100.0),
            "kcloud_cluster_energy_joules_total": {**whole},
            "kcloud_cluster_power_watts": dict.fromkeys(whole, 250.0),
            "kcloud_cluster_completeness_ratio": {(cluster,): 1.0},
            "kcloud_accelerator_power_watts": {
                (cluster, "n1", "GPU-1", "gpu", "nvidia", "H100"): 300.0,
                (cluster, "n1", "NPU-1", "npu", "furiosa", "RNGD"): 90.0,
            },
            "kcloud_accelerator_utilization_ratio": {(cluster, "n1", "GPU-1"): 0.5, (cluster, "n1", "NPU-1"): 0.25},
            "kcloud_accelerator_temperature_celsius": {(cluster, "n1", "GPU-1", "gpu"): 61.0},
        }
        clusters[cluster] = families
    return snapshot(at, clusters)


@dataclass(frozen=True)
class Kept:
    """A folder with an hour of history."""

    folder: Path
    names: tuple[str, ...]

    def job(self, dataset: str, said: Mapping[str, str], now: float = END) -> Job:
        window = {} if {"period", "start_time"} & said.keys() else {"start_time": str(T0), "end_time": str(END)}
        return Job(read_request(dataset, {**window, **said}, now), Place(self.folder), ORIGIN, now)

    async def file(self, dataset: str, said: Mapping[str, str], now: float = END) -> tuple[bytes, dict[str, Any]]:
        """The bytes of a file and its provenance."""
        out = io.BytesIO()
        close, out.close = out.close, lambda: None  # type: ignore[method-assign]  # some writers close what they write to
        about = await make(self.job(dataset, said, now), out)
        data = out.getvalue()
        close()
        return data, about


def keep(folder: Path, names: tuple[str, ...], *, gap: bool = True) -> Kept:
    """Write the hour, cycle by cycle."""

    async def write() -> None:
        history = EmbeddedHistory(folder, 1e9, HistoryState(CollectorRegistry()), clock=lambda: END)
        for at in np.arange(T0 - 285, END + 16, 15):
            history._queue.put(cycle(float(at), names, gap=gap))
        await history.close()

    asyncio.run(write())
    return Kept(folder, names)
