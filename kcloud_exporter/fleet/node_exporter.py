"""node_exporter pages: identity, hwmon and, where no Kepler runs, the raw RAPL counters.

`core` lies inside `package`, and `psys` around everything: adding zones counts twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kcloud_exporter.fleet.exposition import Family, go_family, page
from kcloud_exporter.fleet.goruntime import process_families
from kcloud_exporter.fleet.kepler import zones
from kcloud_exporter.fleet.signals import Signal, constant
from kcloud_exporter.fleet.world import Node, World

_SOCKETS: Final = 2
_POWERCAP: Final = "/sys/class/powercap/intel-rapl"
_CHIP: Final = "platform_coretemp_0"
_ACPI: Final = "acpi_power_meter"


def render_node_exporter(world: World, cluster: str, node: str, at: float) -> str:
    """The page of node_exporter on one node at one time (Unix seconds)."""
    server = world.node(cluster, node)
    families = [
        *_identity(server),
        *_hwmon(server, at),
        *(_rapl(server, at) if server.cpu_meter == "rapl" else ()),
        *process_families("go1.23.4", world.clock.start),
    ]
    return page(families, ordered=True)


def _identity(node: Node) -> Iterator[Family]:
    uname = {
        "domainname": "(none)",
        "machine": "x86_64",
        "nodename": node.name,
        "release": "6.1.0-28-amd64",
        "sysname": "Linux",
        "version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1",
    }
    yield go_family(
        "node_uname_info",
        "gauge",
        "Labeled system information as provided by the uname system call.",
        [(uname, 1)],
    )
    dmi = {"bios_vendor": "Dell Inc.", "product_name": "PowerEdge XE9680", "product_uuid": node.system_uuid}
    yield go_family(
        "node_dmi_info",
        "gauge",
        "A metric with a constant '1' value labeled by product information of DMI.",
        [(dmi, 1)],
    )
    yield go_family("node_memory_MemTotal_bytes", "gauge", "Memory information field MemTotal_bytes.", [({}, 2**39)])


def _hwmon(node: Node, at: float) -> Iterator[Family]:
    chips = {_CHIP: "coretemp"}
    if node.wall and node.cpu_meter != "rapl":
        chips[_ACPI] = "power_meter"
        yield go_family(
            "node_hwmon_power_average_watt",
            "gauge",
            "Hardware monitor for power usage in watts (average)",
            [({"chip": _ACPI, "sensor": "power1"}, node.wall.at(at) // 1000 + 2)],
        )
        yield go_family(
            "node_hwmon_power_cap_watt",
            "gauge",
            "Hardware monitor for power usage in watts (cap)",
            [({"chip": _ACPI, "sensor": "power1"}, 5600)],
        )
    yield go_family(
        "node_hwmon_chip_names",
        "gauge",
        "Annotation metric for human-readable chip names",
        [({"chip": chip, "chip_name": name}, 1) for chip, name in chips.items()],
    )
    sensors = [({"chip": _CHIP, "sensor": f"temp{n}"}, 38 + node.cpu.at(at) // 9000 + n) for n in (1, 2)]
    yield go_family("node_hwmon_temp_celsius", "gauge", "Hardware monitor for temperature (input)", sensors)
    yield go_family(
        "node_hwmon_temp_max_celsius",
        "gauge",
        "Hardware monitor for temperature (max)",
        [(labels, 95) for labels, _ in sensors],
    )
    yield go_family(
        "node_hwmon_sensor_label",
        "gauge",
        "Label for given chip and sensor",
        [({**labels, "label": f"Package id {n}"}, 1) for n, (labels, _) in enumerate(sensors)],
    )


def _rapl(node: Node, at: float) -> Iterator[Family]:
    by_zone = zones(node.cpu, node.memory)
    places = {"package": "", "core": ":0", "uncore": ":1", "dram": ":2"}
    for zone, place in places.items():
        rows = [
            ({"index": str(socket), "path": f"{_POWERCAP}:{socket}{place}"}, joules)
            for socket, joules in enumerate(_by_socket(by_zone[zone], at))
        ]
        yield _zone(zone, rows)
    if node.psys:
        around = node.cpu + node.memory + constant(node.clock, 41_500)
        joules = round(around.integral(at) / 1000, 6)
        yield _zone("psys", [({"index": "0", "path": f"{_POWERCAP}:{_SOCKETS}"}, joules)])


def _zone(zone: str, rows: list[tuple[dict[str, str], float]]) -> Family:
    return go_family(f"node_rapl_{zone}_joules_total", "counter", f"Current RAPL {zone} value in joules", rows)


def _by_socket(signal: Signal, at: float) -> tuple[float, float]:
    """Joules of each socket, whole microjoules as the kernel counts them."""
    first = signal.part(1, _SOCKETS)
    return round(first.integral(at) / 1000, 6), round((signal - first).integral(at) / 1000, 6)
