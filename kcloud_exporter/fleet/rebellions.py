"""rbln-metrics-exporter pages: legacy names with a colon or the new ones; an idle device has empty pod labels.

`health` is inverted: 0 is well.
"""

from __future__ import annotations

from typing import Final

from kcloud_exporter.fleet.exposition import go_family, page
from kcloud_exporter.fleet.signals import FULL_LOAD
from kcloud_exporter.fleet.world import Accelerator, Node, World

_NAMES: Final = {  # meaning -> (legacy name, new name, help)
    "power": ("CARD_POWER", "power", "Card power usage (W)"),
    "temperature": ("TEMPERATURE", "temperature", "NPU temperature (C)"),
    "used": ("DRAM_USED", "memory_used", "DRAM used (bytes)"),
    "total": ("DRAM_TOTAL", "memory_total", "DRAM total (bytes)"),
    "utilization": ("UTILIZATION", "utilization", "Utilization (%)"),
    "health": ("HEALTH", "health", "NPU health status"),
}
_MIB: Final = 1024 * 1024


def render_rebellions(world: World, cluster: str, node: str, at: float) -> str:
    """The page of the Rebellions exporter on one node at one time (Unix seconds)."""
    server = world.node(cluster, node)
    devices = [(_labels(server, device), _values(device, at)) for device in server.own("rebellions")]
    families = []
    for meaning, (legacy, new, text) in _NAMES.items():
        name = f"rbln_npu_{new}" if server.rebellions_names == "new" else f"RBLN_DEVICE_STATUS:{legacy}"
        families.append(go_family(name, "gauge", text, [(labels, v[meaning]) for labels, v in devices]))
    return page(families, ordered=True)


def _values(device: Accelerator, at: float) -> dict[str, float]:
    return {
        "power": device.power.at(at) / 1000,
        "temperature": 33 + device.power.at(at) // 6000 + device.excess_celsius,
        "used": device.memory_used.at(at) * _MIB,
        "total": device.memory_mib * _MIB,
        "utilization": device.load.at(at) * 100 / FULL_LOAD,
        "health": int(not device.healthy),
    }


def _labels(node: Node, device: Accelerator) -> dict[str, str]:
    pod = device.parts[0].pod
    return {
        "card": device.model,
        "container": pod.container if pod else "",
        "deviceID": "1250",
        "driver_version": "2.0.1",
        "firmware_version": "2.0.1",
        "hostname": node.name,
        "name": f"rbln{device.index}",
        "namespace": pod.namespace if pod else "",
        "pod": pod.name if pod else "",
        "uuid": device.uuid,
    }
