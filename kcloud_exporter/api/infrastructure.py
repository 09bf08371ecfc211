"""Infrastructure: nodes and pods."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from pydantic import Field

from kcloud_exporter import catalogue
from kcloud_exporter.api import parameters as p
from kcloud_exporter.api.accelerators import Device, left_out, status_of
from kcloud_exporter.api.aggregates import counted, mean
from kcloud_exporter.api.answers import Answer, Model, lack, paged
from kcloud_exporter.api.frames import Frame, total_by
from kcloud_exporter.api.models import quantity, row_model
from kcloud_exporter.api.resources import ACCELERATORS, NODES, PODS
from kcloud_exporter.api.routes import Moment, Route, Values
from kcloud_exporter.api.statistics import Statistics, statistics
from kcloud_exporter.api.view import View, no_such
from kcloud_exporter.catalogue import COMPONENTS
from kcloud_exporter.errors import RequestError

ROLES: Final = ("master", "worker", "control-plane")
STATUSES: Final = ("ready", "not_ready", "measured", "partial", "missing")
_CONTROL: Final = ("master", "control-plane")

Node = row_model("Node", NODES)
Pod = row_model("Pod", PODS)
NodeDetail = row_model(
    "NodeDetail",
    NODES,
    accelerators=(list[Device], Field(description="Its accelerators.")),  # type: ignore[valid-type]
    pods=(list[Pod], Field(description="Its pods, the thousand that draw most.")),  # type: ignore[valid-type]
)
NodePower = row_model(
    "NodePower",
    NODES,
    statistics=(Statistics | None, Field(description="Over the period, from history; null when none was asked for.")),
)
PodPower = row_model(
    "PodPower",
    PODS,
    statistics=(Statistics | None, Field(description="Over the period, from history; null when none was asked for.")),
)


class NodesSummary(Model):
    """Nodes summed up."""

    total_count: int = Field(description="How many there are.", examples=[10])
    metered_count: int = Field(description="How many of them tell any power.", examples=[10])
    total_power_watts: float | None = quantity("Power of all.", "watts")
    power_watts_by_component: dict[str, float] = Field(description="By component.", examples=[{"cpu": 531.7}])
    unattributed_power_watts: float | None = quantity("Power that belongs to no pod and no VM.", "watts")
    average_power_watts: float | None = quantity("Mean over the nodes that tell any power.", "watts")
    total_energy_joules: float | None = quantity("Energy of all since they were first seen.", "joules")
    total_gpus: int = Field(description="GPUs of all.", examples=[18])
    total_npus: int = Field(description="NPUs of all.", examples=[6])
    by_state: dict[str, int] = Field(description="How many in each state.", examples=[{"measured": 10}])
    power_watts_by_cluster: dict[str, float] = Field(description="By cluster.", examples=[{"seoul-a": 3500.0}])


class PodsSummary(Model):
    """Pods summed up."""

    total_count: int = Field(description="How many there are.", examples=[16])
    total_power_watts: float | None = quantity("Power of all.", "watts")
    power_watts_by_component: dict[str, float] = Field(description="By component.", examples=[{"gpu": 2900.0}])
    average_power_watts: float | None = quantity("Mean over the pods that tell any power.", "watts")
    total_energy_joules: float | None = quantity("Energy of all since they were first seen.", "joules")
    power_watts_by_namespace: dict[str, float] = Field(description="By namespace.", examples=[{"ml-team": 2900.0}])


def nodes(view: View, values: Values) -> Frame:
    """The nodes that the filters of a request leave."""
    frame = view.frame(NODES, values["cluster"])
    role, status = values.get("role"), values.get("status")
    if role is not None:
        controls = np.isin(frame.texts["role"].astype(str), _CONTROL)
        frame = frame.take(controls if role in _CONTROL else ~controls)
    if status in ("ready", "not_ready"):
        frame = frame.take(frame.numbers["ready"] == (1.0 if status == "ready" else 0.0))
    return frame.where(state=status) if status in ("measured", "partial", "missing") else frame


def one_node(view: View, values: Values) -> Frame:
    """The node that a path names. Raises RequestError (404; 400 when several clusters have one of that name)."""
    cluster, name = values.get("cluster"), values["node_name"]
    whole = view.frame(NODES, cluster)
    frame = whole.where(node=name)
    if not len(frame):
        raise no_such("node", name, whole.texts["node"].tolist(), cluster)
    return _only(frame, name, "node_name")


def _only(frame: Frame, name: str, parameter: str) -> Frame:
    """The frame if it has one row. Raises RequestError (400) that says where the others are."""
    if len(frame) > 1:
        places = ", ".join(f"{c}/{n}" for c, n in zip(frame.texts["cluster"], frame.texts["node"], strict=True))
        told = f"{parameter}: {name[:60]!r} is in several places ({places[:300]}); say cluster or node as well"
        raise RequestError(400, told, {"parameter": parameter})
    return frame


def node_detail(view: View, values: Values) -> Answer:
    """Everything of one node, its accelerators and pods."""
    frame = one_node(view, values)
    cluster, name = frame.texts["cluster"][0], frame.texts["node"][0]
    without = left_out(values)
    row = frame.rows(without)[0]
    held = view.frame(ACCELERATORS, cluster).where(node=name)
    row["accelerators"] = held.with_texts(status=status_of(held)).rows(without)
    pods_here = view.frame(PODS, cluster).where(node=name)
    most = np.argsort(-np.nan_to_num(pods_here.numbers["power_watts"]), kind="stable")[: p.USUAL]
    row["pods"] = pods_here.take(most).rows(without)
    return Answer(row, cluster)


async def node_power(moment: Moment, values: Values) -> Answer:
    """Power of one node, with statistics over a period when one is asked for."""
    frame = one_node(moment.view, values)
    row = frame.rows(("metrics",))[0]
    labels = {"cluster": row["cluster"], "node": row["node"]}
    row["statistics"] = await statistics(
        moment, values["period"], catalogue.NODE_POWER.name, catalogue.NODE_ENERGY.name, labels
    )
    return Answer(row, row["cluster"])


def node_metrics(view: View, values: Values) -> Answer:
    """Readings of one node."""
    frame = one_node(view, values)
    return Answer(frame.rows()[0], frame.texts["cluster"][0])


def nodes_summary(view: View, values: Values) -> Answer:
    """All nodes, or those of a cluster, summed up."""
    frame = nodes(view, values)
    return Answer(
        {
            "total_count": len(frame),
            "metered_count": int((~np.isnan(frame.numbers["power_watts"])).sum()),
            "total_power_watts": frame.total("power_watts"),
            "power_watts_by_component": by_component(frame),
            "unattributed_power_watts": frame.total("unattributed_power_watts"),
            "average_power_watts": mean(frame, "power_watts"),
            "total_energy_joules": frame.total("energy_joules"),
            "total_gpus": int(frame.total("gpu_count") or 0),
            "total_npus": int(frame.total("npu_count") or 0),
            "by_state": counted(frame, "state"),
            "power_watts_by_cluster": total_by(frame.texts["cluster"], frame.numbers["power_watts"]),
        },
        values["cluster"],
    )


def by_component(frame: Frame) -> dict[str, float]:
    """Component → watts of all rows, for the components of which anything is known."""
    sums = {component: frame.total(f"{component}_power_watts") for component in COMPONENTS}
    return {component: watts for component, watts in sums.items() if watts is not None}


def pods(view: View, values: Values) -> Frame:
    """The pods that the filters of a request leave. Raises RequestError."""
    cluster, node, namespace = values["cluster"], values.get("node"), values["namespace"]
    view.check_node(node, cluster)
    frame = view.frame(PODS, cluster)
    check_namespace(frame, namespace, cluster)
    if values.get("label_selector") is not None:
        told = "label_selector: labels of pods are not read; choose pods by cluster, namespace or node"
        raise RequestError(400, told, {"parameter": "label_selector"})
    return between(frame.where(node=node, namespace=namespace), values)


def check_namespace(frame: Frame, namespace: str | None, cluster: str | None) -> None:
    """Raises RequestError (404) for a namespace in which nothing of the frame is."""
    if namespace is not None and not bool((frame.texts["namespace"] == namespace).any()):
        raise no_such("namespace", namespace, frame.texts["namespace"].tolist(), cluster)


def between(frame: Frame, values: Values) -> Frame:
    """Rows whose power lies between `min_power` and `max_power`. One whose power is unknown lies between nothing."""
    low, high = values.get("min_power"), values.get("max_power")
    if low is None and high is None:
        return frame
    if low is not None and high is not None and low > high:
        raise RequestError(400, "min_power: more than max_power", {"parameter": "min_power"})
    with np.errstate(invalid="ignore"):
        watts = frame.numbers["power_watts"]
        return frame.take((watts >= (-np.inf if low is None else low)) & (watts <= (np.inf if high is None else high)))


def one_pod(view: View, values: Values) -> Frame:
    """The pod that a path names. Raises RequestError (404; 400 when there are several)."""
    cluster, node, namespace, name = values["cluster"], values["node"], values["namespace"], values["pod_name"]
    view.check_node(node, cluster)
    frame = view.frame(PODS, cluster)
    check_namespace(frame, namespace, cluster)
    found = frame.where(node=node, namespace=namespace, pod=name)
    if not len(found):
        known = frame.where(namespace=namespace).texts["pod"].tolist()
        raise no_such("pod", f"{namespace}/{name}", known, cluster)
    return _only(found, f"{namespace}/{name}", "pod_name")


def pod_detail(view: View, values: Values) -> Answer:
    """Everything of one pod."""
    frame = one_pod(view, values)
    return Answer(frame.rows(left_out(values))[0], frame.texts["cluster"][0])


async def pod_power(moment: Moment, values: Values) -> Answer:
    """Power of one pod, with statistics over a period when one is asked for."""
    row = one_pod(moment.view, values).rows()[0]
    labels = {label: row[label] for label in ("cluster", "namespace", "pod")}
    row["statistics"] = await statistics(
        moment, values["period"], catalogue.POD_POWER.name, catalogue.POD_ENERGY.name, labels
    )
    return Answer(row, row["cluster"])


def pods_summary(view: View, values: Values) -> Answer:
    """All pods, or those of a cluster or namespace, summed up."""
    frame = pods(view, values)
    data: dict[str, Any] = {
        "total_count": len(frame),
        "total_power_watts": frame.total("power_watts"),
        "power_watts_by_component": by_component(frame),
        "average_power_watts": mean(frame, "power_watts"),
        "total_energy_joules": frame.total("energy_joules"),
        "power_watts_by_namespace": total_by(frame.texts["namespace"], frame.numbers["power_watts"]),
    }
    return Answer(data, values["cluster"])


_SELECTOR: Final = p.text("label_selector", "Refused: labels of pods are not read.")
MIN_POWER: Final = p.number("min_power", "Only what draws at least so many watts.", 10.0)
MAX_POWER: Final = p.number("max_power", "Only what draws at most so many watts.", 5000.0)
_NODE_NAME: Final = p.text("node_name", "Name of the node.", "gpu-1", path=True)
_POD: Final = (
    p.at_path(p.NAMESPACE),
    p.text("pod_name", "Name of the pod.", "llama-pretrain-0", path=True),
    p.CLUSTER,
    p.NODE,
)


def _list_of_pods(view: View, values: Values) -> Answer:
    lacks = []
    if values["period"] is not None:
        lacks.append(lack("period", "a list tells the power of now; .../pods/{namespace}/{pod_name}/power has periods"))
    return paged(pods(view, values), values, left_out(values), lacks=lacks)


def routes() -> list[Route]:
    """The routes of nodes and pods."""
    role = p.choice("role", "Only nodes of this role.", ROLES)
    status = p.choice("status", "Only nodes that are so, by Kubernetes or by how well they are measured.", STATUSES)
    return [
        Route(
            "/infrastructure/nodes",
            "nodes",
            "Nodes, one by one",
            "Every node with its power by component, its whole-server meter, and its accelerators counted.",
            (p.CLUSTER, role, status, p.METRICS, p.POWER, p.LIMIT, p.OFFSET),
            list[Node],  # type: ignore[valid-type]
            lambda view, values: paged(nodes(view, values), values, left_out(values)),
        ),
        Route(
            "/infrastructure/nodes/summary",
            "nodes_summary",
            "Nodes, summed up",
            "Totals and means of what is known.",
            (p.CLUSTER,),
            NodesSummary,
            nodes_summary,
        ),
        Route(
            "/infrastructure/nodes/{node_name}",
            "node",
            "One node",
            "Everything that is known of one node, with its accelerators and pods.",
            (_NODE_NAME, p.CLUSTER, p.METRICS, p.POWER),
            NodeDetail,
            node_detail,
        ),
        Route(
            "/infrastructure/nodes/{node_name}/power",
            "node_power",
            "Power of one node",
            "By component; with `period` also mean, extremes and energy over that time, from history.",
            (_NODE_NAME, p.CLUSTER, p.PERIOD),
            NodePower,
            ask=node_power,
        ),
        Route(
            "/infrastructure/nodes/{node_name}/metrics",
            "node_metrics",
            "Readings of one node",
            "Power, utilisation and memory of its accelerators, and temperatures.",
            (_NODE_NAME, p.CLUSTER),
            Node,
            node_metrics,
        ),
        Route(
            "/infrastructure/pods",
            "pods",
            "Pods, one by one",
            "Every pod with its power by component, accelerators included.",
            (
                *(p.CLUSTER, p.NAMESPACE, p.NODE, _SELECTOR, p.PERIOD, MIN_POWER, MAX_POWER),
                *(p.METRICS, p.POWER, p.LIMIT, p.OFFSET),
            ),
            list[Pod],  # type: ignore[valid-type]
            _list_of_pods,
        ),
        Route(
            "/infrastructure/pods/summary",
            "pods_summary",
            "Pods, summed up",
            "Totals and means of what is known.",
            (p.CLUSTER, p.NAMESPACE),
            PodsSummary,
            pods_summary,
        ),
        Route(
            "/infrastructure/pods/{namespace}/{pod_name}",
            "pod",
            "One pod",
            "Everything that is known of one pod.",
            (*_POD, p.METRICS, p.POWER),
            Pod,
            pod_detail,
        ),
        Route(
            "/infrastructure/pods/{namespace}/{pod_name}/power",
            "pod_power",
            "Power of one pod",
            "By component; with `period` also mean, extremes and energy over that time, from history.",
            (*_POD, p.PERIOD),
            PodPower,
            ask=pod_power,
        ),
    ]
