"""Resources: the things that the API lists, and which output family fills which field. Data, not code.

A `Number` takes the rows of a family that belong to a thing (the key labels are equal) and combines them: node
`gpu_power_watts` is `kcloud_node_power_watts{component="gpu"}`, and `power_watts` the sum over all components.
A `Text` takes a label. A number that nobody reports is null in the answer, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import COMPONENTS, FAMILIES
from kcloud_exporter.model import FACTS

Group = Literal["", "power", "metrics"]
"""Fields that `include_power=false` or `include_metrics=false` leaves out; the empty group always stands."""

FACT: Final = "fact:"
"""Before the name of a fact where a family's name could stand."""
_LATER: Final[dict[str, tuple[str, ...]]] = dict.fromkeys(
    ("kcloud_vm_power_watts", "kcloud_vm_energy_joules_total"), ("cluster", "node", "project", "vm", "component")
)
"""Labels of families that a snapshot may carry although the catalogue of this version has no row for them."""


def labels_of(family: str) -> tuple[str, ...]:
    """The labels of the rows of a family or fact."""
    if family.startswith(FACT):
        return FACTS[family.removeprefix(FACT)]
    known = FAMILIES.get(family)
    return known.labels if known is not None else _LATER[family]


@dataclass(frozen=True, slots=True)
class Number:
    """A field with a number. `pick` = (label, value) chooses rows, `scale` turns base units into the field's unit."""

    field: str
    family: str
    help: str
    pick: tuple[str, str] | None = None
    combine: Literal["sum", "max", "mean"] = "sum"
    scale: float = 1.0
    group: Group = "metrics"
    form: Literal["number", "count", "flag"] = "number"


@dataclass(frozen=True, slots=True)
class Text:
    """A field with a label's value, taken from a row of a family (that `pick` chooses)."""

    field: str
    family: str
    label: str
    help: str
    pick: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of thing. It exists while one of the families in `seen_in` has a value for its key."""

    name: str
    key: tuple[str, ...]
    seen_in: tuple[str, ...]
    texts: tuple[Text, ...]
    numbers: tuple[Number, ...]
    order: tuple[str, ...] = ()
    """Key labels and texts by which a list is sorted, before the key itself."""
    named_by: str = ""
    """A key label without which a row is no such thing: the holder of a device that has no namespace is a VM."""


def _power(family: str, energy: str, *, of: str) -> tuple[Number, ...]:
    """Total power, power by component, and energy, of families that carry the label `component`."""
    return (
        Number("power_watts", family, f"Power of the {of}: the sum of its components.", group="power"),
        *(
            Number(f"{c}_power_watts", family, f"Its power in the component {c}.", ("component", c), group="power")
            for c in COMPONENTS
        ),
        Number("energy_joules", energy, f"Energy of the {of} since it was first seen.", group="power"),
    )


ACCELERATORS: Final = Resource(
    "accelerators",
    ("cluster", "node", "uuid"),
    (catalogue.ACCELERATOR_INFO.name, catalogue.ACCELERATOR_POWER.name),
    (
        Text("index", catalogue.ACCELERATOR_INFO.name, "index", "Number of the device on its node."),
        Text("kind", catalogue.ACCELERATOR_INFO.name, "kind", "gpu, npu or tpu."),
        Text("vendor", catalogue.ACCELERATOR_INFO.name, "vendor", "Who made it."),
        Text("model", catalogue.ACCELERATOR_INFO.name, "model", "Model name as its exporter prints it."),
        Text("driver_version", catalogue.ACCELERATOR_INFO.name, "driver_version", "Version of its driver."),
        Text("pci_bus_id", catalogue.ACCELERATOR_INFO.name, "pci_bus_id", "Its place on the PCI bus."),
    ),
    (
        Number("power_watts", catalogue.ACCELERATOR_POWER.name, "Power of the whole device.", group="power"),
        Number("power_limit_watts", catalogue.ACCELERATOR_POWER_LIMIT.name, "Its power limit.", group="power"),
        Number(
            "energy_joules",
            catalogue.ACCELERATOR_ENERGY.name,
            "Energy of the device since it was first seen.",
            group="power",
        ),
        Number(
            "idle_power_watts",
            catalogue.ACCELERATOR_IDLE_POWER.name,
            "Power that pods hold while they do no work on it.",
            group="power",
        ),
        Number(
            "utilization_percent",
            catalogue.ACCELERATOR_UTILIZATION.name,
            "Part of the time in which it was busy.",
            scale=100.0,
        ),
        Number("memory_used_bytes", catalogue.ACCELERATOR_MEMORY_USED.name, "Device memory in use."),
        Number("memory_total_bytes", catalogue.ACCELERATOR_MEMORY_TOTAL.name, "Device memory in all."),
        Number(
            "temperature_celsius",
            catalogue.ACCELERATOR_TEMPERATURE.name,
            "Highest temperature of its sensors.",
            combine="max",
        ),
        Number(
            "memory_temperature_celsius",
            catalogue.ACCELERATOR_TEMPERATURE.name,
            "Temperature of its memory.",
            ("sensor", "memory"),
            "max",
        ),
        Number("clock_hertz", catalogue.ACCELERATOR_CLOCK.name, "Highest of its clocks.", combine="max"),
        Number(
            "healthy",
            catalogue.ACCELERATOR_HEALTHY.name,
            "Whether its exporter calls it healthy.",
            group="",
            form="flag",
        ),
        Number(
            "allocation_ratio",
            catalogue.ACCELERATOR_ALLOCATION.name,
            "Part of the device that containers hold.",
            group="",
        ),
    ),
    order=("cluster", "node", "index"),
)

NODES: Final = Resource(
    "nodes",
    ("cluster", "node"),
    (
        catalogue.NODE_POWER.name,
        catalogue.NODE_WALL_POWER.name,
        catalogue.ACCELERATOR_INFO.name,
        catalogue.HARDWARE_TEMPERATURE.name,
        catalogue.HARDWARE_FAN_SPEED.name,
        catalogue.HARDWARE_POWER.name,
        f"{FACT}node_state",
    ),
    (
        Text("state", f"{FACT}node_state", "state", "measured, partial (a part is not measured) or missing."),
        Text("role", f"{FACT}node_role", "role", "Its role in Kubernetes."),
        Text(
            "meter",
            catalogue.NODE_METER_INFO.name,
            "series",
            "Series of the selected whole-server meter.",
            ("quantity", "wall_power_watts"),
        ),
    ),
    (
        *_power(catalogue.NODE_POWER.name, catalogue.NODE_ENERGY.name, of="node"),
        Number("wall_power_watts", catalogue.NODE_WALL_POWER.name, "Reading of the whole-server meter.", group="power"),
        Number(
            "residual_power_watts",
            catalogue.NODE_RESIDUAL.name,
            "Whole-server meter minus measured components, signed.",
            group="power",
        ),
        Number(
            "unattributed_power_watts",
            catalogue.NODE_UNATTRIBUTED.name,
            "Power that belongs to no pod and no VM.",
            group="power",
        ),
        Number("ready", f"{FACT}node_ready", "Whether Kubernetes calls it ready.", group="", form="flag"),
        Number(
            "gpu_count", catalogue.ACCELERATOR_INFO.name, "GPUs of the node.", ("kind", "gpu"), group="", form="count"
        ),
        Number(
            "npu_count", catalogue.ACCELERATOR_INFO.name, "NPUs of the node.", ("kind", "npu"), group="", form="count"
        ),
        Number(
            "accelerator_utilization_percent",
            catalogue.ACCELERATOR_UTILIZATION.name,
            "Mean utilisation of its accelerators.",
            combine="mean",
            scale=100.0,
        ),
        Number("accelerator_memory_used_bytes", catalogue.ACCELERATOR_MEMORY_USED.name, "Device memory in use."),
        Number("accelerator_memory_total_bytes", catalogue.ACCELERATOR_MEMORY_TOTAL.name, "Device memory in all."),
        Number(
            "accelerator_temperature_celsius",
            catalogue.ACCELERATOR_TEMPERATURE.name,
            "Highest temperature of its accelerators.",
            combine="max",
        ),
        Number(
            "temperature_celsius",
            catalogue.HARDWARE_TEMPERATURE.name,
            "Highest temperature of the server's sensors.",
            combine="max",
        ),
    ),
    order=("cluster", "node"),
)

PODS: Final = Resource(
    "pods",
    ("cluster", "node", "namespace", "pod"),
    (catalogue.POD_POWER.name, f"{FACT}pod"),
    (
        Text("owner_kind", f"{FACT}pod", "owner_kind", "Kind of what created it, such as Job or StatefulSet."),
        Text("owner_name", f"{FACT}pod", "owner_name", "Name of what created it."),
    ),
    (*_power(catalogue.POD_POWER.name, catalogue.POD_ENERGY.name, of="pod"),),
    order=("cluster", "namespace", "pod"),
)

NAMESPACES: Final = Resource(
    "namespaces",
    ("cluster", "namespace"),
    (catalogue.NAMESPACE_POWER.name,),
    (),
    (
        *_power(catalogue.NAMESPACE_POWER.name, catalogue.NAMESPACE_ENERGY.name, of="namespace"),
        Number(
            "emissions_grams",
            catalogue.NAMESPACE_EMISSIONS.name,
            "CO2 of its energy, at the intensity that its site had at each moment.",
            group="power",
        ),
    ),
    order=("cluster", "namespace"),
)

CLUSTERS: Final = Resource(
    "clusters",
    ("cluster",),
    (catalogue.CLUSTER_POWER.name, catalogue.CLUSTER_COMPLETENESS.name, catalogue.ENERGY_GAP.name),
    (),
    (
        *_power(catalogue.CLUSTER_POWER.name, catalogue.CLUSTER_ENERGY.name, of="cluster"),
        Number("completeness_ratio", catalogue.CLUSTER_COMPLETENESS.name, "Nodes measured over nodes known.", group=""),
        *(
            Number(
                f"nodes_{s}",
                catalogue.CLUSTER_NODES.name,
                f"Nodes whose state is {s}.",
                ("state", s),
                group="",
                form="count",
            )
            for s in ("measured", "partial", "missing")
        ),
        Number("gap_seconds", catalogue.ENERGY_GAP.name, "Time that its energy does not cover.", group=""),
    ),
)

VMS: Final = Resource(
    "vms",
    ("cluster", "node", "project", "vm"),
    ("kcloud_vm_power_watts",),
    (),
    (*_power("kcloud_vm_power_watts", "kcloud_vm_energy_joules_total", of="virtual machine"),),
    order=("cluster", "project", "vm"),
)

HOLDINGS: Final = Resource(
    "holdings",
    ("cluster", "node", "uuid", "namespace", "pod", "container"),
    (catalogue.ACCELERATOR_ALLOCATION.name,),
    (),
    (Number("allocation_ratio", catalogue.ACCELERATOR_ALLOCATION.name, "Part of the device that it holds.", group=""),),
)

CONTAINERS: Final = Resource(
    "containers",
    ("cluster", "node", "namespace", "pod", "container"),
    (catalogue.ACCELERATOR_ALLOCATION.name, f"{FACT}container"),
    (
        Text("container_id", f"{FACT}container", "container_id", "Its id with the runtime in front: containerd://..."),
        Text("image", f"{FACT}container", "image", "The image that it runs."),
    ),
    (
        Number(
            "accelerators_held",
            catalogue.ACCELERATOR_ALLOCATION.name,
            "Accelerators that it holds; parts count as such.",
            group="",
        ),
    ),
    order=("cluster", "namespace", "pod"),
    named_by="namespace",
)

SENSORS: Final = Resource(
    "sensors",
    ("cluster", "node", "sensor"),
    (
        catalogue.HARDWARE_TEMPERATURE.name,
        catalogue.HARDWARE_FAN_SPEED.name,
        catalogue.HARDWARE_VOLTAGE.name,
        catalogue.HARDWARE_CURRENT.name,
        catalogue.HARDWARE_POWER.name,
        catalogue.HARDWARE_SENSOR_STATE.name,
    ),
    (),
    (
        Number("temperature_celsius", catalogue.HARDWARE_TEMPERATURE.name, "Temperature.", group=""),
        Number("fan_speed_rpm", catalogue.HARDWARE_FAN_SPEED.name, "Revolutions per minute.", group=""),
        Number("voltage_volts", catalogue.HARDWARE_VOLTAGE.name, "Voltage.", group=""),
        Number("current_amperes", catalogue.HARDWARE_CURRENT.name, "Current.", group=""),
        Number("power_watts", catalogue.HARDWARE_POWER.name, "Power; scopes overlap, so never add them up.", group=""),
        Number("state", catalogue.HARDWARE_SENSOR_STATE.name, "0 nominal, 1 warning, 2 critical.", group=""),
    ),
    order=("cluster", "node"),
)

SITES: Final = Resource(
    "sites",
    ("site",),
    (catalogue.SITE_IT_POWER.name, catalogue.SITE_FACILITY_POWER.name, catalogue.SITE_PUE.name),
    (),
    (
        Number("it_power_watts", catalogue.SITE_IT_POWER.name, "Power of all nodes of its clusters.", group=""),
        Number("it_energy_joules", catalogue.SITE_IT_ENERGY.name, "Energy of all nodes of its clusters.", group=""),
        Number(
            "carbon_intensity_grams_per_kwh",
            catalogue.SITE_CARBON_INTENSITY.name,
            "Carbon intensity of its electricity now.",
            group="",
        ),
        Number("electricity_price_per_kwh", catalogue.SITE_PRICE.name, "Price of its electricity now.", group=""),
    ),
)
