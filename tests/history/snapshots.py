"""Snapshots made by hand: a few clusters whose watts and joules are known at any moment."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from kcloud_exporter.model import ClusterSnapshot, Keys, Snapshot, Table

T0 = 1_795_500_000.0 // 86400 * 86400 + 10 * 3600
"""Ten o'clock of some day, UTC."""
Rows = Mapping[tuple[str, ...], float]


def table(rows: Rows) -> Table:
    return Table(Keys(list(rows)), np.array(list(rows.values()), np.float64))


def snapshot(
    timestamp: float, clusters: Mapping[str, Mapping[str, Rows]], fleet: Mapping[str, Rows] | None = None
) -> Snapshot:
    return Snapshot(
        timestamp=timestamp,
        cycle=1,
        clusters={
            name: ClusterSnapshot(name, "icn1", {family: table(rows) for family, rows in families.items()})
            for name, families in clusters.items()
        },
        fleet={family: table(rows) for family, rows in (fleet or {}).items()},
    )


def watts(series: int, timestamp: float) -> float:
    """A power that moves, different for each series."""
    return 200.0 + 10 * series + 40 * math.sin((timestamp - T0) / 500 + series)


def busy(timestamp: float, nodes: int = 3, cluster: str = "seoul-a") -> Snapshot:
    """A cluster of `nodes` nodes with a pod each; joules grow by 100 W × the number of the node."""
    age = timestamp - T0 + 3600
    names = [f"node-{n}" for n in range(nodes)]
    return snapshot(
        timestamp,
        {
            cluster: {
                "kcloud_node_power_watts": {
                    (cluster, name, "gpu"): watts(n, timestamp) for n, name in enumerate(names)
                },
                "kcloud_node_energy_joules_total": {
                    (cluster, name, "gpu"): 100.0 * (n + 1) * age for n, name in enumerate(names)
                },
                "kcloud_pod_power_watts": {
                    (cluster, name, "default", f"pod-{n}", "gpu"): watts(n, timestamp) / 2
                    for n, name in enumerate(names)
                },
                "kcloud_cluster_power_watts": {(cluster, "gpu"): sum(watts(n, timestamp) for n in range(nodes))},
                "kcloud_cluster_energy_joules_total": {
                    (cluster, "gpu"): sum(100.0 * (n + 1) * age for n in range(nodes))
                },
                "kcloud_cluster_completeness_ratio": {(cluster,): 1.0},
                "kcloud_node_meter_info": {(cluster, "node-0", "wall", "ipmi", "dcmi"): 1.0},
            }
        },
        {"kcloud_site_pue_ratio": {("icn1", "pue2", "measured"): 1.25}},
    )
