"""THE table of output families: every name that a user can scrape is born here, once.

HELP, TYPE, UNIT, label order, the documentation, rules, alerts and dashboards are all drawn from these rows.
HELP names the source quantity and the ledger's rule, so that a number can be traced from the page itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

Level = Literal["accelerator", "node", "pod", "namespace", "cluster", "site", "hardware", "source", "snapshot"]

COMPONENTS: Final = ("cpu", "memory", "gpu", "npu", "tpu", "other")
"""Values of the label `component`, in the order of the ledger's columns."""

UNITS: Final = ("watts", "joules", "celsius", "bytes", "hertz", "ratio", "rpm", "volts", "amperes", "seconds")

ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
"""How a label value, and a HELP text of OpenMetrics, is written."""
_SPECIAL: Final = re.compile(r'[\\"\n]|[^\x00-\x7f]')


def escape(value: str) -> str:
    """A label value as it stands between quotes; lone surrogates, which are no UTF-8, become `?`."""
    if not _SPECIAL.search(value):
        return value
    return value.translate(ESCAPES).encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Family:
    """One output family. `str(family)` is its name, so that queries can be written with the symbol itself."""

    name: str
    type: Literal["gauge", "counter"]
    help: str
    labels: tuple[str, ...]
    level: Level
    stability: Literal["stable", "experimental"] = "stable"

    def __str__(self) -> str:
        return self.name

    def series(self, labels: Sequence[str]) -> str:
        """A series as the page prints it, without its value: `name{label="value",...}`."""
        return self.name + braced(self.labels, labels)

    @property
    def unit(self) -> str:
        """The OpenMetrics unit: the last word of the family name when it is a unit, else empty."""
        word = self.name.removesuffix("_total").rsplit("_", 1)[-1]
        return word if word in UNITS else ""


def braced(names: Sequence[str], values: Sequence[str]) -> str:
    """Labels as the page prints them behind the name: `{label="value",...}`, or nothing where there are none."""
    if not names:
        return ""
    if _SPECIAL.search("".join(values)):
        values = [escape(value) for value in values]
    return _form(tuple(names)) % tuple(values)


@cache
def _form(names: tuple[str, ...]) -> str:
    """What a brace with these names looks like before its values are put in."""
    return "{" + ",".join(f'{name}="%s"' for name in names) + "}"


_DEVICE = ("cluster", "node", "uuid")
_DEVICE_NAMED = (*_DEVICE, "kind", "vendor", "model")
_SENSOR = ("cluster", "node", "sensor")

ACCELERATOR_INFO = Family(
    "kcloud_accelerator_info",
    "gauge",
    "Constant 1 that carries what is known of one accelerator. Source: labels of its exporter.",
    (*_DEVICE, "index", "kind", "vendor", "model", "driver_version", "pci_bus_id"),
    "accelerator",
)
ACCELERATOR_POWER = Family(
    "kcloud_accelerator_power_watts",
    "gauge",
    "Power of one whole accelerator, counted once however many rows its exporter prints. Source: "
    "DCGM_FI_DEV_POWER_USAGE, furiosa_npu_hw_power, rbln_npu_power, kepler_node_gpu_watts and others.",
    _DEVICE_NAMED,
    "accelerator",
)
ACCELERATOR_ENERGY = Family(
    "kcloud_accelerator_energy_joules_total",
    "counter",
    "Energy of one whole accelerator since it was first seen. Source: DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION where it "
    "is exported, otherwise the integral of kcloud_accelerator_power_watts.",
    _DEVICE_NAMED,
    "accelerator",
)
ACCELERATOR_POWER_LIMIT = Family(
    "kcloud_accelerator_power_limit_watts",
    "gauge",
    "Power limit of one accelerator. Source: DCGM_FI_DEV_POWER_MGMT_LIMIT and others.",
    _DEVICE,
    "accelerator",
)
ACCELERATOR_UTILIZATION = Family(
    "kcloud_accelerator_utilization_ratio",
    "gauge",
    "Share of time in which one accelerator was busy, 0 to 1; the mean over its cores or slices. Source: "
    "DCGM_FI_DEV_GPU_UTIL, furiosa_npu_core_utilization, rbln_npu_utilization and others.",
    _DEVICE,
    "accelerator",
)
ACCELERATOR_CORE_UTILIZATION = Family(
    "kcloud_accelerator_core_utilization_ratio",
    "gauge",
    "Share of time in which one core of an accelerator was busy, 0 to 1, where its exporter tells cores apart. Source: "
    "furiosa_npu_core_utilization.",
    (*_DEVICE, "core"),
    "accelerator",
    "experimental",
)
ACCELERATOR_MEMORY_USED = Family(
    "kcloud_accelerator_memory_used_bytes",
    "gauge",
    "Device memory in use, summed over partitions. Source: DCGM_FI_DEV_FB_USED, rbln_npu_memory_used and others.",
    _DEVICE,
    "accelerator",
)
ACCELERATOR_MEMORY_TOTAL = Family(
    "kcloud_accelerator_memory_total_bytes",
    "gauge",
    "Device memory in all. Source: rbln_npu_memory_total and others; DCGM framebuffer used + free + reserved.",
    _DEVICE,
    "accelerator",
)
ACCELERATOR_TEMPERATURE = Family(
    "kcloud_accelerator_temperature_celsius",
    "gauge",
    "Temperature of one accelerator at a sensor. Source: DCGM_FI_DEV_GPU_TEMP, furiosa_npu_hw_temperature and others.",
    (*_DEVICE, "sensor"),
    "accelerator",
)
ACCELERATOR_CLOCK = Family(
    "kcloud_accelerator_clock_hertz",
    "gauge",
    "Clock frequency of one accelerator. Source: DCGM_FI_DEV_SM_CLOCK, furiosa_npu_core_frequency and others.",
    (*_DEVICE, "clock"),
    "accelerator",
)
ACCELERATOR_HEALTHY = Family(
    "kcloud_accelerator_healthy",
    "gauge",
    "1 while the exporter calls the accelerator healthy, 0 when not. Source: furiosa_npu_alive, rbln_npu_health "
    "(inverted), DCGM_FI_DEV_ROW_REMAP_FAILURE and fatal DCGM_FI_DEV_XID_ERRORS.",
    _DEVICE,
    "accelerator",
)
ACCELERATOR_IDLE_POWER = Family(
    "kcloud_accelerator_idle_power_watts",
    "gauge",
    "Power of an accelerator (or the holder's part of it) that a pod holds while it does no work.",
    (*_DEVICE, "namespace", "pod"),
    "accelerator",
)
ACCELERATOR_ALLOCATION = Family(
    "kcloud_accelerator_allocation_ratio",
    "gauge",
    "Part of one accelerator that a container holds: 1 for a whole device, slices or cores over all for a "
    "partition, equal parts under time slicing.",
    (*_DEVICE, "namespace", "pod", "container"),
    "accelerator",
)

NODE_POWER = Family(
    "kcloud_node_power_watts",
    "gauge",
    "Power of one node by component; the sum over components is the node. other = whole-server meter minus the "
    "measured components, absent without such a meter.",
    ("cluster", "node", "component"),
    "node",
)
NODE_ENERGY = Family(
    "kcloud_node_energy_joules_total",
    "counter",
    "Energy of one node by component: the integral of the ledger's watts.",
    ("cluster", "node", "component"),
    "node",
)
NODE_WALL_POWER = Family(
    "kcloud_node_wall_power_watts",
    "gauge",
    "Reading of the selected whole-server meter (see kcloud_node_meter_info). Source: "
    "ipmi_dcmi_power_consumption_watts, kepler_platform_watts, ipmi_power_watts and others.",
    ("cluster", "node"),
    "node",
)
NODE_RESIDUAL = Family(
    "kcloud_node_power_residual_watts",
    "gauge",
    "Whole-server meter minus the sum of measured components, signed: below zero one of the meters is wrong.",
    ("cluster", "node"),
    "node",
)
NODE_UNATTRIBUTED = Family(
    "kcloud_node_unattributed_power_watts",
    "gauge",
    "Power of a node's component that belongs to no pod and no VM: idle, system and free accelerators.",
    ("cluster", "node", "component"),
    "node",
)
NODE_METER_INFO = Family(
    "kcloud_node_meter_info",
    "gauge",
    "Constant 1: which exporter's series was chosen for a quantity of a node.",
    ("cluster", "node", "quantity", "vendor", "series"),
    "node",
)

POD_POWER = Family(
    "kcloud_pod_power_watts",
    "gauge",
    "Power that belongs to one pod by component. Source: kepler_pod_cpu_watts, kepler_container_*_joules_total, "
    "and the pod's part of the accelerators that it holds.",
    ("cluster", "node", "namespace", "pod", "component"),
    "pod",
)
POD_ENERGY = Family(
    "kcloud_pod_energy_joules_total",
    "counter",
    "Energy that belongs to one pod by component: the integral of the ledger's watts.",
    ("cluster", "node", "namespace", "pod", "component"),
    "pod",
)
VM_POWER = Family(
    "kcloud_vm_power_watts",
    "gauge",
    "Power that belongs to one VM by component; a VM that is a Kubernetes node is left out, because its pods are "
    "counted. Source: kepler_vm_cpu_watts, or the VM's CPU time (libvirt_domain_info_cpu_time_seconds_total) of the "
    "node's, and the accelerators that were handed to it.",
    ("cluster", "node", "project", "vm", "component"),
    "pod",
)
VM_ENERGY = Family(
    "kcloud_vm_energy_joules_total",
    "counter",
    "Energy that belongs to one VM by component: the integral of the ledger's watts.",
    ("cluster", "node", "project", "vm", "component"),
    "pod",
)

WORK_UNITS = Family(
    "kcloud_work_units_total",
    "counter",
    "Work that one pod has done since it was first seen, by unit. Source: the counters that work_units names in the "
    "configuration, for example vllm:generation_tokens_total.",
    ("cluster", "namespace", "pod", "unit"),
    "pod",
)

NAMESPACE_POWER = Family(
    "kcloud_namespace_power_watts",
    "gauge",
    "Power of all pods of one namespace by component.",
    ("cluster", "namespace", "component"),
    "namespace",
)
NAMESPACE_ENERGY = Family(
    "kcloud_namespace_energy_joules_total",
    "counter",
    "Energy of all pods of one namespace by component, those that have ended included.",
    ("cluster", "namespace", "component"),
    "namespace",
)
NAMESPACE_EMISSIONS = Family(
    "kcloud_namespace_emissions_grams_total",
    "counter",
    "Grams of CO2 of a namespace's energy, each moment with the carbon intensity that its site had then.",
    ("cluster", "namespace"),
    "namespace",
)
NAMESPACE_COST = Family(
    "kcloud_namespace_cost_total",
    "counter",
    "Price of a namespace's energy, each moment at the tariff that its site had then.",
    ("cluster", "namespace", "currency"),
    "namespace",
)
NAMESPACE_ENERGY_PER_WORK = Family(
    "kcloud_namespace_energy_per_work_joules",
    "gauge",
    "Energy of all pods of one namespace per unit of work that they did, over the last 5 minutes. Absent when no work "
    "was done, and while the energy of a pod that works is unknown.",
    ("cluster", "namespace", "unit"),
    "namespace",
)

CLUSTER_POWER = Family(
    "kcloud_cluster_power_watts",
    "gauge",
    "Power of all nodes of one cluster by component.",
    ("cluster", "component"),
    "cluster",
)
CLUSTER_ENERGY = Family(
    "kcloud_cluster_energy_joules_total",
    "counter",
    "Energy of all nodes of one cluster by component.",
    ("cluster", "component"),
    "cluster",
)
ENERGY_GAP = Family(
    "kcloud_energy_gap_seconds_total",
    "counter",
    "Time that was not integrated, because nobody saw what was drawn: longer than max_staleness without a cycle.",
    ("cluster",),
    "cluster",
)
CLUSTER_NODES = Family(
    "kcloud_cluster_nodes",
    "gauge",
    "Nodes by state: measured (nothing expected is missing), partial, or missing (known, but without any reading).",
    ("cluster", "state"),
    "cluster",
)
CLUSTER_COMPLETENESS = Family(
    "kcloud_cluster_completeness_ratio",
    "gauge",
    "Nodes measured over nodes known. Below 1 every total of the cluster is a lower bound.",
    ("cluster",),
    "cluster",
)

SITE_FACILITY_POWER = Family(
    "kcloud_site_facility_power_watts",
    "gauge",
    "Facility power of one site from its configured meters, by ISO/IEC 30134-2 category.",
    ("site", "category"),
    "site",
)
SITE_FACILITY_ENERGY = Family(
    "kcloud_site_facility_energy_joules_total",
    "counter",
    "Facility energy of one site: the integral of kcloud_site_facility_power_watts.",
    ("site", "category"),
    "site",
)
SITE_IT_POWER = Family(
    "kcloud_site_it_power_watts", "gauge", "Power of all nodes of the site's clusters.", ("site",), "site"
)
SITE_IT_ENERGY = Family(
    "kcloud_site_it_energy_joules_total",
    "counter",
    "Energy of all nodes of the site's clusters: the integral of kcloud_site_it_power_watts.",
    ("site",),
    "site",
)
SITE_PUE = Family(
    "kcloud_site_pue_ratio",
    "gauge",
    "Facility power over IT power of this cycle. Absent when a side is unknown or incomplete, never below 1; "
    "method=static only where a constant is configured.",
    ("site", "category", "method"),
    "site",
)
SITE_CARBON_INTENSITY = Family(
    "kcloud_site_carbon_intensity_grams_per_kwh",
    "gauge",
    "Carbon intensity of the site's electricity now, as configured or read from its series.",
    ("site",),
    "site",
)
SITE_PRICE = Family(
    "kcloud_site_electricity_price_per_kwh",
    "gauge",
    "Price of the site's electricity now, by its tariff.",
    ("site", "currency"),
    "site",
)

HARDWARE_TEMPERATURE = Family(
    "kcloud_hardware_temperature_celsius",
    "gauge",
    "Temperature sensor of a server. Source: ipmi_temperature_celsius, node_hwmon_temp_celsius.",
    _SENSOR,
    "hardware",
)
HARDWARE_FAN_SPEED = Family(
    "kcloud_hardware_fan_speed_rpm",
    "gauge",
    "Fan of a server. Source: ipmi_fan_speed_rpm, node_hwmon_fan_rpm.",
    _SENSOR,
    "hardware",
)
HARDWARE_VOLTAGE = Family(
    "kcloud_hardware_voltage_volts",
    "gauge",
    "Voltage sensor of a server. Source: ipmi_voltage_volts, node_hwmon_in_volts.",
    _SENSOR,
    "hardware",
)
HARDWARE_CURRENT = Family(
    "kcloud_hardware_current_amperes",
    "gauge",
    "Current sensor of a server. Source: ipmi_current_amperes, node_hwmon_curr_amps.",
    _SENSOR,
    "hardware",
)
HARDWARE_POWER = Family(
    "kcloud_hardware_power_watts",
    "gauge",
    "Power sensor of a server as its exporter names it; scopes overlap, so never add them up. Source: "
    "ipmi_power_watts, ipmi_dcmi_power_consumption_watts, node_hwmon_power_watt.",
    _SENSOR,
    "hardware",
)
HARDWARE_SENSOR_STATE = Family(
    "kcloud_hardware_sensor_state",
    "gauge",
    "State that the controller gives a sensor: 0 nominal, 1 warning, 2 critical. Source: ipmi_*_state.",
    _SENSOR,
    "hardware",
)

_SOURCE = ("cluster", "source")
SOURCE_UP = Family(
    "kcloud_source_up",
    "gauge",
    "1 when the source's last answer was good, 0 when it failed.",
    _SOURCE,
    "source",
)
SOURCE_LAST_SUCCESS = Family(
    "kcloud_source_last_success_timestamp_seconds",
    "gauge",
    "Unix time of the source's last good answer.",
    _SOURCE,
    "source",
)
SOURCE_DURATION = Family(
    "kcloud_source_duration_seconds", "gauge", "How long the source's last answer took.", _SOURCE, "source"
)
SOURCE_SAMPLES = Family(
    "kcloud_source_samples",
    "gauge",
    "Samples that a vendor table names in the source's last good answer.",
    _SOURCE,
    "source",
)
SOURCE_CLOCK_SKEW = Family(
    "kcloud_source_clock_skew_seconds",
    "gauge",
    "Newest time that the source's last good answer carries, minus our own when the cycle began: below zero by the age "
    "of its samples, above zero where its clock is ahead. Absent where samples carry no times.",
    _SOURCE,
    "source",
)
SOURCE_FAILURES = Family(
    "kcloud_source_failures_total",
    "counter",
    "Failed answers of a source by reason.",
    (*_SOURCE, "reason"),
    "source",
)
SAMPLES_REJECTED = Family(
    "kcloud_samples_rejected_total",
    "counter",
    "Samples that never reached a sum, by reason: not finite, sentinel, negative, out of bounds, stale and others.",
    (*_SOURCE, "reason"),
    "source",
)
CLUSTER_INFO_NAME: Final = "kcloud_cluster_info"

SNAPSHOT_TIMESTAMP = Family(
    "kcloud_snapshot_timestamp_seconds",
    "gauge",
    "Unix time of the cycle that this page shows.",
    (),
    "snapshot",
)
SNAPSHOT_SERIES = Family("kcloud_snapshot_series", "gauge", "Series of the ledger on this page.", (), "snapshot")
SNAPSHOT_AGE = Family(
    "kcloud_snapshot_age_seconds", "gauge", "Age of the snapshot at the moment of the scrape.", (), "snapshot"
)


def cluster_info(labels: tuple[str, ...]) -> Family:
    """The family `kcloud_cluster_info`, whose labels are the configured ones of all clusters."""
    return Family(
        CLUSTER_INFO_NAME,
        "gauge",
        "Constant 1 that carries a cluster's site and its configured labels.",
        ("cluster", "site", *labels),
        "cluster",
    )


FAMILIES: Final[dict[str, Family]] = {
    family.name: family for family in list(globals().values()) if isinstance(family, Family)
}
LEVELS: Final[tuple[Level, ...]] = (
    "accelerator",
    "node",
    "pod",
    "namespace",
    "cluster",
    "site",
    "hardware",
    "source",
    "snapshot",
)
