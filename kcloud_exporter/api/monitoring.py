"""Monitoring: power now, of everything together and divided, and what it is good for."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from kcloud_exporter.api import parameters as p
from kcloud_exporter.api.answers import Answer, Model, page
from kcloud_exporter.api.breakdown import ACCELERATED, SERVER, WAYS, Breakdown, parts
from kcloud_exporter.api.efficiency import Efficiency, efficiency
from kcloud_exporter.api.frames import total_by
from kcloud_exporter.api.models import quantity
from kcloud_exporter.api.resources import ACCELERATORS, CLUSTERS, NODES, PODS, VMS
from kcloud_exporter.api.routes import PREFIX, Route, Values
from kcloud_exporter.api.view import View
from kcloud_exporter.catalogue import COMPONENTS

RESOURCE_TYPES: Final[dict[str, tuple[str, ...]]] = {
    **{component: (component,) for component in COMPONENTS},
    "gpus": ("gpu",),
    "npus": ("npu",),
    "accelerators": ACCELERATED,
    "infrastructure": SERVER,
    "nodes": COMPONENTS,
    "all": COMPONENTS,
}
"""What a client may call resources → the ledger's components."""


class ClusterShare(Model):
    """One cluster in the whole."""

    cluster: str = Field(description="Its name.", examples=["seoul-a"])
    site: str = Field(description="The site on which it stands.", examples=["icn1"])
    total_power_watts: float | None = quantity("Its power.", "watts")
    completeness_ratio: float | None = quantity("Nodes measured over nodes known.", "ratio")


class Power(Model):
    """Power of everything, each watt counted once."""

    total_power_watts: float | None = quantity("Of the resource types that were asked for, or of all.", "watts")
    breakdown: dict[str, float] = Field(description="By component.", examples=[{"cpu": 531.7, "gpu": 3300.0}])
    accelerator_power_watts: float | None = quantity("GPUs, NPUs and TPUs.", "watts")
    infrastructure_power_watts: float | None = quantity("CPU, memory and the rest of the servers.", "watts")
    wall_power_watts: float | None = quantity("Sum of the whole-server meters, where there are any.", "watts")
    attributed_power_watts: float | None = quantity("Power that belongs to pods.", "watts")
    virtual_machine_power_watts: float | None = quantity("Power that belongs to virtual machines.", "watts")
    unattributed_power_watts: float | None = quantity("Power that belongs to nobody.", "watts")
    total_energy_joules: float | None = quantity("Energy of all nodes since they were first seen.", "joules")
    clusters: list[ClusterShare] = Field(description="The same by cluster.")


class Stream(Model):
    """One stream of events."""

    path: str = Field(description="Where it is.", examples=["/api/v1/monitoring/events/power"])
    protocol: Literal["sse", "websocket"] = Field(description="How it is read.")
    description: str = Field(description="What it tells.", examples=["power after each cycle"])


STREAMS: Final = (
    ("/monitoring/events/power", "sse", "Server-sent events: power after each cycle, thresholds, heartbeats."),
    ("/monitoring/stream/power", "websocket", "The same as messages of a WebSocket."),
    ("/monitoring/stream/metrics", "websocket", "Power, utilisation, temperature or memory of each accelerator."),
)


class AcceleratorPower(Model):
    """Power of accelerators."""

    total_power_watts: float | None = quantity("Of all.", "watts")
    total_count: int = Field(description="How many there are.", examples=[24])
    power_watts_by_kind: dict[str, float] = Field(description="By kind.", examples=[{"gpu": 3300.0}])
    power_watts_by_vendor: dict[str, float] = Field(description="By vendor.", examples=[{"nvidia": 3300.0}])
    power_watts_by_model: dict[str, float] = Field(
        description="By model.", examples=[{"NVIDIA H100 80GB HBM3": 2000.0}]
    )
    power_watts_by_cluster: dict[str, float] = Field(description="By cluster.", examples=[{"seoul-a": 3300.0}])
    idle_power_watts: float | None = quantity("Power that pods hold while they do no work.", "watts")


class InfrastructurePower(Model):
    """Power of servers and what runs on them."""

    total_power_watts: float | None = quantity("Of all nodes, accelerators included.", "watts")
    power_watts_by_component: dict[str, float] = Field(description="By component.", examples=[{"cpu": 531.7}])
    wall_power_watts: float | None = quantity("Sum of the whole-server meters.", "watts")
    nodes_count: int = Field(description="Nodes.", examples=[10])
    pods_power_watts: float | None = quantity("Power that belongs to pods.", "watts")
    pods_count: int = Field(description="Pods.", examples=[16])
    virtual_machines_power_watts: float | None = quantity("Power that belongs to virtual machines.", "watts")
    unattributed_power_watts: float | None = quantity("Power that belongs to nobody.", "watts")


def components(view: View, cluster: str | None, wanted: tuple[str, ...] = COMPONENTS) -> dict[str, float]:
    """Component → watts of a cluster or of all, for the components of which anything is known."""
    frame = view.frame(CLUSTERS, cluster)
    sums = {component: frame.total(f"{component}_power_watts") for component in wanted}
    return {component: watts for component, watts in sums.items() if watts is not None}


def _of(sums: dict[str, float], names: tuple[str, ...]) -> float | None:
    found = [sums[name] for name in names if name in sums]
    return sum(found) if found else None


def power(view: View, values: Values) -> Answer:
    """Power of everything, or of some resource types."""
    cluster, asked = values["cluster"], values["resource_types"] or ("all",)
    wanted = tuple(c for c in COMPONENTS if any(c in RESOURCE_TYPES[name] for name in asked))
    sums, clusters = components(view, cluster, wanted), view.frame(CLUSTERS, cluster)
    everything = wanted == COMPONENTS
    nodes = view.frame(NODES, cluster)
    data: dict[str, Any] = {
        "total_power_watts": _of(sums, wanted),
        "breakdown": sums,
        "accelerator_power_watts": _of(sums, ACCELERATED),
        "infrastructure_power_watts": _of(sums, SERVER),
        "wall_power_watts": nodes.total("wall_power_watts") if everything else None,
        "attributed_power_watts": _sum_of(view.frame(PODS, cluster), wanted),
        "virtual_machine_power_watts": _sum_of(view.frame(VMS, cluster), wanted),
        "unattributed_power_watts": nodes.total("unattributed_power_watts") if everything else None,
        "total_energy_joules": clusters.total("energy_joules") if everything else None,
        "clusters": [
            {
                "cluster": name,
                "site": view.site_of(name),
                "total_power_watts": _of(components(view, name, wanted), wanted),
                "completeness_ratio": ratio,
            }
            for name, ratio in ((row["cluster"], row["completeness_ratio"]) for row in clusters.rows())
        ],
    }
    return Answer(data, cluster)


def _sum_of(frame: Any, wanted: tuple[str, ...]) -> float | None:
    found = [watts for c in wanted if (watts := frame.total(f"{c}_power_watts")) is not None]
    return sum(found) if found else None


def accelerator_power(view: View, values: Values) -> Answer:
    """Power of all accelerators."""
    frame = view.frame(ACCELERATORS, values["cluster"])
    watts = frame.numbers["power_watts"]
    data = {
        "total_power_watts": frame.total("power_watts"),
        "total_count": len(frame),
        **{f"power_watts_by_{t}": total_by(frame.texts[t], watts) for t in ("kind", "vendor", "model", "cluster")},
        "idle_power_watts": frame.total("idle_power_watts"),
    }
    return Answer(data, values["cluster"])


def infrastructure_power(view: View, values: Values) -> Answer:
    """Power of servers and what runs on them."""
    cluster = values["cluster"]
    nodes, pods = view.frame(NODES, cluster), view.frame(PODS, cluster)
    data = {
        "total_power_watts": nodes.total("power_watts"),
        "power_watts_by_component": components(view, cluster),
        "wall_power_watts": nodes.total("wall_power_watts"),
        "nodes_count": len(nodes),
        "pods_power_watts": pods.total("power_watts"),
        "pods_count": len(pods),
        "virtual_machines_power_watts": view.frame(VMS, cluster).total("power_watts"),
        "unattributed_power_watts": nodes.total("unattributed_power_watts"),
    }
    return Answer(data, cluster)


def breakdown(view: View, values: Values) -> Answer:
    """The power divided in one way."""
    by, cluster = values["breakdown_by"], values["cluster"]
    total, found = parts(view, by, cluster)
    shown = found[values["offset"] : values["offset"] + values["limit"]]
    data = {"breakdown_by": by, "total_power_watts": total, "breakdown": shown}
    return Answer(data, cluster, page=page(len(found), len(shown), values))


def _streams(_: View, __: Values) -> Answer:
    return Answer(
        [{"path": PREFIX + path, "protocol": protocol, "description": about} for path, protocol, about in STREAMS]
    )


def _efficiency(view: View, values: Values) -> Answer:
    data, lacks = efficiency(view, values["cluster"])
    return Answer(data, values["cluster"], lacks)


def routes() -> list[Route]:
    """The routes of power now."""
    return [
        Route(
            "/monitoring/power",
            "power",
            "Power of everything",
            "Total power, each watt counted once, by component and cluster; or of some resource types only.",
            (p.CLUSTER, p.several("resource_types", "Only these.", tuple(RESOURCE_TYPES))),
            Power,
            power,
        ),
        Route(
            "/monitoring/power/accelerators",
            "accelerator_power",
            "Power of accelerators",
            "By kind, vendor, model and cluster.",
            (p.CLUSTER,),
            AcceleratorPower,
            accelerator_power,
        ),
        Route(
            "/monitoring/power/infrastructure",
            "infrastructure_power",
            "Power of servers",
            "By component, and how much of it belongs to pods, virtual machines and nobody.",
            (p.CLUSTER,),
            InfrastructurePower,
            infrastructure_power,
        ),
        Route(
            "/monitoring/power/breakdown",
            "power_breakdown",
            "Power, divided",
            "By cluster, node, namespace, vendor, resource type or workload type. The parts add up to the whole.",
            (p.choice("breakdown_by", "How to divide it.", WAYS, "cluster"), p.CLUSTER, p.LIMIT, p.OFFSET),
            Breakdown,
            breakdown,
        ),
        Route(
            "/monitoring/stream/info",
            "streams",
            "Streams",
            "Where events can be read as they happen, and how.",
            (),
            list[Stream],
            _streams,
        ),
        Route(
            "/monitoring/power/efficiency",
            "power_efficiency",
            "PUE and efficiency",
            "PUE as measured or configured, never invented; carbon, price, and how much power is attributed or idle.",
            (p.CLUSTER,),
            Efficiency,
            _efficiency,
        ),
    ]
