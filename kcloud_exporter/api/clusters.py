"""Clusters: what each is, draws and consists of."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from pydantic import Field

from kcloud_exporter import catalogue
from kcloud_exporter.api import parameters as p
from kcloud_exporter.api.accelerators import Summary as AcceleratorSummary
from kcloud_exporter.api.accelerators import status_of, summed
from kcloud_exporter.api.answers import Answer, Model, page, paged
from kcloud_exporter.api.breakdown import Part, parts
from kcloud_exporter.api.efficiency import Efficiency, efficiency
from kcloud_exporter.api.frames import Frame, Texts
from kcloud_exporter.api.infrastructure import (
    NodesSummary,
    PodsSummary,
    check_namespace,
    nodes_summary,
    pods_summary,
)
from kcloud_exporter.api.models import quantity, row_model
from kcloud_exporter.api.resources import ACCELERATORS, CLUSTERS, HOLDINGS, NODES, PODS, VMS
from kcloud_exporter.api.routes import Route, Values
from kcloud_exporter.api.view import View
from kcloud_exporter.catalogue import COMPONENTS

_WAYS: Final = ("node", "namespace", "workload_type", "vendor", "resource_type")
_MORE: Final[dict[str, Any]] = {
    "site": (str, Field(description="The site on which it stands.", examples=["icn1"])),
    "labels": (dict[str, str], Field(description="Its configured labels.", examples=[{"region": "kr-1"}])),
    "status": (
        str,
        Field(description="healthy, degraded (something is missing) or down.", examples=["healthy"]),
    ),
    "sources_up": (int, Field(description="Sources whose last answer was good.", examples=[12])),
    "sources_total": (int, Field(description="Sources that were asked.", examples=[12])),
}
Cluster = row_model("Cluster", CLUSTERS, **_MORE)


class ClusterSummary(Model):
    """One cluster, its nodes, pods and accelerators summed up."""

    cluster: Cluster = Field(description="The cluster.")  # type: ignore[valid-type]
    nodes: NodesSummary = Field(description="Its nodes.")
    pods: PodsSummary = Field(description="Its pods.")
    accelerators: AcceleratorSummary = Field(description="Its accelerators.")


class ClusterPower(Model):
    """Power of one cluster, divided where that is asked for."""

    cluster: str = Field(description="The cluster.", examples=["seoul-a"])
    total_power_watts: float | None = quantity("Power of all its nodes.", "watts")
    components: dict[str, float] = Field(description="By component.", examples=[{"gpu": 2000.0, "cpu": 530.0}])
    total_energy_joules: float | None = quantity("Energy of all its nodes.", "joules")
    breakdown_by: str | None = Field(description="How it is divided; null: it is not.", examples=["namespace"])
    breakdown: list[Part] | None = Field(description="The parts; null when none were asked for.")
    efficiency: Efficiency | None = Field(description="With include_efficiency; null otherwise.")


class TopologyHolder(Model):
    """Who holds a device or a part of it: a container, or a virtual machine."""

    namespace: str = Field(description="Its namespace; empty: a virtual machine.", examples=["ml-team"])
    pod: str = Field(description="Its pod; of a virtual machine project/name.", examples=["llama-pretrain-0"])
    container: str = Field(description="Its container.", examples=["trainer"])
    allocation_ratio: float = Field(description="Part of the device.", examples=[1.0])


class TopologyDevice(Model):
    """One accelerator in the topology."""

    uuid: str = Field(description="Its uuid.", examples=["GPU-650ccad1-9e57-4176-aa2d-fb655d7e3d51"])
    kind: str | None = Field(description="gpu, npu or tpu.", examples=["gpu"])
    model: str | None = Field(description="Its model.", examples=["NVIDIA H100 80GB HBM3"])
    power_watts: float | None = quantity("Its power.", "watts")
    held_by: list[TopologyHolder] = Field(description="Who holds it.")


class TopologyPod(Model):
    """One pod in the topology."""

    namespace: str = Field(description="Its namespace.", examples=["ml-team"])
    pod: str = Field(description="Its name.", examples=["llama-pretrain-0"])
    power_watts: float | None = quantity("Its power.", "watts")


class TopologyVm(Model):
    """One virtual machine in the topology."""

    project: str = Field(description="Its project.", examples=["research"])
    vm: str = Field(description="Its name.", examples=["vm-0042"])
    power_watts: float | None = quantity("Its power.", "watts")


class TopologyNode(Model):
    """One node with what runs on it."""

    node: str = Field(description="Its name.", examples=["gpu-1"])
    power_watts: float | None = quantity("Its power.", "watts")
    unattributed_power_watts: float | None = quantity("What of it belongs to no pod and no virtual machine.", "watts")
    accelerators: list[TopologyDevice] = Field(description="Its accelerators.")
    pods: list[TopologyPod] | None = Field(description="Its pods, with include_pods; null otherwise.")
    vms: list[TopologyVm] | None = Field(description="Its virtual machines, with include_pods; null otherwise.")


class Topology(Model):
    """One cluster as a tree: nodes, their accelerators, who holds them, pods and virtual machines."""

    cluster: str = Field(description="The cluster.", examples=["seoul-a"])
    site: str = Field(description="The site on which it stands.", examples=["icn1"])
    total_power_watts: float | None = quantity("Power of all its nodes.", "watts")
    nodes: list[TopologyNode] = Field(description="Its nodes; limit and offset page them.")


def with_state(view: View, frame: Frame) -> list[dict[str, Any]]:
    """Rows of clusters with their site, labels, and how they are."""
    names = ("cluster", "site", *view.snapshot.cluster_labels)
    info = {row[0]: row for row, _ in view.rows_of(catalogue.CLUSTER_INFO_NAME)}
    rows = frame.rows()
    for row in rows:
        name = row["cluster"]
        states = [value for _, value in view.rows_of(catalogue.SOURCE_UP.name, name)]
        told = dict(zip(names, info.get(name, ()), strict=False))
        row["site"] = view.site_of(name)
        row["labels"] = {label: value for label, value in told.items() if label not in ("cluster", "site") and value}
        row["sources_up"], row["sources_total"] = sum(map(bool, states)), len(states)
        if row["power_watts"] is None:
            row["status"] = "down"
        else:
            row["status"] = "healthy" if all(states) and row["completeness_ratio"] in (None, 1.0) else "degraded"
    return rows


def _list(view: View, values: Values) -> Answer:
    frame = view.frame(CLUSTERS)
    answer = paged(frame, values)
    part = frame.take(slice(values["offset"], values["offset"] + values["limit"]))
    answer.data = with_state(view, part)
    return answer


def _one(view: View, values: Values) -> Answer:
    name = values["cluster_name"]
    rows = with_state(view, view.frame(CLUSTERS, name))
    return Answer(rows[0], name)


def _summary(view: View, values: Values) -> Answer:
    name = values["cluster_name"]
    asked = {"cluster": name, "namespace": None}
    devices = view.frame(ACCELERATORS, name)
    data = {
        "cluster": with_state(view, view.frame(CLUSTERS, name))[0],
        "nodes": nodes_summary(view, asked).data,
        "pods": pods_summary(view, asked).data,
        "accelerators": summed(devices.with_texts(status=status_of(devices))),
    }
    return Answer(data, name)


def _power(view: View, values: Values) -> Answer:
    name, by = values["cluster_name"], values["breakdown_by"]
    frame = view.frame(CLUSTERS, name)
    sums = {component: frame.total(f"{component}_power_watts") for component in COMPONENTS}
    told, lacks = efficiency(view, name) if values["include_efficiency"] else (None, [])
    found = parts(view, by, name)[1] if by else None
    shown = found[values["offset"] : values["offset"] + values["limit"]] if found is not None else None
    data = {
        "cluster": name,
        "total_power_watts": frame.total("power_watts"),
        "components": {component: watts for component, watts in sums.items() if watts is not None},
        "total_energy_joules": frame.total("energy_joules"),
        "breakdown_by": by,
        "breakdown": shown,
        "efficiency": told,
    }
    paging = page(len(found), len(shown), values) if found is not None and shown is not None else {}
    return Answer(data, name, lacks, paging)


def _topology(view: View, values: Values) -> Answer:
    name, namespace = values["cluster_name"], values["namespace"]
    nodes = view.frame(NODES, name)
    part = nodes.take(slice(values["offset"], values["offset"] + values["limit"]))
    chosen = set(part.texts["node"].tolist())
    held: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in _of(view.frame(HOLDINGS, name), chosen, namespace):
        told = {key: row[key] for key in TopologyHolder.model_fields}
        held.setdefault((row["node"], row["uuid"]), []).append(told)
    devices: dict[str, list[dict[str, Any]]] = {}
    for row in _of(view.frame(ACCELERATORS, name), chosen):
        told = {key: row[key] for key in ("uuid", "kind", "model", "power_watts")}
        devices.setdefault(row["node"], []).append(told | {"held_by": held.get((row["node"], row["uuid"]), [])})
    pods: dict[str, list[dict[str, Any]]] = {}
    vms: dict[str, list[dict[str, Any]]] = {}
    check_namespace(view.frame(PODS, name), namespace, name)
    if values["include_pods"]:
        for row in _of(view.frame(PODS, name), chosen, namespace):
            pods.setdefault(row["node"], []).append({key: row[key] for key in TopologyPod.model_fields})
        for row in _of(view.frame(VMS, name), chosen) if namespace is None else ():  # a VM lives in no namespace
            vms.setdefault(row["node"], []).append({key: row[key] for key in TopologyVm.model_fields})
    data = {
        "cluster": name,
        "site": view.site_of(name),
        "total_power_watts": view.frame(CLUSTERS, name).total("power_watts"),
        "nodes": [
            {
                **{key: row[key] for key in ("node", "power_watts", "unattributed_power_watts")},
                "accelerators": devices.get(row["node"], []),
                "pods": pods.get(row["node"], []) if values["include_pods"] else None,
                "vms": vms.get(row["node"], []) if values["include_pods"] else None,
            }
            for row in part.rows()
        ],
    }
    return Answer(data, name, page=page(len(nodes), len(part), values))


def _of(frame: Frame, nodes: set[str], namespace: str | None = None) -> list[dict[str, Any]]:
    """Rows of some nodes, and of one namespace where one is given."""
    texts: Texts = frame.texts["node"]
    found = frame.take(np.array([node in nodes for node in texts.tolist()], bool))
    return found.where(namespace=namespace).rows()


_NAME: Final = p.text("cluster_name", "Name of the cluster.", "seoul-a", path=True)


def routes() -> list[Route]:
    """The routes of the domain."""
    pods = p.flag("include_pods", "The pods and virtual machines of each node as well.", default=True)
    return [
        Route(
            "/clusters",
            "clusters",
            "Clusters",
            "Every cluster with its site, labels, power, completeness, and the state of its sources.",
            (p.LIMIT, p.OFFSET),
            list[Cluster],  # type: ignore[valid-type]
            _list,
        ),
        Route("/clusters/{cluster_name}", "cluster", "One cluster", "As in the list.", (_NAME,), Cluster, _one),
        Route(
            "/clusters/{cluster_name}/summary",
            "cluster_summary",
            "One cluster, summed up",
            "The cluster, its nodes, pods and accelerators.",
            (_NAME,),
            ClusterSummary,
            _summary,
        ),
        Route(
            "/clusters/{cluster_name}/topology",
            "cluster_topology",
            "One cluster as a tree",
            "Nodes, their accelerators and who holds them, pods and virtual machines.",
            (_NAME, pods, p.NAMESPACE, p.LIMIT, p.OFFSET),
            Topology,
            _topology,
        ),
        Route(
            "/clusters/{cluster_name}/power",
            "cluster_power",
            "Power of one cluster",
            "By component, and divided by node, namespace, workload type, vendor or resource type.",
            (
                _NAME,
                p.choice("breakdown_by", "How to divide it.", _WAYS),
                p.flag("include_efficiency", "PUE and the like as well.", default=False),
                p.LIMIT,
                p.OFFSET,
            ),
            ClusterPower,
            _power,
        ),
    ]
