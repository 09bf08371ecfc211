"""One node: its equation of power, its pods and VMs, its meters and its sensors."""

from __future__ import annotations

from typing import Any, Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.dashboards.board import CLUSTER, NODE, Row, board
from kcloud_exporter.artefacts.dashboards.panels import BAD_ABOVE_ZERO, Column, Query, graph, listing, number
from kcloud_exporter.artefacts.promql import once
from kcloud_exporter.catalogue import Family

UID: Final = "kcloud-node"
N: Final = 'cluster=~"$cluster",node=~"$node"'
_NAMED: Final = "{{cluster}}/{{node}}"


def node() -> dict[str, Any]:
    """The dashboard."""
    return board(
        UID,
        "Node and hardware",
        "The power of nodes by component, pod and VM, which meters were chosen, and the sensors of the hardware.",
        (CLUSTER, NODE),
        (Row("Power", _power()), Row("Hardware", _hardware()), Row("Meters and sensors", _tables())),
    )


def _power() -> tuple[Any, ...]:
    pods = f"cluster_node_namespace_pod:{catalogue.POD_POWER}:sum{{{N}}}"
    vms = f"cluster_node_project_vm:{catalogue.VM_POWER}:sum{{{N}}}"
    return (
        number("Power", "All components.", "watt", f"sum(cluster_node:{catalogue.NODE_POWER}:sum{{{N}}})", span=6),
        number(
            "Whole-server meter",
            "The selected meter, where there is one.",
            "watt",
            f"sum({once(catalogue.NODE_WALL_POWER, N)})",
            span=6,
        ),
        number(
            "Belongs to nobody",
            "Power that no pod and no VM accounts for.",
            "watt",
            f"sum(cluster_node:{catalogue.NODE_UNATTRIBUTED}:sum{{{N}}})",
            span=6,
        ),
        number(
            "Sensors not nominal",
            "Sensors that their controller calls warning or critical.",
            "none",
            f"sum({once(catalogue.HARDWARE_SENSOR_STATE, N)} > bool 0)",
            span=6,
            steps=BAD_ABOVE_ZERO,
        ),
        graph(
            "Power by component",
            "The node's equation: measured components, and other up to the whole-server meter.",
            "watt",
            Query(f"sum by (component) ({once(catalogue.NODE_POWER, N)})", "{{component}}"),
            stacked=True,
        ),
        graph(
            "Meter and components",
            "Whole-server meter beside the sum of all components; the residual is their difference.",
            "watt",
            Query(once(catalogue.NODE_WALL_POWER, N), f"{_NAMED} meter"),
            Query(f"cluster_node:{catalogue.NODE_POWER}:sum{{{N}}}", f"{_NAMED} components"),
            Query(once(catalogue.NODE_RESIDUAL, N), f"{_NAMED} residual"),
        ),
        graph(
            "Power by pod and VM",
            "Pods and virtual machines on these nodes.",
            "watt",
            Query(pods, "{{namespace}}/{{pod}}"),
            Query(vms, "VM {{project}}/{{vm}}"),
            stacked=True,
        ),
        graph(
            "Accelerators",
            "Power of each whole device.",
            "watt",
            Query(once(catalogue.ACCELERATOR_POWER, N), f"{_NAMED} {{{{model}}}} {{{{uuid}}}}"),
        ),
    )


def _hardware() -> tuple[Any, ...]:
    def sensors(title: str, description: str, unit: str, family: Family) -> Any:
        return graph(title, description, unit, Query(once(family, N), f"{_NAMED} {{{{sensor}}}}"))

    return (
        sensors("Temperatures", "Sensors of the server.", "celsius", catalogue.HARDWARE_TEMPERATURE),
        sensors("Fans", "Speed of each fan.", "rotrpm", catalogue.HARDWARE_FAN_SPEED),
        sensors("Voltages", "Voltages of the server.", "volt", catalogue.HARDWARE_VOLTAGE),
        sensors("Currents", "Currents of the server.", "amp", catalogue.HARDWARE_CURRENT),
        sensors(
            "Power sensors",
            "As their exporter names them. Their scopes overlap: they are never added up.",
            "watt",
            catalogue.HARDWARE_POWER,
        ),
        graph(
            "Mean power from energy",
            "The rate of the node's energy counters over 5 minutes, by component.",
            "watt",
            Query(
                f"sum by (component) (cluster_node_component:kcloud_node_energy_joules:rate5m{{{N}}})", "{{component}}"
            ),
            stacked=True,
        ),
    )


def _tables() -> tuple[Any, ...]:
    return (
        listing(
            "Chosen meters",
            "Which exporter's series was chosen for each quantity of a node.",
            (Column(once(catalogue.NODE_METER_INFO, N), "Chosen", "none"),),
            span=12,
        ),
        listing(
            "State of sensors",
            "0 nominal, 1 warning, 2 critical, as the controller says.",
            (Column(f"sort_desc({once(catalogue.HARDWARE_SENSOR_STATE, N)})", "State", "none"),),
            span=12,
        ),
    )
