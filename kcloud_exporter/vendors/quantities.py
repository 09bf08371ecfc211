"""What a vendor table may map its series to: the closed list of quantities, in base units.

A quantity lives on one kind of entity and has physical bounds that no vendor may widen by accident:
a value outside them is rejected with a reason and never reaches a sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Entity = Literal["device", "device_sensor", "partition", "share", "node", "pod", "vm", "sensor", "facility"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One measurable thing on one kind of entity. Bounds are inclusive and in base units."""

    name: str
    entity: Entity
    low: float
    high: float


_ALL: Final = (
    Quantity("accelerator_power_watts", "device", 0.0, 5_000.0),
    Quantity("accelerator_mean_power_watts", "device", 0.0, 5_000.0),
    Quantity("accelerator_power_limit_watts", "device", 1.0, 10_000.0),
    Quantity("accelerator_utilization_ratio", "device", 0.0, 1.05),
    Quantity("accelerator_core_utilization_ratio", "device_sensor", 0.0, 1.05),
    Quantity("accelerator_engine_active_ratio", "partition", 0.0, 1.05),
    Quantity("accelerator_share_utilization_ratio", "share", 0.0, 1.05),
    Quantity("accelerator_share_allocation_ratio", "share", 0.0, 1.05),
    Quantity("accelerator_memory_used_bytes", "device", 0.0, 2.0**46),
    Quantity("accelerator_memory_total_bytes", "device", 2.0**20, 2.0**46),
    Quantity("accelerator_memory_part_bytes", "device", 0.0, 2.0**46),
    Quantity("accelerator_temperature_celsius", "device_sensor", -60.0, 250.0),
    Quantity("accelerator_clock_hertz", "device_sensor", 0.0, 1e11),
    Quantity("accelerator_healthy", "device", 0.0, 1.0),
    Quantity("node_wall_power_watts", "node", 0.0, 100_000.0),
    Quantity("node_cpu_power_watts", "node", 0.0, 10_000.0),
    Quantity("node_memory_power_watts", "node", 0.0, 5_000.0),
    Quantity("pod_cpu_power_watts", "pod", 0.0, 10_000.0),
    Quantity("pod_memory_power_watts", "pod", 0.0, 5_000.0),
    Quantity("pod_gpu_power_watts", "pod", 0.0, 50_000.0),
    Quantity("vm_cpu_power_watts", "vm", 0.0, 10_000.0),
    Quantity("vm_memory_power_watts", "vm", 0.0, 5_000.0),
    Quantity("vm_cpu_cores", "vm", 0.0, 4_096.0),
    Quantity("vm_cpu_share_ratio", "vm", 0.0, 1.05),
    Quantity("node_cpu_cores", "node", 0.0, 4_096.0),
    Quantity("hardware_temperature_celsius", "sensor", -60.0, 300.0),
    Quantity("hardware_fan_speed_rpm", "sensor", 0.0, 200_000.0),
    Quantity("hardware_voltage_volts", "sensor", -1_000.0, 1_000.0),
    Quantity("hardware_current_amperes", "sensor", -1_000.0, 1_000.0),
    Quantity("hardware_power_watts", "sensor", 0.0, 100_000.0),
    Quantity("hardware_sensor_state", "sensor", 0.0, 3.0),
    Quantity("facility_power_watts", "facility", 0.0, 1e9),
)
QUANTITIES: Final[dict[str, Quantity]] = {quantity.name: quantity for quantity in _ALL}

INVENTORIES: Final = (
    *("target", "target_node", "node_info", "pod_info", "device_info"),
    *("node_role", "node_ready", "container_info", "vm_info", "project_info"),
)
"""What else a series may tell: a target's own pod, a target's node, a node's name and address, a pod's node, and what
a device is called where the series of its numbers do not say it, what a VM or a project is called."""

METERS: Final = ("pdu", "redfish", "dcmi", "psu_input", "sensor", "platform", "psys")
"""Kinds of whole-server meter, in their default order of preference (ledger.meters changes it)."""

UNITS: Final[dict[str, tuple[str, ...]]] = {
    "watts": ("W", "mW", "uW", "kW"),
    "joules": ("J", "mJ", "uJ", "Wh", "kWh"),
    "ratio": ("ratio", "percent"),
    "bytes": ("bytes", "KiB", "MiB", "GiB"),
    "celsius": ("celsius", "millicelsius"),
    "hertz": ("Hz", "MHz"),
    "rpm": ("rpm",),
    "volts": ("V",),
    "amperes": ("A",),
}
"""The last word of a quantity's name → the units of a vendor that may become it. Other quantities take any unit."""
