"""Huawei Ascend npu-exporter pages (mind-cluster): a chip names no host, the idle has empty labels."""

from __future__ import annotations

from kcloud_exporter.fleet.exposition import go_family, page
from kcloud_exporter.fleet.signals import FULL_LOAD
from kcloud_exporter.fleet.world import Accelerator, World


def render_ascend(world: World, cluster: str, node: str, at: float) -> str:
    """The page of the Ascend exporter on one node at one time (Unix seconds)."""
    chips = world.node(cluster, node).own("huawei")
    rows = [(_labels(chip), _values(chip, at)) for chip in chips]
    families = [
        go_family("machine_npu_nums", "gauge", "Amount of npu installed on the machine.", [({}, len(chips))]),
        *(
            go_family(f"npu_chip_info_{name}", "gauge", text, [(labels, values[name]) for labels, values in rows])
            for name, text in _TEXTS.items()
        ),
    ]
    return page(families, ordered=True)


_TEXTS = {
    "aicore_current_freq": "the npu ai core current frequency",
    "hbm_total_memory": "the npu hbm total memory",
    "hbm_used_memory": "the npu hbm used memory",
    "health_status": "the npu health status",
    "power": "the npu power",
    "temperature": "the npu temperature",
    "utilization": "the ai core utilization",
}


def _values(chip: Accelerator, at: float) -> dict[str, float]:
    return {
        "aicore_current_freq": 1650,
        "hbm_total_memory": chip.memory_mib,
        "hbm_used_memory": chip.memory_used.at(at),
        "health_status": int(chip.healthy),
        "power": chip.power.at(at) / 1000,
        "temperature": 34 + chip.power.at(at) // 12000 + chip.excess_celsius,
        "utilization": chip.load.at(at) * 100 / FULL_LOAD,
    }


def _labels(chip: Accelerator) -> dict[str, str]:
    pod = chip.parts[0].pod
    return {
        "container_name": pod.container if pod else "",
        "id": str(chip.index),
        "model_name": chip.model,
        "namespace": pod.namespace if pod else "",
        "pcie_bus_info": f"0000:{0x61 + 0x20 * chip.index:02X}:00.0",
        "pod_name": pod.name if pod else "",
        "vdie_id": chip.uuid,
    }
