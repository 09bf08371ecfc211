"""idrac_exporter pages: a BMC over Redfish. The same server that ipmi_exporter reads, through another door."""

from __future__ import annotations

from kcloud_exporter.fleet.exposition import go_family, page
from kcloud_exporter.fleet.world import World


def render_idrac(world: World, cluster: str, node: str, at: float) -> str:
    """The page of the idrac_exporter for one node's BMC at one time (Unix seconds)."""
    server = world.node(cluster, node)
    wall = server.wall.at(at) // 1000 if server.wall else 0
    first = wall * 51 // 100
    supplies: list[tuple[dict[str, str], float]] = [
        ({"id": "PSU.Slot.1"}, first),
        ({"id": "PSU.Slot.2"}, wall - first + 4),
    ]
    control: list[tuple[dict[str, str], float]] = [
        ({"id": "PowerControl", "name": "System Power Control"}, wall),
        ({"id": "1", "name": "CPU Sub-system Power"}, server.cpu.at(at) // 1000),
    ]
    info = {"hostname": server.name, "manufacturer": "Dell Inc.", "model": "PowerEdge XE9680", "serial": "CN7792"}
    told: tuple[tuple[str, str, list[tuple[dict[str, str], float]]], ...] = (
        ("power_control_consumed_watts", "Consumption of power control system in watts", control),
        ("power_supply_capacity_watts", "Power supply capacity in watts", [({"id": "PSU.Slot.1"}, 2800)]),
        ("power_supply_input_watts", "Power supply input in watts", supplies),
        ("system_machine_info", "Information about the machine", [(info, 1)]),
        ("system_power_on", "Power state of the system", [({}, 1)]),
    )
    return page([go_family(f"idrac_{name}", "gauge", text, rows) for name, text, rows in told], ordered=True)
