"""Pages to measure with: one cluster as a Prometheus would federate it, of any size, changing each cycle.

Each node has eight GPUs (dcgm-exporter, nine series each), Kepler (node zones and one pod per GPU) and a BMC
(DCMI and sensors): about a hundred series a node with ten labels or so, every line with its timestamp.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

GPUS = 8
_DCGM = (
    ("DCGM_FI_DEV_POWER_USAGE", 350.0),
    ("DCGM_FI_DEV_GPU_UTIL", 70.0),
    ("DCGM_FI_DEV_MEM_COPY_UTIL", 40.0),
    ("DCGM_FI_DEV_GPU_TEMP", 60.0),
    ("DCGM_FI_DEV_SM_CLOCK", 1600.0),
    ("DCGM_FI_DEV_MEM_CLOCK", 2600.0),
    ("DCGM_FI_DEV_FB_USED", 40_000.0),
    ("DCGM_FI_DEV_FB_FREE", 40_000.0),
    ("DCGM_FI_DEV_XID_ERRORS", 0.0),
)
_IPMI = ("Inlet Temp", "Exhaust Temp", "CPU1 Temp", "CPU2 Temp", "DIMM Temp", "NVMe Temp")


@dataclass(frozen=True, slots=True)
class Series:
    """Raw series texts, and the level around which each one's value moves."""

    keys: list[str]
    levels: list[float]


def series_per_node() -> int:
    """How many series one simulated node has."""
    return len(cluster_series(1).keys)


def cluster_series(nodes: int) -> Series:
    """All series of a cluster of `nodes` nodes."""
    described = [pair for node in range(nodes) for pair in _node(node)]
    return Series([key for key, _ in described], [level for _, level in described])


def with_new_pods(series: Series, part: float, cycle: int) -> int:
    """Replace the pods of a part of the nodes, other ones each cycle, in place. Returns how many series are new."""
    width = series_per_node()
    nodes = len(series.keys) // width
    changed = [(cycle * max(1, round(nodes * part)) + at) % nodes for at in range(max(1, round(nodes * part)))]
    new = 0
    for node in changed:
        keys = [key for key, _ in _node(node, cycle)]
        new += sum(a != b for a, b in zip(keys, series.keys[node * width : (node + 1) * width], strict=True))
        series.keys[node * width : (node + 1) * width] = keys
    return new


def _node(number: int, generation: int = 0) -> Iterator[tuple[str, float]]:
    name = f"gpu-node-{number:05d}"
    for gpu in range(GPUS):
        pod = f"trainer-{number:05d}-{gpu}-{generation}"
        labels = (
            f'{{DCGM_FI_DRIVER_VERSION="570.124.06",Hostname="{name}",UUID="GPU-{number:08x}-8a0e-4c1b-9d8e-{gpu:012x}",'
            f'device="nvidia{gpu}",exported_container="main",exported_namespace="team-{number % 40}",'
            f'exported_pod="{pod}",gpu="{gpu}",instance="{name}:9400",job="dcgm-exporter",'
            f'modelName="NVIDIA H100 80GB HBM3",pci_bus_id="00000000:{gpu:02X}:00.0"}}'
        )
        for metric, level in _DCGM:
            yield metric + labels, level
        for zone, watts in (("package", 25.0), ("dram", 4.0)):
            yield (
                (
                    f'kepler_pod_cpu_watts{{instance="{name}:28282",job="kepler",node_name="{name}",'
                    f'pod_id="{number:08x}-1538-476b-{generation:04x}-{gpu:012x}",pod_name="{pod}",'
                    f'pod_namespace="team-{number % 40}",state="running",zone="{zone}"}}'
                ),
                watts,
            )
    for zone, watts in (("package", 320.0), ("dram", 60.0), ("core", 250.0)):
        yield (
            (
                f'kepler_node_cpu_watts{{instance="{name}:28282",job="kepler",node_name="{name}",'
                f'path="aggregated-{zone}",zone="{zone}"}}'
            ),
            watts,
        )
    bmc = f'instance="{name}",job="ipmi"'
    yield f"ipmi_dcmi_power_consumption_watts{{{bmc}}}", 4200.0
    for at, sensor in enumerate(_IPMI):
        yield f'ipmi_temperature_celsius{{id="{at}",{bmc},name="{sensor}"}}', 40.0


def body(series: Series, *, cycle: int, timestamp: float) -> bytes:
    """One federated page of the cluster: the same series, values that moved, a new timestamp on every line."""
    random = np.random.default_rng(cycle)
    values = np.asarray(series.levels) * random.uniform(0.95, 1.05, len(series.levels))
    stamp = f" {int(timestamp * 1000)}\n"
    return "".join(
        f"{key} {value:.6g}{stamp}" for key, value in zip(series.keys, values.tolist(), strict=True)
    ).encode()
