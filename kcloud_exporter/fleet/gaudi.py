"""Intel Gaudi metric exporter pages: empty HELP, milliwatts, and names whose unit is not that of their number."""

from __future__ import annotations

from kcloud_exporter.fleet.exposition import go_family, page
from kcloud_exporter.fleet.signals import FULL_LOAD
from kcloud_exporter.fleet.world import Accelerator, World

_MIB = 1024 * 1024


def render_gaudi(world: World, cluster: str, node: str, at: float) -> str:
    """The page of the Gaudi exporter on one node at one time (Unix seconds). It names no host."""
    devices = [(_labels(device), _values(device, at)) for device in world.node(cluster, node).own("intel")]
    names = sorted({name for _, values in devices for name in values})
    return page(
        [go_family(name, "gauge", "", [(labels, values[name]) for labels, values in devices]) for name in names],
        ordered=True,
    )


def _values(device: Accelerator, at: float) -> dict[str, float]:
    power, memory = device.power.at(at), device.memory_used.at(at) * _MIB
    return {
        "accelerator_power_usage_watts": power,
        "accelerator_sm_clock_hertz": 1650,
        "habanalabs_clock_soc_mhz": 1650,
        "habanalabs_memory_total_bytes": device.memory_mib * _MIB,
        "habanalabs_memory_used_bytes": memory,
        "habanalabs_power_default_limit_mW": device.full_watts * 1000,
        "habanalabs_power_mW": power,
        "habanalabs_temperature_onchip": 31 + power // 15000 + device.excess_celsius,
        "habanalabs_utilization": device.load.at(at) * 100 / FULL_LOAD,
    }


def _labels(device: Accelerator) -> dict[str, str]:
    pod = device.parts[0].pod
    serial = f"AN2304{device.index:04d}"
    return {
        "Serial": serial,
        "UUID": device.uuid,
        "device": serial,
        "driver": "1.23.0-695",
        "fit": "hl-gaudi2-1.23.0-fw-61.0.0",
        "id": str(device.index),
        "pod_name": pod.name if pod else "",
        "pod_namespace": pod.namespace if pod else "",
        "spi": "hl-gaudi2-1.23.0-fw-61.0.0",
    }
