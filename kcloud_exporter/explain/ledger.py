"""Ledger: trees of one cluster's power families, from the page's number down to what upstreams printed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import COMPONENTS, Family
from kcloud_exporter.derive.attribution import OTHER
from kcloud_exporter.derive.inputs import inputs_of, vm_time_ratio
from kcloud_exporter.derive.ledger import CPU, GPU, MEMORY, Policy, balance
from kcloud_exporter.explain.samples import Groups, SampleTrees
from kcloud_exporter.explain.shares import ShareTrees
from kcloud_exporter.explain.tree import Node, Part, branch, gathered, leaf
from kcloud_exporter.model import Floats
from kcloud_exporter.normalise.columns import Column
from kcloud_exporter.normalise.state import TableState
from kcloud_exporter.readings import Readings

_POD_QUANTITY = {CPU: "pod_cpu_power_watts", MEMORY: "pod_memory_power_watts", GPU: "pod_gpu_power_watts"}
_VM_QUANTITY = {CPU: "vm_cpu_power_watts", MEMORY: "vm_memory_power_watts"}
_NODE_QUANTITY = {CPU: "node_cpu_power_watts", MEMORY: "node_memory_power_watts"}


class LedgerTrees:
    """Trees of one cluster after one cycle. W = watts; rows are those of the entity tables."""

    def __init__(
        self,
        cluster: str,
        readings: Readings,
        columns: dict[str, Column],
        tables: Sequence[TableState],
        *,
        idle: Policy,
        overhead: Policy,
    ) -> None:
        self.cluster, self.things = cluster, readings.entities
        self._readings = readings
        self.samples = SampleTrees(columns, tables, readings)
        self.inputs = inputs_of(readings)
        self.shown = balance(self.inputs, idle=idle, overhead=overhead)
        # What each pod and node holds before the policies hand out what is left.
        self._own = balance(self.inputs)
        self._idle, self._overhead = idle, overhead
        self.shares = ShareTrees(self.inputs.holdings, self.things, self.samples)
        self._pods_of = Groups(self.inputs.pod_node)
        self._devices_of = Groups(self.inputs.device_node)
        held = self.inputs.holdings
        self._share_device = held.partition_device[held.share_partition]

    def _series(self, family: Family, *labels: str) -> str:
        return family.series((self.cluster, *labels))

    def device(self, device: int, depth: int) -> Node:
        """Power of one accelerator."""
        info, node = self.things.device_info[device], self.things.nodes.keys[self.things.devices.keys[device][0]]
        what = self._series(catalogue.ACCELERATOR_POWER, node, info.uuid, info.kind, info.maker, info.model)
        return self.samples.reading("accelerator_power_watts", device, what, depth)

    def wall(self, node: int, depth: int) -> Node:
        """The whole-server meter of one node."""
        what = self._series(catalogue.NODE_WALL_POWER, self.things.nodes.keys[node])
        return self.samples.reading("node_wall_power_watts", node, what, depth)

    def residual(self, node: int, depth: int) -> Node:
        """Whole-server meter less the measured components."""
        what = self._series(catalogue.NODE_RESIDUAL, self.things.nodes.keys[node])
        measured = [c for c in range(OTHER) if not np.isnan(self.shown.node_power[node, c])]
        parts: list[Part] = [partial(self.wall, node), *(partial(self.node, node, c) for c in measured)]
        return branch(what, float(self.shown.node_residual[node]), "W", "difference", parts, depth)

    def node(self, node: int, component: int, depth: int) -> Node:
        """One component of one node."""
        what = self._series(catalogue.NODE_POWER, self.things.nodes.keys[node], COMPONENTS[component])
        value = float(self.shown.node_power[node, component])
        if component == OTHER:
            parts: list[Part] = [partial(self.residual, node), leaf("at least", 0.0, "W")]
            return branch(what, value, "W", "max", parts, depth)
        if component in _NODE_QUANTITY:
            told = self.inputs.cpu if component == CPU else self.inputs.memory
            if not np.isnan(told[node]):
                return self.samples.reading(_NODE_QUANTITY[component], node, what, depth)
            claims = [partial(self._claim, pod, component) for pod in self._claimants(node, component)]
            note = "no meter of its own: what its pods draw is all that is known"
            return branch(what, value, "W", "sum", claims, depth, note)
        known = ~np.isnan(self.inputs.device_power) & (self.inputs.device_component == component)
        devices: list[Part] = [partial(self.device, d) for d in self._devices_of.of(node) if known[d]]
        return branch(what, value, "W", "sum", devices, depth)

    def _claimants(self, node: int, component: int) -> list[int]:
        claims = self._claims(component)
        return [pod for pod in self._pods_of.of(node) if not np.isnan(claims[pod])]

    def _claims(self, component: int) -> Floats:
        """Q watts that meters of processes tell of each pod."""
        return {CPU: self.inputs.pod_cpu, MEMORY: self.inputs.pod_memory}.get(component, self.inputs.pod_gpu)

    def _claim(self, pod: int, component: int, depth: int, what: str = "") -> Node:
        """What a meter of processes (Kepler) says that a pod or a VM draws of a component, or its time that a VM."""
        what = what or f"{COMPONENTS[component]} of {self.things.title(pod)} as metered"
        if pod not in self.things.vm_info:
            return self.samples.reading(_POD_QUANTITY[component], pod, what, depth)
        quantity = _VM_QUANTITY[component]
        if not np.isnan(self._readings.columns[quantity].value[pod]):
            return self.samples.reading(quantity, pod, what, depth)
        node, value = int(self.inputs.pod_node[pod]), float(self.inputs.pod_cpu[pod])
        parts: list[Part] = [partial(self.node, node, CPU), partial(self._time, pod, node)]
        return branch(what, value, "W", "product", parts, depth, "by the time of its CPUs")

    def _time(self, pod: int, node: int, depth: int) -> Node:
        """The part that a VM has of the time of all CPUs of its node."""
        what, ratio = "its part of the CPUs' time", float(vm_time_ratio(self._readings)[pod])
        whole = leaf("at most", 1.0)
        told: Part = partial(self.samples.reading, "vm_cpu_share_ratio", pod, "as told")
        value = float(self._readings.columns["vm_cpu_share_ratio"].value[pod])
        if np.isnan(value):
            busy: Part = partial(self.samples.reading, "vm_cpu_cores", pod, "CPUs that it keeps busy")
            there: Part = partial(self.samples.reading, "node_cpu_cores", node, "CPUs of the node")
            columns = self._readings.columns
            value = float(columns["vm_cpu_cores"].value[pod] / columns["node_cpu_cores"].value[node])
            told = partial(branch, "busy of all", value, "", "quotient", [busy, there])
        return branch(what, ratio, "", "min", [told, whole], depth)

    def _own_part(self, pod: int, component: int, what: str, depth: int) -> Node:
        """What a pod holds of a component by itself, before any policy."""
        value = float(self._own.pod_power[pod, component])
        if component not in (CPU, MEMORY):
            held = self.inputs.holdings
            known = held.share_live & (held.share_pod == pod) & ~np.isnan(self.inputs.device_power[self._share_device])
            known &= self.inputs.device_component[self._share_device] == component
            parts: list[Part] = [partial(self._held, share) for share in np.flatnonzero(known).tolist()]
            if parts:
                return branch(what, value, "W", "sum", parts, depth)
        node, claims = int(self.inputs.pod_node[pod]), self._claims(component)
        if value == float(claims[pod]):
            return self._claim(pod, component, depth, what)
        claimants = self._claimants(node, component)
        claimed: list[Part] = [partial(self._claim, other, component) for other in claimants]
        together: Part = partial(
            branch, "all claims on the node", float(np.sum(claims[claimants])), "W", "sum", claimed
        )
        factor: Part = partial(
            branch,
            "scaled down to the node's meter",
            value / float(claims[pod]) if claims[pod] else 1.0,
            "",
            "quotient",
            [partial(self.node, node, component), together],
        )
        note = "the pods claim more than their node draws"
        return branch(what, value, "W", "product", [partial(self._claim, pod, component), factor], depth, note)

    def _held(self, share: int, depth: int) -> Node:
        """Watts of a device that one share holds."""
        device = int(self._share_device[share])
        value = float(self.shares.value(share) * self.inputs.device_power[device])
        parts: list[Part] = [partial(self.device, device), partial(self.shares.ratio, share)]
        return branch(f"held of {self.things.device_info[device].uuid}", value, "W", "product", parts, depth)

    def idle(self, device: int, pod: int, value: float, idle_shares: Sequence[int], depth: int) -> Node:
        """Power of the parts of a device that a pod holds and does not use."""
        info, node = self.things.device_info[device], self.things.nodes.keys[self.things.devices.keys[device][0]]
        what = self._series(catalogue.ACCELERATOR_IDLE_POWER, node, info.uuid, *self.things.names_of(pod))
        parts: list[Part] = [partial(self._held, share) for share in idle_shares]
        return branch(what, value, "W", "sum", parts, depth)

    def pod(self, pod: int, component: int, depth: int) -> Node:
        """One component of one pod or VM."""
        node, vm = self.things.nodes.keys[self.things.pods.keys[pod][0]], self.things.vm_info.get(pod)
        if vm is None:
            what = self._series(catalogue.POD_POWER, node, *self.things.pods.keys[pod][1:], COMPONENTS[component])
        else:
            what = self._series(catalogue.VM_POWER, node, vm.project, vm.name, COMPONENTS[component])
        value, own = float(self.shown.pod_power[pod, component]), float(self._own.pod_power[pod, component])
        if value == own:
            return self._own_part(pod, component, what, depth)
        mine: list[Part] = []
        if not np.isnan(own):
            mine.append(partial(self._own_part, pod, component, f"{COMPONENTS[component]} of its own"))
        mine.append(partial(self._handed_out, pod, component, value - np.nan_to_num(own)))
        return branch(what, value, "W", "sum", mine, depth)

    def _handed_out(self, pod: int, component: int, value: float, depth: int) -> Node:
        """The pod's part of what is left of a node's component, by policy."""
        node = int(self.inputs.pod_node[pod])
        pods = self._pods_of.of(node)
        policy = "overhead" if component == OTHER else "idle"
        weights = np.nansum(self._own.pod_power, axis=1) if component == OTHER else self._own.pod_power[:, component]
        holding = [p for p in pods if np.nan_to_num(weights[p]) > 0]
        held: list[Part] = [partial(self._weight, p, component) for p in holding]
        part: Part = partial(
            branch,
            "by what it holds of all that pods hold",
            float(weights[pod]) / float(np.sum(weights[holding])),
            "",
            "quotient",
            [
                partial(self._weight, pod, component),
                partial(branch, "held by all pods of the node", float(np.sum(weights[holding])), "W", "sum", held),
            ],
        )
        rest: Part = partial(self._rest, node, component, "left of the node's " + COMPONENTS[component])
        what = f"its part of the node's {COMPONENTS[component]} that nobody holds"
        return branch(what, value, "W", "product", [rest, part], depth, f"ledger.{policy}: proportional")

    def _weight(self, pod: int, component: int, depth: int) -> Node:
        name = self.things.title(pod).removeprefix("pod ")
        what = f"held by {name}"
        if component != OTHER:
            return self._own_part(pod, component, what, depth)
        own = self._own.pod_power[pod]
        known = [c for c in range(len(COMPONENTS)) if not np.isnan(own[c])]
        parts: list[Part] = [partial(self._own_part, pod, c, f"{COMPONENTS[c]} of {name}") for c in known]
        return gathered(what, float(np.nansum(own)), "W", "sum", parts, depth)

    def unattributed(self, node: int, component: int, depth: int) -> Node:
        """What no pod of a node holds of a component."""
        what = self._series(catalogue.NODE_UNATTRIBUTED, self.things.nodes.keys[node], COMPONENTS[component])
        value, before = (float(of.node_unattributed[node, component]) for of in (self.shown, self._own))
        if value != before:
            policy = "overhead" if component == OTHER else "idle"
            return Node(what, value, "W", "constant", (), f"handed out to the pods, ledger.{policy}: proportional")
        return self._rest(node, component, what, depth)

    def _rest(self, node: int, component: int, what: str, depth: int) -> Node:
        own = self._own.pod_power[:, component]
        pods = [pod for pod in self._pods_of.of(node) if not np.isnan(own[pod])]
        parts: list[Part] = [partial(self.node, node, component)]
        parts += [partial(self._own_part, pod, component, self._name(pod, component)) for pod in pods]
        value = float(self._own.node_unattributed[node, component])
        return branch(what, value, "W", "remainder", parts, depth)

    def _name(self, pod: int, component: int) -> str:
        return f"{COMPONENTS[component]} of {self.things.title(pod)}"

    def namespace(self, namespace: int, component: int, depth: int) -> Node:
        """One component of all pods of a namespace."""
        what = self._series(catalogue.NAMESPACE_POWER, self.things.namespaces.keys[namespace], COMPONENTS[component])
        shown = self.shown.pod_power[:, component]
        pods = np.flatnonzero((self.inputs.pod_namespace == namespace) & ~np.isnan(shown)).tolist()
        parts: list[Part] = [partial(self.pod, pod, component) for pod in pods]
        return branch(what, float(self.shown.namespace_power[namespace, component]), "W", "sum", parts, depth)

    def total(self, component: int, depth: int) -> Node:
        """One component of the whole cluster."""
        what = self._series(catalogue.CLUSTER_POWER, COMPONENTS[component])
        nodes = np.flatnonzero(~np.isnan(self.shown.node_power[:, component])).tolist()
        parts: list[Part] = [partial(self.node, node, component) for node in nodes]
        return branch(what, float(self.shown.cluster_power[component]), "W", "sum", parts, depth)

    def it(self, value: float, depth: int) -> Node:
        """All power of the cluster: what its site counts as IT."""
        known = [c for c in range(len(COMPONENTS)) if not np.isnan(self.shown.cluster_power[c])]
        parts: list[Part] = [partial(self.total, c) for c in known]
        return branch(f"all nodes of {self.cluster}", value, "W", "sum", parts, depth)
