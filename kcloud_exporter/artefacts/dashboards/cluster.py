"""One cluster: components, nodes, namespaces, and what is not seen."""

from __future__ import annotations

from typing import Any, Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.dashboards.board import CLUSTER, Row, board
from kcloud_exporter.artefacts.dashboards.fleet import COMPLETENESS, COUNT, DAY, C, power_by_component
from kcloud_exporter.artefacts.dashboards.panels import (
    BAD_ABOVE_ZERO,
    Column,
    Query,
    graph,
    link,
    listing,
    number,
    ranking,
)
from kcloud_exporter.artefacts.promql import JOULES_PER_KWH, once
from kcloud_exporter.artefacts.recording import CLUSTER_POWER, NAMESPACE_POWER

UID: Final = "kcloud-cluster"
_NODES: Final = f"cluster_node:{catalogue.NODE_POWER}:sum{{{C}}}"
_FREE: Final = f"cluster_node:{catalogue.NODE_UNATTRIBUTED}:sum{{{C}}}"
_PODS: Final = f"cluster_node_namespace_pod:{catalogue.POD_POWER}:sum{{{C}}}"


def cluster() -> dict[str, Any]:
    """The dashboard."""
    return board(
        UID,
        "Cluster",
        "Where the power of a cluster goes, who uses it, and what is not measured.",
        (CLUSTER,),
        (Row("Now", _now()), Row("Power", _power()), Row("Users", _users()), Row("Nodes", _nodes())),
    )


def _now() -> tuple[Any, ...]:
    partial, missing = 'state="partial"', 'state="missing"'
    return (
        number("Power", "Power of all nodes.", "watt", f"sum({CLUSTER_POWER}{{{C}}})"),
        number("Energy of 24 hours", "The last 24 hours.", "kwatth", f"sum(cluster:{DAY}{{{C}}}) / {JOULES_PER_KWH}"),
        number("Accelerators", "GPU, NPU and TPU that report power.", "none", f"sum({COUNT})"),
        number(
            "Completeness",
            "Nodes measured over nodes known.",
            "percentunit",
            f"min({once(catalogue.CLUSTER_COMPLETENESS, C)})",
            steps=COMPLETENESS,
        ),
        number(
            "Nodes partly measured",
            "Nodes of which something that is expected is missing.",
            "none",
            f"sum({once(catalogue.CLUSTER_NODES, f'{C},{partial}')})",
            steps=BAD_ABOVE_ZERO,
        ),
        number(
            "Nodes not measured",
            "Nodes that are known, but of which no meter speaks.",
            "none",
            f"sum({once(catalogue.CLUSTER_NODES, f'{C},{missing}')})",
            steps=BAD_ABOVE_ZERO,
        ),
    )


def _power() -> tuple[Any, ...]:
    rate = "cluster_component:kcloud_cluster_energy_joules:rate5m"
    return (
        power_by_component(),
        graph("Power by node", "All components.", "watt", Query(_NODES, "{{cluster}}/{{node}}"), stacked=True),
        graph(
            "Mean power from energy",
            "The rate of the energy counters over 5 minutes: what is billed, without the noise of the moment.",
            "watt",
            Query(f"sum by (component) ({rate}{{{C}}})", "{{component}}"),
            stacked=True,
        ),
        graph(
            "Residual by node",
            "Whole-server meter less the measured components. Below zero one of the meters is wrong.",
            "watt",
            Query(once(catalogue.NODE_RESIDUAL, C), "{{cluster}}/{{node}}"),
        ),
    )


def _users() -> tuple[Any, ...]:
    return (
        graph(
            "Power by namespace",
            "Power of the pods of each namespace.",
            "watt",
            Query(f"{NAMESPACE_POWER}{{{C}}}", "{{cluster}}/{{namespace}}"),
            stacked=True,
        ),
        graph(
            "Power that belongs to nobody",
            "By component: idle and system power, free accelerators.",
            "watt",
            Query(f"sum by (component) ({once(catalogue.NODE_UNATTRIBUTED, C)})", "{{component}}"),
            stacked=True,
        ),
        ranking(
            "Largest pods",
            "Pods by power, all components.",
            "watt",
            Query(f"topk(15, {_PODS})", "{{namespace}}/{{pod}}"),
            span=24,
        ),
    )


def _nodes() -> tuple[Any, ...]:
    devices = f"count by (cluster, node) ({once(catalogue.ACCELERATOR_POWER, C)})"
    return (
        listing(
            "Nodes",
            "One line per node; a click opens it.",
            (
                Column(_NODES, "Power", "watt"),
                Column(once(catalogue.NODE_WALL_POWER, C), "Whole-server meter", "watt"),
                Column(_FREE, "Belongs to nobody", "watt"),
                Column(devices, "Accelerators", "none"),
            ),
            links={"node": link("Open the node", "kcloud-node", cluster="cluster", node="node")},
        ),
    )
