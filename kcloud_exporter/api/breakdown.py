"""Breakdown: the power of a cluster, or of all, divided in one way. The parts of every way add up to the whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic import Field

from kcloud_exporter.api.answers import Model
from kcloud_exporter.api.frames import Frame, known
from kcloud_exporter.api.models import quantity
from kcloud_exporter.api.resources import ACCELERATORS, CLUSTERS, NAMESPACES, NODES, PODS, VMS
from kcloud_exporter.api.view import View
from kcloud_exporter.catalogue import COMPONENTS

WAYS: Final = ("cluster", "node", "namespace", "vendor", "resource_type", "workload_type")
ACCELERATED: Final = ("gpu", "npu", "tpu")
SERVER: Final = tuple(component for component in COMPONENTS if component not in ACCELERATED)


class Part(Model):
    """One part of the whole."""

    name: str = Field(description="Its name; `unattributed` or `servers` for the rest.", examples=["ml-team"])
    kind: str = Field(
        description="What it is: the way of dividing; or unattributed, vms, servers: what this way leaves over.",
        examples=["namespace"],
    )
    cluster: str | None = Field(description="Where it is; null when it is in several.", examples=["seoul-a"])
    power_watts: float | None = quantity("Its power.", "watts")
    percent: float | None = quantity("Its part of the whole.", "percent")
    energy_joules: float | None = quantity("Its energy since it was first seen.", "joules")


class Breakdown(Model):
    """The whole and its parts."""

    breakdown_by: str = Field(description="The way of dividing.", examples=["namespace"])
    total_power_watts: float | None = quantity("The whole.", "watts")
    breakdown: list[Part] = Field(description="The parts; their known powers add up to the whole.")


def parts(view: View, by: str, cluster: str | None) -> tuple[float | None, list[dict[str, Any]]]:
    """(the whole in watts, its parts) in one of WAYS. Raises RequestError (404)."""
    whole = view.frame(CLUSTERS, cluster)
    total = whole.total("power_watts")
    found = list(_WAYS[by](view, cluster, whole))
    for part in found:
        watts = part["power_watts"]
        part["percent"] = None if watts is None or not total else watts / total * 100
    return total, found


def _part(
    name: str, kind: str, cluster: str | None, watts: float | None, joules: float | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "cluster": cluster,
        "power_watts": watts,
        "percent": None,
        "energy_joules": joules,
    }


def _rows(frame: Frame, label: str, kind: str) -> Iterable[dict[str, Any]]:
    columns = (frame.texts[label].tolist(), frame.texts["cluster"].tolist())
    numbers = (known(frame.numbers["power_watts"]), known(frame.numbers["energy_joules"]))
    for name, cluster, watts, joules in zip(*columns, *numbers, strict=True):
        yield _part(name, kind, cluster, watts, joules)


def _by_cluster(_: View, __: str | None, whole: Frame) -> Iterable[dict[str, Any]]:
    return _rows(whole, "cluster", "cluster")


def _by_node(view: View, cluster: str | None, _: Frame) -> Iterable[dict[str, Any]]:
    return _rows(view.frame(NODES, cluster), "node", "node")


def _by_namespace(view: View, cluster: str | None, whole: Frame) -> Iterable[dict[str, Any]]:
    yield from _rows(view.frame(NAMESPACES, cluster), "namespace", "namespace")
    yield from _left_over(view, whole)


def _by_vendor(view: View, cluster: str | None, whole: Frame) -> Iterable[dict[str, Any]]:
    frame = view.frame(ACCELERATORS, cluster)
    for vendor in dict.fromkeys(frame.texts["vendor"].tolist()):
        of = frame.take(frame.texts["vendor"] == vendor)
        yield _part(vendor or "unknown", "vendor", cluster, of.total("power_watts"), of.total("energy_joules"))
    rest = [watts for c in SERVER if (watts := whole.total(f"{c}_power_watts")) is not None]
    if rest:
        yield _part("servers", "servers", cluster, sum(rest))


def _by_component(_: View, cluster: str | None, whole: Frame) -> Iterable[dict[str, Any]]:
    for component in COMPONENTS:
        watts = whole.total(f"{component}_power_watts")
        if watts is not None:
            yield _part(component, "resource_type", cluster, watts)


def _by_workload(view: View, cluster: str | None, whole: Frame) -> Iterable[dict[str, Any]]:
    """Pods by the kind of what created them, as Kubernetes tells it: Job, StatefulSet, DaemonSet, ReplicaSet, ..."""
    frame = view.frame(PODS, cluster)
    kinds = frame.texts["owner_kind"]
    for kind in dict.fromkeys(kinds.tolist()):
        of = frame.take(kinds == kind)
        watts = of.total("power_watts")
        if watts is not None:
            yield _part(kind or "unknown", "workload_type", cluster, watts, of.total("energy_joules"))
    yield from _left_over(view, whole)


def _left_over(view: View, whole: Frame) -> Iterable[dict[str, Any]]:
    """What belongs to no pod, cluster by cluster: to virtual machines, or to nobody."""
    for name in whole.texts["cluster"].tolist():
        machines = view.frame(VMS, name)
        if len(machines):
            yield _part("vms", "vms", name, machines.total("power_watts"), machines.total("energy_joules"))
        nobody = view.frame(NODES, name).total("unattributed_power_watts")
        if nobody is not None:
            yield _part("unattributed", "unattributed", name, nobody)


_WAYS: Final = {
    "cluster": _by_cluster,
    "node": _by_node,
    "namespace": _by_namespace,
    "vendor": _by_vendor,
    "resource_type": _by_component,
    "workload_type": _by_workload,
}
