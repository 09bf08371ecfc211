"""Workloads: containers of pods, and virtual machines."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
from pydantic import Field

from kcloud_exporter.api import parameters as p
from kcloud_exporter.api.accelerators import left_out
from kcloud_exporter.api.aggregates import mean
from kcloud_exporter.api.answers import Answer, Model, lack, paged
from kcloud_exporter.api.frames import Frame, total_by
from kcloud_exporter.api.infrastructure import MAX_POWER, MIN_POWER, between, by_component, check_namespace
from kcloud_exporter.api.models import quantity, row_model
from kcloud_exporter.api.resources import ACCELERATORS, CONTAINERS, HOLDINGS, PODS, VMS
from kcloud_exporter.api.routes import Moment, Route, Values
from kcloud_exporter.api.statistics import Statistics, statistics
from kcloud_exporter.api.view import View, no_such
from kcloud_exporter.errors import RequestError
from kcloud_exporter.model import Floats

_POWER: Final = "Its part of the accelerators, and the pod's other power where it is the pod's only container."
Container = row_model(
    "Container",
    CONTAINERS,
    accelerator_power_watts=(
        float | None,
        quantity("Its part of the power of accelerators.", "watts"),
    ),
    power_watts=(float | None, quantity(_POWER, "watts")),
)
Vm = row_model("Vm", VMS)
VmPower = row_model(
    "VmPower",
    VMS,
    statistics=(Statistics | None, Field(description="Over the period, from history; null when none was asked for.")),
)
_NO_IDS: Final = lack("container_id", "kube-state-metrics tells no kube_pod_container_info here")
_SHARED: Final = lack("power_watts", "meters tell CPU and memory per pod: of several containers it is nobody's alone")
_ENDED: Final = lack("include_terminated", "a container that has ended has no power; what is listed runs")
_NO_VMS: Final = lack("vms", "no source tells of virtual machines")
_STATUSES: Final = ("running", "stopped")


class VmsSummary(Model):
    """Virtual machines summed up."""

    total_count: int = Field(description="How many there are.", examples=[12])
    total_power_watts: float | None = quantity("Power of all.", "watts")
    power_watts_by_component: dict[str, float] = Field(description="By component.", examples=[{"cpu": 320.0}])
    average_power_watts: float | None = quantity("Mean of those that tell any power.", "watts")
    total_energy_joules: float | None = quantity("Energy of all since they were first seen.", "joules")
    power_watts_by_project: dict[str, float] = Field(description="By project.", examples=[{"research": 320.0}])


def _by_key(view: View, cluster: str | None) -> tuple[dict[tuple[str, ...], float], dict[tuple[str, ...], float]]:
    """Watts of devices by (cluster, node, uuid), and of pods by (cluster, node, namespace, pod)."""
    devices, pods = view.frame(ACCELERATORS, cluster), view.frame(PODS, cluster)

    def keyed(frame: Frame) -> dict[tuple[str, ...], float]:
        keys = zip(*(frame.texts[label].tolist() for label in frame.resource.key), strict=True)
        return dict(zip(keys, frame.numbers["power_watts"].tolist(), strict=True))

    return keyed(devices), keyed(pods)


def containers(view: View, cluster: str | None) -> Frame:
    """All containers with their power.

    Some exporters tell the pod that holds a device and not its container: where the pod has one only, it is that.
    """
    frame = view.frame(CONTAINERS, cluster)
    holdings = view.frame(HOLDINGS, cluster)
    devices, pods = _by_key(view, cluster)
    labels = CONTAINERS.key
    keys = list(zip(*(frame.texts[label].tolist() for label in labels), strict=True))
    of_devices: dict[tuple[str, ...], float] = {}
    held = zip(
        *(holdings.texts[label].tolist() for label in (*labels, "uuid")),
        holdings.numbers["allocation_ratio"].tolist(),
        strict=True,
    )
    for *key, uuid, ratio in held:
        watts = ratio * devices.get((key[0], key[1], uuid), np.nan)
        of_devices[tuple(key)] = of_devices.get(tuple(key), 0.0) + watts
    frame, keys = _named(frame, keys, of_devices)
    in_pod = Counter(key[:4] for key in keys)
    accelerated: Floats = np.array([of_devices.get(key, np.nan) for key in keys], np.float64)
    alone: Floats = np.array(
        [pods.get(key[:4], np.nan) if in_pod[key[:4]] == 1 else np.nan for key in keys], np.float64
    )
    return frame.with_numbers(accelerator_power_watts=accelerated, power_watts=alone)


def _named(
    frame: Frame, keys: list[tuple[str, ...]], of_devices: dict[tuple[str, ...], float]
) -> tuple[Frame, list[tuple[str, ...]]]:
    """The rows without those of no name whose pod has just one container: what they hold, in watts too, is its."""
    rows = {key: row for row, key in enumerate(keys)}
    named = Counter(key[:4] for key in keys if key[4])
    only = {key[:4]: key for key in keys if key[4] and named[key[:4]] == 1}
    nameless = [key for key in keys if not key[4] and key[:4] in only]
    if not nameless:
        return frame, keys
    held = frame.numbers["accelerators_held"].copy()
    for key in nameless:
        one = only[key[:4]]
        held[rows[one]] = np.nansum([held[rows[one]], held[rows[key]]])
        of_devices[one] = of_devices.get(one, 0.0) + of_devices.pop(key, 0.0)
    gone = {rows[key] for key in nameless}
    kept = np.array([row for row in range(len(keys)) if row not in gone], np.int64)
    return frame.with_numbers(accelerators_held=held).take(kept), [keys[row] for row in kept.tolist()]


def list_containers(view: View, values: Values) -> Answer:
    """The containers that the filters of a request leave."""
    cluster, namespace, pod = values["cluster"], values["namespace"], values["pod"]
    view.check_node(values["node"], cluster)
    frame = containers(view, cluster)
    check_namespace(frame, namespace, cluster)
    found = frame.where(namespace=namespace, node=values["node"], pod=pod)
    if pod is not None and not len(found):
        raise no_such("pod", pod, frame.where(namespace=namespace).texts["pod"].tolist(), cluster)
    lacks = _lacks(frame)
    if values["include_terminated"]:
        lacks.append(_ENDED)
    return paged(between(found, values), values, left_out(values), lacks=lacks)


def _lacks(frame: Frame) -> list[dict[str, Any]]:
    """What the list does not know of its containers."""
    lacks = []
    if len(frame) and not any(frame.texts["container_id"].tolist()):
        lacks.append(_NO_IDS)
    if bool(np.isnan(frame.numbers["power_watts"]).any()):
        lacks.append(_SHARED)
    return lacks


def one_container(view: View, values: Values) -> Answer:
    """A container by its id (with or without the runtime in front), or as namespace/pod/container."""
    wanted = values["container_id"]
    frame = containers(view, values["cluster"])
    ids = frame.texts["container_id"].tolist()
    rows = [at for at, each in enumerate(ids) if each and wanted in (each, each.rpartition("://")[2])]
    if not rows and wanted.count("/") == 2:
        namespace, pod, container = wanted.split("/")
        mask = [frame.texts[f] == v for f, v in (("namespace", namespace), ("pod", pod), ("container", container))]
        rows = np.flatnonzero(np.logical_and.reduce(mask)).tolist()
    if not rows:
        known = [each for each in ids if each] or ["namespace/pod/container"]
        raise no_such("container", wanted, known, values["cluster"])
    if len(rows) > 1:
        told = f"container_id: {wanted[:60]!r} names {len(rows)} containers; say the cluster as well"
        raise RequestError(400, told, {"parameter": "container_id"})
    found = frame.take(np.array(rows, np.int64))
    return Answer(found.rows(left_out(values))[0], found.texts["cluster"][0], _lacks(found))


def vms(view: View, values: Values) -> tuple[Frame, list[dict[str, Any]]]:
    """The virtual machines that the filters of a request leave, and what is not known of them."""
    cluster, project, hypervisor = values["cluster"], values.get("project"), values.get("hypervisor")
    view.check_node(hypervisor, cluster)
    frame = view.frame(VMS, cluster)
    lacks = [] if len(view.frame(VMS)) else [_NO_VMS]
    if project is not None and not bool((frame.texts["project"] == project).any()):
        raise no_such("project", project, frame.texts["project"].tolist(), cluster)
    if values.get("status") == "stopped":
        lacks.append(lack("status", "a virtual machine that is stopped has no power; what is listed runs"))
        frame = frame.take(slice(0, 0))
    return frame.where(project=project, node=hypervisor), lacks


def list_vms(view: View, values: Values) -> Answer:
    """Virtual machines, one by one."""
    frame, lacks = vms(view, values)
    if values["period"] is not None:
        lacks.append(lack("period", "a list tells the power of now; .../vms/{vm_id}/power has periods"))
    return paged(frame, values, lacks=lacks)


def vms_summary(view: View, values: Values) -> Answer:
    """Virtual machines, summed up."""
    frame, lacks = vms(view, values)
    data = {
        "total_count": len(frame),
        "total_power_watts": frame.total("power_watts"),
        "power_watts_by_component": by_component(frame),
        "average_power_watts": mean(frame, "power_watts"),
        "total_energy_joules": frame.total("energy_joules"),
        "power_watts_by_project": total_by(frame.texts["project"], frame.numbers["power_watts"]),
    }
    return Answer(data, values["cluster"], lacks)


def one_vm(view: View, values: Values) -> Frame:
    """The virtual machine that a path names. Raises RequestError (404, 400)."""
    whole = view.frame(VMS, values["cluster"])
    frame = whole.where(vm=values["vm_id"])
    if not len(frame):
        raise no_such("virtual machine", values["vm_id"], whole.texts["vm"].tolist(), values["cluster"])
    if len(frame) > 1:
        raise RequestError(400, "vm_id: several have this name; say the cluster as well", {"parameter": "vm_id"})
    return frame


def vm_detail(view: View, values: Values) -> Answer:
    """One virtual machine."""
    frame = one_vm(view, values)
    return Answer(frame.rows()[0], frame.texts["cluster"][0])


async def vm_power(moment: Moment, values: Values) -> Answer:
    """Power of one virtual machine, with statistics over a period when one is asked for."""
    row = one_vm(moment.view, values).rows()[0]
    labels = {label: row[label] for label in VMS.key}
    row["statistics"] = await statistics(
        moment, values["period"], VMS.seen_in[0], "kcloud_vm_energy_joules_total", labels
    )
    return Answer(row, row["cluster"])


_ID: Final = p.text(
    "container_id",
    "Its id, with `containerd://` in front or without; or namespace/pod/container.",
    "ml-team/llama-pretrain-0/trainer",
    path=True,
)
_VM: Final = (p.text("vm_id", "Its name.", "vm-0042", path=True), p.CLUSTER)
_PROJECT: Final = p.text("project", "Only this project.", "research")
_STATUS: Final = p.choice("status", "Only those in this status.", _STATUSES)
_HYPERVISOR: Final = p.text("hypervisor", "Only those on this node.", "gpu-1")


def routes() -> list[Route]:
    """The routes of containers and virtual machines."""
    return [
        Route(
            "/infrastructure/containers",
            "containers",
            "Containers, one by one",
            "Every known container with its id and image, and its power as far as it can be told from its pod's.",
            (
                *(p.CLUSTER, p.NAMESPACE, p.text("pod", "Only this pod.", "llama-pretrain-0"), p.NODE),
                p.flag("include_terminated", "Those that have ended as well: they have no power.", default=False),
                *(MIN_POWER, MAX_POWER, p.METRICS, p.LIMIT, p.OFFSET),
            ),
            list[Container],  # type: ignore[valid-type]
            list_containers,
        ),
        Route(
            "/infrastructure/containers/{container_id}/metrics",
            "container_metrics",
            "Readings of one container",
            "Its power, and the accelerators that it holds.",
            (_ID, p.CLUSTER),
            Container,
            one_container,
        ),
        Route(
            "/infrastructure/containers/{container_id}",
            "container",
            "One container",
            "By its id, `containerd://...`, or as namespace/pod/container.",
            (_ID, p.CLUSTER, p.METRICS),
            Container,
            one_container,
        ),
        Route(
            "/infrastructure/vms",
            "vms",
            "Virtual machines, one by one",
            "Every virtual machine with its power by component. Empty where no source tells of any.",
            (p.CLUSTER, _PROJECT, _STATUS, _HYPERVISOR, p.PERIOD, p.LIMIT, p.OFFSET),
            list[Vm],  # type: ignore[valid-type]
            list_vms,
        ),
        Route(
            "/infrastructure/vms/summary",
            "vms_summary",
            "Virtual machines, summed up",
            "Totals and means of what is known.",
            (p.CLUSTER, _PROJECT),
            VmsSummary,
            vms_summary,
        ),
        Route(
            "/infrastructure/vms/{vm_id}",
            "vm",
            "One virtual machine",
            "Its power by component.",
            _VM,
            Vm,
            vm_detail,
        ),
        Route(
            "/infrastructure/vms/{vm_id}/power",
            "vm_power",
            "Power of one virtual machine",
            "By component; with `period` also mean, extremes and energy over that time, from history.",
            (*_VM, p.PERIOD),
            VmPower,
            ask=vm_power,
        ),
        Route(
            "/infrastructure/vms/{vm_id}/metrics",
            "vm_metrics",
            "Readings of one virtual machine",
            "Its power and energy by component.",
            _VM,
            Vm,
            vm_detail,
        ),
    ]
