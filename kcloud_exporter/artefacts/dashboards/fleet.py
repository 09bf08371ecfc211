"""The fleet: all clusters at a glance."""

from __future__ import annotations

from typing import Any, Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.dashboards.board import CLUSTER, Row, board
from kcloud_exporter.artefacts.dashboards.panels import (
    BAD_ABOVE_ZERO,
    GREEN,
    RED,
    YELLOW,
    Column,
    Query,
    Steps,
    graph,
    link,
    listing,
    number,
    ranking,
)
from kcloud_exporter.artefacts.promql import JOULES_PER_KWH, once
from kcloud_exporter.artefacts.recording import CLUSTER_POWER, NAMESPACE_POWER

UID: Final = "kcloud-fleet"
C: Final = 'cluster=~"$cluster"'
COMPLETENESS: Final = Steps(RED, ((0.9, YELLOW), (0.95, GREEN)))
COUNT: Final = f"cluster_vendor_model:{catalogue.ACCELERATOR_POWER}:count{{{C}}}"
DAY: Final = "kcloud_cluster_energy_joules:increase1d"


def fleet() -> dict[str, Any]:
    """The dashboard."""
    return board(
        UID,
        "Fleet",
        "Power, energy and completeness of all clusters.",
        (CLUSTER,),
        (Row("Now", _now()), Row("Where the power goes", _where()), Row("Clusters", (_clusters(),))),
    )


def power_by_component() -> Any:
    """The panel that the fleet and a cluster share: what draws the power of the chosen clusters."""
    return graph(
        "Power by component",
        "CPU, memory and accelerators as measured; other is the whole-server meter less these.",
        "watt",
        Query(f"sum by (component) ({once(catalogue.CLUSTER_POWER, C)})", "{{component}}"),
        stacked=True,
    )


def _now() -> tuple[Any, ...]:
    firing = 'sum(ALERTS{alertname=~"Kcloud.*",alertstate="firing",cluster=~"$cluster|"}) or vector(0)'
    down = f"sum(1 - {once(catalogue.SOURCE_UP, C)})"
    return (
        number("IT power", "Power of all nodes of the chosen clusters.", "watt", f"sum({CLUSTER_POWER}{{{C}}})"),
        number(
            "Energy of 24 hours",
            "What these clusters used in the last 24 hours.",
            "kwatth",
            f"sum(cluster:{DAY}{{{C}}}) / {JOULES_PER_KWH}",
        ),
        number(
            "Completeness",
            "Nodes measured over nodes known, of the worst cluster. Below 1 totals are lower bounds.",
            "percentunit",
            f"min({once(catalogue.CLUSTER_COMPLETENESS, C)})",
            steps=COMPLETENESS,
        ),
        number("Accelerators", "GPU, NPU and TPU that report power.", "none", f"sum({COUNT})"),
        number("Sources down", "Exporters and servers that fail now.", "none", down, steps=BAD_ABOVE_ZERO),
        number("Alerts", "Alerts of these clusters that fire now.", "none", firing, steps=BAD_ABOVE_ZERO),
    )


def _where() -> tuple[Any, ...]:
    kinds = f"sum by (kind) (cluster_kind_vendor_model:{catalogue.ACCELERATOR_POWER}:sum{{{C}}})"
    free = f"cluster:{catalogue.NODE_UNATTRIBUTED}:ratio{{{C}}}"
    pue = f"{once(catalogue.SITE_PUE)} and on (site) max by (site) ({catalogue.CLUSTER_INFO_NAME}{{{C}}})"
    return (
        graph(
            "Power by cluster",
            "All nodes of each cluster.",
            "watt",
            Query(f"{CLUSTER_POWER}{{{C}}}", "{{cluster}}"),
            stacked=True,
        ),
        power_by_component(),
        graph("Accelerators by kind", "Power of GPU, NPU and TPU.", "watt", Query(kinds, "{{kind}}"), stacked=True),
        graph(
            "PUE by site",
            "Facility over IT power now. Absent where a side is unknown or incomplete.",
            "none",
            Query(pue, "{{site}} {{category}} {{method}}"),
            at_least=1,
        ),
        ranking(
            "Largest namespaces",
            "Namespaces of all clusters by the power of their pods.",
            "watt",
            Query(f"topk(10, {NAMESPACE_POWER}{{{C}}})", "{{cluster}}/{{namespace}}"),
        ),
        graph(
            "Power that belongs to nobody",
            "Idle nodes, system and free accelerators, as a part of each cluster.",
            "percentunit",
            Query(free, "{{cluster}}"),
            at_least=0,
        ),
    )


def _clusters() -> Any:
    return listing(
        "Clusters",
        "One line per cluster; a click opens it.",
        (
            Column(f"{CLUSTER_POWER}{{{C}}}", "Power", "watt"),
            Column(f"cluster:{DAY}{{{C}}} / {JOULES_PER_KWH}", "Energy of 24 hours", "kwatth"),
            Column(f"sum by (cluster) ({COUNT})", "Accelerators", "none"),
            Column(f"sum by (cluster) ({once(catalogue.CLUSTER_NODES, C)})", "Nodes", "none"),
            Column(once(catalogue.CLUSTER_COMPLETENESS, C), "Completeness", "percentunit"),
            Column(f"cluster:{catalogue.NODE_UNATTRIBUTED}:ratio{{{C}}}", "Belongs to nobody", "percentunit"),
        ),
        links={"cluster": link("Open the cluster", "kcloud-cluster", cluster="cluster")},
    )
