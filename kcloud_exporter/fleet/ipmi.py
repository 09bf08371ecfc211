"""ipmi_exporter pages: one BMC, local mode, which knows no host name.

The sensors overlap on purpose, as they do in servers: PSU1 + PSU2 and "Pwr Consumption" are the same watts
that DCMI reports, each a little different, and one temperature has no reading.
"""

from __future__ import annotations

from typing import Final

from kcloud_exporter.fleet.exposition import Family, go_family, page
from kcloud_exporter.fleet.world import Node, World

PSU_EXCESS_WATTS: Final = 6  # both PSU inputs together read that much above DCMI
SENSOR_EXCESS_WATTS: Final = 3

_STATES: Final = "(0=nominal, 1=warning, 2=critical)"


def render_ipmi(world: World, cluster: str, node: str, at: float) -> str:
    """The page of the ipmi_exporter of one node's BMC at one time (Unix seconds)."""
    server = world.node(cluster, node)
    return page(_families(server, at), ordered=True)


def _families(node: Node, at: float) -> list[Family]:
    wall = node.wall.at(at) // 1000 if node.wall else 0
    first = wall * 52 // 100
    cpu_celsius = 38 + node.cpu.at(at) // 9000
    fan = 4200 + wall // 2
    bmc = {
        "firmware_revision": "7.10",
        "manufacturer_id": "Dell Inc. (674)",
        "system_firmware_version": "2.6.1",
    }
    nan = float("nan")
    return [
        go_family(
            "ipmi_bmc_info",
            "gauge",
            "Constant metric with value '1' providing details about the BMC.",
            [(bmc, 1)],
        ),
        go_family("ipmi_chassis_power_state", "gauge", "Current power state (1=on, 0=off).", [({}, 1)]),
        *_sensors("current", "amperes", "Current", "Amperes", [("7", "PSU1 Current", round(first / 230, 1))]),
        go_family("ipmi_dcmi_power_consumption_watts", "gauge", "Current power consumption in Watts.", [({}, wall)]),
        *_sensors(
            "fan_speed", "rpm", "Fan speed", "rotations per minute", [("4", "FAN1", fan), ("5", "FAN2", fan + 100)]
        ),
        *_sensors(
            "power",
            "watts",
            "Power",
            "Watts",
            [
                ("8", "PSU1 Input Power", first),
                ("9", "PSU2 Input Power", wall - first + PSU_EXCESS_WATTS),
                ("10", "Pwr Consumption", wall + SENSOR_EXCESS_WATTS),
            ],
        ),
        go_family(
            "ipmi_scrape_duration_seconds",
            "gauge",
            "Returns how long the scrape took to complete in seconds.",
            [({}, 0.084907425)],
        ),
        go_family(
            "ipmi_sensor_state",
            "gauge",
            f"Indicates the severity of the state reported by an IPMI sensor {_STATES}.",
            [({"id": "11", "name": "PSU1 Status", "type": "Power Supply"}, 0)],
        ),
        go_family(
            "ipmi_sensor_value",
            "gauge",
            "Generic data read from an IPMI sensor of unknown type, relying on labels for context.",
            [({"id": "11", "name": "PSU1 Status", "type": "Power Supply"}, nan)],
        ),
        *_sensors(
            "temperature",
            "celsius",
            "Temperature",
            "degree Celsius",
            [("1", "Inlet Temp", 24), ("2", "CPU1 Temp", cpu_celsius), ("3", "CPU2 Temp", nan)],
        ),
        go_family(
            "ipmi_up",
            "gauge",
            "'1' if a scrape of the IPMI device was successful, '0' otherwise.",
            [({"collector": collector}, 1) for collector in ("bmc", "chassis", "dcmi", "ipmi")],
        ),
        *_sensors("voltage", "volts", "Voltage", "Volts", [("6", "P12V", 12.1)]),
    ]


def _sensors(name: str, unit: str, said: str, unit_said: str, readings: list[tuple[str, str, float]]) -> list[Family]:
    reading = f"{said} in {unit_said}." if name == "fan_speed" else f"{said} reading in {unit_said}."
    return [
        go_family(f"ipmi_{name}_{unit}", "gauge", reading, [({"id": i, "name": label}, v) for i, label, v in readings]),
        go_family(
            f"ipmi_{name}_state",
            "gauge",
            f"Reported state of a {said.lower()} sensor {_STATES}.",
            [({"id": i, "name": label}, 0 if v == v else v) for i, label, v in readings],
        ),
    ]
