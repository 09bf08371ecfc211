"""AMD device-metrics-exporter pages: all gauges, names with the prefix of its examples, labels of the idle empty.

A partitioned GPU prints one row per partition; power and energy stand on the first, the others read 0.
"""

from __future__ import annotations

from collections.abc import Iterator

from kcloud_exporter.fleet.exposition import Family, go_family, page
from kcloud_exporter.fleet.signals import FULL_LOAD
from kcloud_exporter.fleet.world import Accelerator, Node, World

_MODES = {1: "spx", 2: "dpx", 4: "qpx", 8: "cpx"}
Rows = list[tuple[dict[str, str], float]]


def render_amd(world: World, cluster: str, node: str, at: float) -> str:
    """The page of the AMD exporter on one node at one time (Unix seconds)."""
    server = world.node(cluster, node)
    return page(list(_families(server, server.own("amd"), at)), ordered=True)


def _families(node: Node, devices: tuple[Accelerator, ...], at: float) -> Iterator[Family]:
    parts = [(device, number, _labels(node, device, number)) for device in devices for number in range(device.whole)]

    def primary(value: dict[str, float]) -> Rows:
        return [(labels, 0 if number else value[device.uuid]) for device, number, labels in parts]

    watts = {d.uuid: d.power.at(at) / 1000 for d in devices}
    yield go_family("amd_gpu_package_power", "gauge", "Current socket power in Watts", primary(watts))
    yield go_family("amd_gpu_power_usage", "gauge", "GPU power usage in Watts", primary(watts))
    energy = {d.uuid: float(d.power.integral(at) * 1000) for d in devices}
    text = "Accumulated energy consumed by the GPU in uJ"
    yield go_family("amd_gpu_energy_consumed", "gauge", text, primary(energy))
    busy = {d.uuid: d.load.at(at) * 100 / FULL_LOAD for d in devices}
    yield go_family("amd_gpu_gfx_activity", "gauge", "Graphics engine usage in Percentage (0-100)", primary(busy))
    used = [(labels, d.memory_used.at(at) // d.whole) for d, _, labels in parts]
    yield go_family("amd_gpu_used_vram", "gauge", "Used VRAM memory of the GPU (in MB)", used)
    total = [(labels, d.memory_mib // d.whole) for d, _, labels in parts]
    yield go_family("amd_gpu_total_vram", "gauge", "Total VRAM memory of the GPU (in MB)", total)
    hot = {d.uuid: float(36 + d.power.at(at) // 14000 + d.excess_celsius) for d in devices}
    text = "Current junction/hotspot temperature in Celsius"
    yield go_family("amd_gpu_junction_temperature", "gauge", text, primary(hot))
    text = "Health of the GPU (0 = Unhealthy | 1 = Healthy)"
    yield go_family("amd_gpu_health", "gauge", text, [(labels, int(d.healthy)) for d, _, labels in parts])
    count = [({"hostname": node.name}, float(len(parts)))]
    yield go_family("amd_gpu_nodes_total", "gauge", "Number of GPUs in the node", count)


def _labels(node: Node, device: Accelerator, number: int) -> dict[str, str]:
    handed_out = [part.pod for part in device.parts for _ in range(part.weight)]
    pod = handed_out[number] if number < len(handed_out) else None
    return {
        "card_model": device.model,
        "container": pod.container if pod else "",
        "deployment_mode": "baremetal",
        "gpu_compute_partition_type": _MODES[device.whole],
        "gpu_id": str(device.index * device.whole + number),
        "gpu_memory_partition_type": "nps1",
        "gpu_partition_id": str(number),
        "hostname": node.name,
        "job_id": "",
        "job_partition": "",
        "job_user": "",
        "namespace": pod.namespace if pod else "",
        "pod": pod.name if pod else "",
        "serial_number": device.uuid,
    }
