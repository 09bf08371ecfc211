"""The ledger: readings of one cluster → every watt, once, with its owner (ledger.md, sections 1 to 5 and 8).

    measured = cpu + memory + accelerators      other = max(0, wall − measured)      residual = wall − measured

so that the sum of a node's components is max(wall, measured), and pods + VMs + unattributed = node per component.
A VM is a row among the pods, without a namespace: both hold parts of their node in the same ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from kcloud_exporter.catalogue import COMPONENTS
from kcloud_exporter.derive import attribution
from kcloud_exporter.derive.attribution import OTHER, Holdings
from kcloud_exporter.model import Floats, Mask, Rows

Policy = Literal["unattributed", "proportional"]
CPU, MEMORY, GPU = COMPONENTS.index("cpu"), COMPONENTS.index("memory"), COMPONENTS.index("gpu")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was read of one cluster: NaN = unknown. `*_missing` = expected from earlier cycles, not there now."""

    wall: Floats
    cpu: Floats
    memory: Floats
    node_missing: Mask
    node_expected: Mask
    device_power: Floats
    device_missing: Mask
    device_node: Rows
    device_component: Rows
    pod_cpu: Floats
    pod_memory: Floats
    pod_gpu: Floats
    pod_node: Rows
    pod_namespace: Rows  # -1: a VM
    namespaces: int
    holdings: Holdings


@dataclass(frozen=True, slots=True)
class Ledger:
    """One cycle's books of one cluster. N nodes, Q pods and VMs, M namespaces, C components; watts, NaN = unknown."""

    node_power: Floats  # N×C
    node_wall: Floats  # N
    node_residual: Floats  # N
    node_unattributed: Floats  # N×C
    pod_power: Floats  # Q×C
    namespace_power: Floats  # M×C
    cluster_power: Floats  # C
    share_ratio: Floats  # S
    node_measured: Mask  # N
    node_partial: Mask  # N
    node_lost: Mask  # N: known, but without any reading
    scaled_down: int
    node_lacking: Mask  # N: something that was read before is not there now

    @property
    def completeness(self) -> float:
        """Nodes measured over nodes known; NaN when no node is known."""
        known = int(self.node_measured.sum() + self.node_partial.sum() + self.node_lost.sum())
        return float(self.node_measured.sum()) / known if known else float("nan")


def balance(inputs: Inputs, *, idle: Policy = "unattributed", overhead: Policy = "unattributed") -> Ledger:
    """Do the books of one cluster for one cycle."""
    nodes, pods = len(inputs.wall), len(inputs.pod_node)
    ratio = attribution.share_ratios(inputs.holdings)
    node_power = np.full((nodes, len(COMPONENTS)), np.nan)
    pod_power = np.full((pods, len(COMPONENTS)), np.nan)
    scaled_down = 0
    borrowed = np.zeros(nodes, bool)
    for component, node_watts, pod_watts in (
        (CPU, inputs.cpu, inputs.pod_cpu),
        (MEMORY, inputs.memory, inputs.pod_memory),
    ):
        pod_power[:, component], node_power[:, component], over = attribution.scale_to_node(
            pod_watts, inputs.pod_node, node_watts
        )
        borrowed |= np.isnan(node_watts) & ~np.isnan(node_power[:, component])
        scaled_down += over
    _devices(inputs, ratio, node_power, pod_power)
    scaled_down += _claims_without_holders(inputs, node_power, pod_power)
    measured = np.nansum(node_power, axis=1)
    any_measured = ~np.isnan(node_power).all(axis=1)
    residual = np.where(any_measured, inputs.wall - measured, inputs.wall)
    node_power[:, OTHER] = np.maximum(residual, 0.0)
    rest = attribution.unattributed(node_power, pod_power, inputs.pod_node)
    own = np.nansum(pod_power, axis=1)
    if idle == "proportional":
        pod_power, rest = attribution.spread_idle(pod_power, rest, inputs.pod_node)
    if overhead == "proportional":
        pod_power, rest = attribution.spread_overhead(pod_power, rest, inputs.pod_node, own)
    lacking = _lacking(inputs)
    measured_mask, partial, lost = _states(inputs, node_power, lacking | borrowed)
    return Ledger(
        node_power=node_power,
        node_wall=inputs.wall,
        node_residual=residual,
        node_unattributed=rest,
        pod_power=pod_power,
        namespace_power=_namespaces(pod_power, inputs),
        cluster_power=sum_by(node_power, np.zeros(nodes, np.int32), 1)[0],
        share_ratio=ratio,
        node_measured=measured_mask,
        node_partial=partial,
        node_lost=lost,
        scaled_down=scaled_down,
        node_lacking=lacking,
    )


def _devices(inputs: Inputs, ratio: Floats, node_power: Floats, pod_power: Floats) -> None:
    """Add the accelerators to their nodes and their holders, in place."""
    known = ~np.isnan(inputs.device_power)
    held = inputs.holdings
    share_device = held.partition_device[held.share_partition]
    watts = ratio * np.nan_to_num(inputs.device_power)[share_device]
    holds = held.share_live & known[share_device]
    for component in np.unique(inputs.device_component):
        mine = known & (inputs.device_component == component)
        node_power[:, component] = sum_known(inputs.device_power[mine], inputs.device_node[mine], len(node_power))
        on = holds & (inputs.device_component[share_device] == component)
        pod_power[:, component] = sum_known(watts[on], held.share_pod[on], len(pod_power))


def _claims_without_holders(inputs: Inputs, node_power: Floats, pod_power: Floats) -> int:
    """Where nobody says who holds a node's GPUs, pods get what a meter of processes says they draw, in place.

    Returns how many nodes had to be scaled down.
    """
    held = inputs.holdings
    holding = held.partition_device[held.share_partition[held.share_live]]
    of_holders = inputs.device_node[holding[inputs.device_component[holding] == GPU]]
    open_nodes = ~np.isnan(node_power[:, GPU])
    open_nodes[of_holders] = False
    claims = np.where(open_nodes[inputs.pod_node], inputs.pod_gpu, np.nan)
    watts, _, over = attribution.scale_to_node(claims, inputs.pod_node, node_power[:, GPU])
    told = ~np.isnan(watts)
    pod_power[told, GPU] = watts[told]
    return over


def sum_known(values: Floats, groups: Rows, count: int) -> Floats:
    """Sums per group of what is not NaN; NaN for a group that has no value at all."""
    known = ~np.isnan(values)
    total = np.bincount(groups[known], values[known], count)
    return np.where(np.bincount(groups[known], minlength=count) > 0, total, np.nan)


def sum_by(power: Floats, groups: Rows, count: int) -> Floats:
    """Rows×C → count×C sums by group, NaN where no row of the group has a value."""
    out = np.full((count, power.shape[1]), np.nan)
    for component in range(power.shape[1]):
        out[:, component] = sum_known(power[:, component], groups, count)
    return out


def _namespaces(pod_power: Floats, inputs: Inputs) -> Floats:
    """M×C sums of the pods of each namespace; VMs have none."""
    inside = inputs.pod_namespace >= 0
    if not inside.all():
        pod_power = pod_power[inside]
    return sum_by(pod_power, inputs.pod_namespace[inside], inputs.namespaces)


def _lacking(inputs: Inputs) -> Mask:
    """N masks: a meter or a device of the node that was there before is missing now."""
    device_missing = np.bincount(inputs.device_node[inputs.device_missing], minlength=len(inputs.wall)) > 0
    return inputs.node_missing | device_missing


def _states(inputs: Inputs, node_power: Floats, lacking: Mask) -> tuple[Mask, Mask, Mask]:
    """Each known node is measured, partial or lost.

    Measured: its whole server or its CPU is metered, and nothing that was there before is missing now.
    """
    any_power = ~np.isnan(node_power).all(axis=1)
    metered = ~np.isnan(inputs.wall) | ~np.isnan(inputs.cpu)
    measured = any_power & metered & ~lacking
    partial = any_power & ~measured
    lost = ~any_power & (inputs.node_expected | lacking)
    return measured, partial, lost
