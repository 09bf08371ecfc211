"""A rack PDU as snmp_exporter (module apcups) prints it: integers in the MIB's own units, all of them gauges."""

from __future__ import annotations

from typing import Final

from kcloud_exporter.fleet.exposition import go_family, page
from kcloud_exporter.fleet.world import World

_JOULES_PER_TENTH_KWH: Final = 360_000
_INDEX: Final = "rPDU2DeviceStatusIndex"


def render_pdu(world: World, cluster: str, node: str, at: float) -> str:
    """The page of the site PDU called `node` at one time (Unix seconds); it knows no `cluster`."""
    del cluster
    site = world.site(node)
    energy = int(site.facility.integral(at) * 10 // _JOULES_PER_TENTH_KWH)
    labels = {_INDEX: "1"}
    families = [
        go_family(
            "rPDU2DeviceStatusEnergy",
            "gauge",
            "A user resettable energy meter measuring Rack PDU load energy consumption in tenths of kilowatt-hours"
            " - 1.3.6.1.4.1.318.1.1.26.4.3.1.9",
            [(labels, energy)],
        ),
        go_family(
            "rPDU2DeviceStatusPower",
            "gauge",
            "The power consumption of the Rack PDU load in hundredths of kilowatts - 1.3.6.1.4.1.318.1.1.26.4.3.1.5",
            [(labels, site.facility.at(at))],
        ),
    ]
    return page(families, ordered=True)
