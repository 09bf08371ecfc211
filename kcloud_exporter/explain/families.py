"""Families: the tree of one series of the page, found by its family and its label values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import COMPONENTS, Family
from kcloud_exporter.derive.tables import device_utilization, idle_shares
from kcloud_exporter.explain.ledger import LedgerTrees
from kcloud_exporter.explain.tree import Part
from kcloud_exporter.readings import Readings

Labels = tuple[str, ...]


class ClusterFamilies:
    """Every power family of one cluster: (family, label values) → part of a tree."""

    def __init__(self, trees: LedgerTrees, readings: Readings) -> None:
        self._trees, self._readings, self._things = trees, readings, readings.entities

    def part(self, family: Family, labels: Labels) -> Part:
        """The tree of one series. Raises LookupError for a family that is not explained or a row that is not there."""
        return EXPLAINED[family.name](self, family, labels)

    def _node(self, name: str) -> int:
        return self._things.nodes.rows[name]

    def _device(self, node: str, uuid: str) -> int:
        row = self._node(node)
        for device in np.flatnonzero(self._things.device_node.view == row).tolist():
            if self._things.device_info[device].uuid == uuid:
                return int(device)
        raise LookupError(uuid)

    def device_power(self, _: Family, labels: Labels) -> Part:
        """kcloud_accelerator_power_watts."""
        return partial(self._trees.device, self._device(labels[1], labels[2]))

    def device_limit(self, family: Family, labels: Labels) -> Part:
        """kcloud_accelerator_power_limit_watts."""
        device = self._device(labels[1], labels[2])
        what = family.series(labels)
        return partial(self._trees.samples.reading, "accelerator_power_limit_watts", device, what)

    def device_idle(self, _: Family, labels: Labels) -> Part:
        """kcloud_accelerator_idle_power_watts."""
        node, uuid, namespace, name = labels[1:]
        device, pod = self._device(node, uuid), self._pod(node, namespace, name)
        tenant = self._things.tenants.rows[(device, pod)]
        idle = idle_shares(self._readings, device_utilization(self._readings)) & (
            self._things.share_tenant.view == tenant
        )
        shares = np.flatnonzero(idle).tolist()
        power = self._readings.columns["accelerator_power_watts"].value[device]
        value = float(sum(self._trees.shares.value(share) for share in shares) * power)
        return partial(self._trees.idle, device, pod, value, shares)

    def wall(self, _: Family, labels: Labels) -> Part:
        """kcloud_node_wall_power_watts."""
        return partial(self._trees.wall, self._node(labels[1]))

    def residual(self, _: Family, labels: Labels) -> Part:
        """kcloud_node_power_residual_watts."""
        return partial(self._trees.residual, self._node(labels[1]))

    def node(self, _: Family, labels: Labels) -> Part:
        """kcloud_node_power_watts."""
        return partial(self._trees.node, self._node(labels[1]), COMPONENTS.index(labels[2]))

    def unattributed(self, _: Family, labels: Labels) -> Part:
        """kcloud_node_unattributed_power_watts."""
        return partial(self._trees.unattributed, self._node(labels[1]), COMPONENTS.index(labels[2]))

    def _pod(self, node: str, namespace: str, name: str) -> int:
        if not namespace:  # a VM holds the device
            return self._vm(node, *name.split("/", 1))
        return self._things.pods.rows[(self._node(node), namespace, name)]

    def pod(self, _: Family, labels: Labels) -> Part:
        """kcloud_pod_power_watts."""
        return partial(self._trees.pod, self._pod(*labels[1:4]), COMPONENTS.index(labels[4]))

    def _vm(self, node: str, project: str, name: str) -> int:
        of = self._node(node)
        for row, vm in self._things.vm_info.items():
            if (vm.project, vm.name) == (project, name) and self._things.pods.keys[row][0] == of:
                return row
        raise LookupError(name)

    def vm(self, _: Family, labels: Labels) -> Part:
        """kcloud_vm_power_watts."""
        node, project, name, component = labels[1:]
        return partial(self._trees.pod, self._vm(node, project, name), COMPONENTS.index(component))

    def namespace(self, _: Family, labels: Labels) -> Part:
        """kcloud_namespace_power_watts."""
        return partial(self._trees.namespace, self._things.namespaces.rows[labels[1]], COMPONENTS.index(labels[2]))

    def cluster(self, _: Family, labels: Labels) -> Part:
        """kcloud_cluster_power_watts."""
        return partial(self._trees.total, COMPONENTS.index(labels[1]))

    def meter(self, key: str, what: str) -> Part:
        """The reading of a configured facility meter."""
        return partial(self._trees.samples.reading, "facility_power_watts", self._things.facilities.rows[key], what)

    def it(self, watts: float) -> Part:
        """All power of the cluster: what its site counts as IT."""
        return partial(self._trees.it, watts)

    def sensor(self, family: Family, labels: Labels) -> Part:
        """kcloud_hardware_power_watts."""
        node = self._node(labels[1])
        for at, (of, *_) in enumerate(self._things.sensors.keys):
            if of == node and self._things.sensor_label[at] == labels[2]:
                quantity = family.name.removeprefix("kcloud_")
                return partial(self._trees.samples.reading, quantity, at, family.series(labels))
        raise LookupError(labels[2])


EXPLAINED: Final[Mapping[str, Callable[[ClusterFamilies, Family, Labels], Part]]] = {
    catalogue.ACCELERATOR_POWER.name: ClusterFamilies.device_power,
    catalogue.ACCELERATOR_POWER_LIMIT.name: ClusterFamilies.device_limit,
    catalogue.ACCELERATOR_IDLE_POWER.name: ClusterFamilies.device_idle,
    catalogue.NODE_WALL_POWER.name: ClusterFamilies.wall,
    catalogue.NODE_RESIDUAL.name: ClusterFamilies.residual,
    catalogue.NODE_POWER.name: ClusterFamilies.node,
    catalogue.NODE_UNATTRIBUTED.name: ClusterFamilies.unattributed,
    catalogue.POD_POWER.name: ClusterFamilies.pod,
    catalogue.VM_POWER.name: ClusterFamilies.vm,
    catalogue.NAMESPACE_POWER.name: ClusterFamilies.namespace,
    catalogue.CLUSTER_POWER.name: ClusterFamilies.cluster,
    catalogue.HARDWARE_POWER.name: ClusterFamilies.sensor,
}
