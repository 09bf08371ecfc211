"""The ground truth: what a perfect ledger would say, computed from the world and from no exporter page.

Whoever holds a part of a device owns that part of its power; active CPU power belongs to the pod that causes
it where a per-process meter (Kepler) runs; everything else of a node is unattributed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from kcloud_exporter.fleet.vllm import done
from kcloud_exporter.fleet.world import CPUS, PDU_WATTS, Accelerator, Cluster, Node, Pod, Site, Vm, World

Power = dict[str, float]


def truth(world: World, at: float) -> dict[str, Any]:
    """Everything at one instant (Unix seconds), in watts and shares 0..1, ready for JSON."""
    return {
        "timestamp": at,
        "clusters": {cluster.name: _cluster(cluster, at) for cluster in world.clusters},
        "sites": {site.name: _site(world, site, at) for site in world.sites},
    }


def _cluster(cluster: Cluster, at: float) -> dict[str, Any]:
    nodes = {node.name: _node(node, at) for node in cluster.nodes}
    pods = [pod for node in cluster.nodes for pod in _pods(node, at)]
    namespaces: dict[str, list[Power]] = {}
    for pod in pods:
        namespaces.setdefault(pod["namespace"], []).append(pod["power_watts"])
    return {
        "site": cluster.site,
        "power_watts": _sum(node["power_watts"] for node in nodes.values()),
        "nodes": nodes,
        "accelerators": {
            device.uuid: _accelerator(node, device, at) for node in cluster.nodes for device in node.devices
        },
        "pods": pods,
        "namespaces": {name: _sum(powers) for name, powers in sorted(namespaces.items())},
        "vms": [
            {
                "node": node.name,
                "project": vm.project,
                "vm": vm.name,
                "power_watts": {component: float(mw / 1000) for component, mw in _vm(node, vm, at).items()},
            }
            for node in cluster.nodes
            for vm in node.vms
            if not vm.is_node
        ],
        "work_units": [
            {"namespace": pod.namespace, "pod": pod.name, "units": done(pod, at)}
            for node in cluster.nodes
            for pod in node.servers
        ],
    }


def _node(node: Node, at: float) -> dict[str, Any]:
    power = {"cpu": node.cpu.at(at), "memory": node.memory.at(at)}
    for device in node.metered:
        power[device.kind] = power.get(device.kind, 0) + device.power.at(at)
    wall = node.wall.at(at) if node.wall else None
    if wall is not None:
        power["other"] = wall - sum(power.values())
    unheld = {component: Fraction(milliwatts) for component, milliwatts in power.items()}
    for _, power_of in _by_pod(node, at):
        for component, part in power_of.items():
            unheld[component] -= part
    for vm in node.vms:
        if not vm.is_node:
            for component, part in _vm(node, vm, at).items():
                unheld[component] -= part
    return {
        "wall_watts": None if wall is None else wall / 1000,
        "power_watts": {component: mw / 1000 for component, mw in power.items()},
        "unattributed_watts": {component: float(mw / 1000) for component, mw in unheld.items()},
    }


def _pods(node: Node, at: float) -> list[dict[str, Any]]:
    found = []
    for pod, milliwatts in _by_pod(node, at):
        power = {component: float(mw / 1000) for component, mw in milliwatts.items()}
        if power:
            found.append({"node": node.name, "namespace": pod.namespace, "pod": pod.name, "power_watts": power})
    return found


def _by_pod(node: Node, at: float) -> Iterator[tuple[Pod, dict[str, Fraction]]]:
    """Each pod of a server and of those of its VMs that are nodes, with its milliwatts."""
    for place in (node, *node.guests):
        for pod in place.pods:
            yield pod, _pod(place, pod, at)


def _pod(node: Node, pod: Pod, at: float) -> dict[str, Fraction]:
    """Milliwatts of one pod, by component; exact, so that thirds of a device leave nothing over."""
    power: dict[str, Fraction] = {}
    if node.cpu_meter in ("kepler", "kepler_legacy"):
        power = {"cpu": Fraction(pod.cpu.at(at)), "memory": Fraction(pod.memory.at(at))}
    for device in node.metered:
        for part in device.held:
            if part.pod is pod:
                share = Fraction(device.power.at(at) * part.weight, device.whole)
                power[device.kind] = power.get(device.kind, Fraction(0)) + share
    return power


def _vm(node: Node, vm: Vm, at: float) -> dict[str, Fraction]:
    """Milliwatts of one VM: what it causes where Kepler sees it, else its part of the CPUs' time of their power.

    The devices that were handed to it are its own.
    """
    power = {"cpu": Fraction(node.cpu.at(at) * vm.busy.at(at), 1000 * CPUS)}
    if node.cpu_meter == "kepler":
        power = {"cpu": Fraction(vm.cpu.at(at)), "memory": Fraction(vm.memory.at(at))}
    for device in vm.inside.metered if vm.inside else ():
        power[device.kind] = power.get(device.kind, Fraction(0)) + device.power.at(at)
    return power


def _accelerator(node: Node, device: Accelerator, at: float) -> dict[str, Any]:
    return {
        "node": node.name,
        "kind": device.kind,
        "vendor": device.vendor,
        "model": device.model,
        "power_watts": device.power.at(at) / 1000 if device.metered else None,
        "holders": [
            {
                "namespace": part.pod.namespace,
                "pod": part.pod.name,
                "container": part.pod.container,
                "share": part.weight / device.whole,
            }
            for part in device.parts
            if part.pod
        ],
    }


def _site(world: World, site: Site, at: float) -> dict[str, float]:
    nodes = [node for cluster in world.clusters if cluster.site == site.name for node in cluster.nodes]
    it_power = sum(node.it_power.at(at) for node in nodes) / 1000
    facility = float(site.facility.at(at) * PDU_WATTS)
    return {"facility_watts": facility, "it_watts": it_power, "pue": facility / it_power}


def _sum(powers: Iterable[Mapping[str, float]]) -> Power:
    summed: Power = {}
    for power in powers:
        for component, value in power.items():
            summed[component] = summed.get(component, 0.0) + value
    return summed
