"""Inputs: the readings of one cluster, picked out for the books."""

from __future__ import annotations

import numpy as np

from kcloud_exporter.derive.attribution import Holdings
from kcloud_exporter.derive.ledger import Inputs
from kcloud_exporter.model import Floats
from kcloud_exporter.readings import NEVER, Readings

_NODE_QUANTITIES = ("node_wall_power_watts", "node_cpu_power_watts", "node_memory_power_watts")

_SIGNS_OF_LIFE = ("accelerator_utilization_ratio", "accelerator_memory_used_bytes")


def inputs_of(readings: Readings) -> Inputs:
    """What the ledger needs of one cycle's readings.

    With an inventory (kube_node_info) its nodes are the known ones, besides those that were measured; without
    one a node is known while it was seen within forget_after.
    """
    things, columns = readings.entities, readings.columns
    wall, cpu, memory = (columns[name] for name in _NODE_QUANTITIES)
    device = columns["accelerator_power_watts"]
    listed = readings.node_inventory if readings.has_inventory else np.zeros(len(things.nodes), bool)
    gone = ~listed if readings.has_inventory else np.zeros(len(things.nodes), bool)
    node_missing = (wall.missing | cpu.missing | memory.missing) & ~gone
    works = ~np.all([np.isnan(columns[name].value) for name in _SIGNS_OF_LIFE], axis=0)
    # Power that no meter sees: that of a device whose exporter tells none (a TPU), on a server without a whole meter.
    unseen = works & np.isnan(device.value) & np.isnan(wall.value)[things.device_node.view]
    device_missing = (device.missing | unseen) & ~gone[things.device_node.view]
    holdings = Holdings(
        partition_device=things.partition_device.view,
        partition_size=things.partition_size.view,
        partition_live=readings.partition_live,
        partition_activity=columns["accelerator_engine_active_ratio"].value,
        device_whole=things.device_whole.view,
        share_partition=things.share_partition.view,
        share_pod=things.share_pod.view,
        share_live=readings.share_live,
        share_utilization=columns["accelerator_share_utilization_ratio"].value,
        share_allocation=columns["accelerator_share_allocation_ratio"].value,
    )
    return Inputs(
        wall=wall.value,
        cpu=cpu.value,
        memory=memory.value,
        node_missing=node_missing,
        node_expected=listed,
        device_power=device.value,
        device_missing=device_missing,
        device_node=things.device_node.view,
        device_component=things.device_component.view.astype(np.int32),
        pod_cpu=_either(columns["pod_cpu_power_watts"].value, vm_cpu(readings)),
        pod_memory=_either(columns["pod_memory_power_watts"].value, columns["vm_memory_power_watts"].value),
        pod_gpu=columns["pod_gpu_power_watts"].value,
        pod_node=things.pod_node.view,
        pod_namespace=things.pod_namespace.view,
        namespaces=len(things.namespaces),
        holdings=holdings,
    )


def _either(one: Floats, other: Floats) -> Floats:
    """The first of two columns, and the second where the first has nothing: a row is a pod or a VM."""
    return np.where(np.isnan(one), other, one)


def vm_cpu(readings: Readings) -> Floats:
    """Q watts of VMs: as a meter of processes tells, else the VM's part of the CPUs' time, of the node's CPU power.

    That is what such a meter does too: time in which no process runs belongs to nobody.
    """
    cpu = readings.columns["node_cpu_power_watts"].value[readings.entities.pod_node.view]
    return _either(readings.columns["vm_cpu_power_watts"].value, cpu * vm_time_ratio(readings))


def vm_time_ratio(readings: Readings) -> Floats:
    """Q ratios: CPU time of a VM over that of all CPUs of its node, at most 1; NaN where either is unknown."""
    columns, node = readings.columns, readings.entities.pod_node.view
    there = columns["node_cpu_cores"].value[node]
    counted = columns["vm_cpu_cores"].value / np.where(there > 0, there, np.nan)
    return np.minimum(_either(columns["vm_cpu_share_ratio"].value, counted), 1.0)


def facility_watts(readings: Readings) -> dict[str, float]:
    """Meter key → watts of every configured facility meter that has been seen; NaN while it has no reading."""
    evaluated = readings.columns["facility_power_watts"]
    return {
        key: float(evaluated.value[row])
        for key, row in readings.entities.facilities.rows.items()
        if evaluated.seen[row] > NEVER
    }
