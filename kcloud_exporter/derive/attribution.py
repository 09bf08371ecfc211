"""Attribution: which part of a device, and of a node's component, belongs to which pod (ledger.md, section 4).

Pure functions over index arrays. N nodes, D devices, P partitions, S shares, Q pods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from kcloud_exporter.catalogue import COMPONENTS
from kcloud_exporter.model import Floats, Mask, Rows

OTHER = COMPONENTS.index("other")
NO_USE: Final = 1e-9
"""Utilisation below this is none: a ratio of two such numbers would be noise."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """Who holds what of the devices. Masks say what was there in this cycle; activity is NaN where unreported."""

    partition_device: Rows
    partition_size: Rows
    partition_live: Mask
    partition_activity: Floats
    device_whole: Rows
    share_partition: Rows
    share_pod: Rows
    share_live: Mask
    share_utilization: Floats
    share_allocation: Floats


@dataclass(frozen=True, slots=True)
class Cut:
    """How devices are cut into parts. Of P partitions: `ratio` of the device, `work` = size × activity, `weighted`
    where the ratio follows the activity. Of D devices: `whole` in slices, `done` = all work, `active` = done / whole.
    """

    ratio: Floats
    work: Floats
    weighted: Mask
    whole: Floats
    done: Floats
    active: Floats


@dataclass(frozen=True, slots=True)
class Shares:
    """Of S shares: `ratio` of the device in the end, `within` its part, `use` and `grant` as told. Of P partitions:
    whether use or grants decide, and the sums over their holders. D `claimed`: all that is held, before it is bounded.
    """

    cut: Cut
    within: Floats
    by_use: Mask
    use: Floats
    used: Floats
    by_grant: Mask
    grant: Floats
    all_granted: Floats
    holders: Floats
    claimed: Floats
    ratio: Floats


def share_ratios(held: Holdings) -> Floats:
    """S floats: the part of its device that each live share holds; 0 where not live. See `shares`."""
    return shares(held).ratio


def shares(held: Holdings) -> Shares:
    """Who holds which part of each device, with the figures on the way.

    Per device the ratios add up to at most 1; what is missing to 1 belongs to nobody.

    - A whole device goes to its holders: by their utilisation if all of them report it, else by the part that each
      was granted if that is told of all of them, else in equal parts.
    - A partition counts `size / whole`. Where every live partition of the device reports how active it is,
      the active part of the device, `A = sum(size * activity) / whole`, is split by `size * activity`, and
      the rest, `1 - A`, by size: an idle slice still keeps its share of the idle power.
    """
    cut = _cut(held)
    live, of = held.share_live, held.share_partition
    partitions = len(held.partition_device)
    holders = _sums(of[live], np.ones(int(live.sum())), partitions)
    told = live & ~np.isnan(held.share_utilization)
    reporting = np.bincount(of[told], minlength=partitions)
    use = np.where(told, np.maximum(held.share_utilization, 0.0), 0.0)
    used = _sums(of, use, partitions)
    by_use = (reporting == holders) & (used > NO_USE)
    granted = live & ~np.isnan(held.share_allocation)
    by_grant = np.bincount(of[granted], minlength=partitions) == holders
    grant = np.where(granted, np.clip(held.share_allocation, 0.0, 1.0), 0.0)
    all_granted = np.maximum(_sums(of, grant, partitions), 1.0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # what `where` discards
        within = np.where(by_grant[of], grant / all_granted[of], 1.0 / holders[of])
        within = np.where(by_use[of], use / used[of], within)
        ratio = np.where(live, cut.ratio[of] * within, 0.0)
    of_device = held.partition_device[of]
    claimed = _sums(of_device, ratio, len(held.device_whole))
    # Whatever an exporter says, no device is held twice.
    ratio = ratio / np.maximum(claimed, 1.0)[of_device]
    return Shares(cut, within, by_use, use, used, by_grant, grant, all_granted, holders, claimed, ratio)


def _sums(groups: Rows, values: Floats, count: int) -> Floats:
    return np.bincount(groups, values, count).astype(np.float64, copy=False)


def _cut(held: Holdings) -> Cut:
    """The part of its device that each live partition is."""
    device, size = held.partition_device, held.partition_size.astype(float)
    devices = len(held.device_whole)
    cut = held.partition_live & (size > 0)
    # Where all parts are printed, held or free, the whole is their number.
    whole = np.where(held.device_whole > 0, held.device_whole, np.bincount(device[cut], size[cut], devices))
    is_cut = np.bincount(device[cut], minlength=devices) > 0
    share_live_of = np.zeros(len(device), bool)
    share_live_of[held.share_partition[held.share_live]] = True
    # Only held parts compete for the device: a row for the whole beside its parts (Furiosa) holds nothing.
    claimed = np.bincount(device[cut & share_live_of], size[cut & share_live_of], devices)
    whole = np.maximum(whole, claimed)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # what `where` discards
        ratio = np.where(cut, size / whole[device], 0.0)
        told = cut & ~np.isnan(held.partition_activity)
        complete = np.bincount(device[told], minlength=devices) == np.bincount(device[cut], minlength=devices)
        work = np.where(told, size * np.clip(held.partition_activity, 0.0, 1.0), 0.0)
        done = _sums(device, work, devices)
        active = np.minimum(done / whole, 1.0)
        lively = told & complete[device] & (done[device] > NO_USE)
        weighted = (1 - active[device]) * ratio + active[device] * (work / done[device])
    ratio = np.where(lively, weighted, ratio)
    uncut = held.partition_live & (size == 0) & ~is_cut[device]
    return Cut(np.where(uncut, 1.0, ratio), work, lively, whole, done, active)


def scale_to_node(pod_watts: Floats, pod_node: Rows, node_watts: Floats) -> tuple[Floats, Floats, int]:
    """Keep the pods of a node within its meter, for one component.

    Returns (Q pod watts, N node watts, how many nodes had to be scaled down). Where the node's own component is
    unknown its pods are all that is known of it, so the component becomes their sum.
    """
    nodes = len(node_watts)
    known = ~np.isnan(pod_watts)
    claimed = np.bincount(pod_node[known], pod_watts[known], nodes)
    claims = np.bincount(pod_node[known], minlength=nodes) > 0
    node_watts = np.where(np.isnan(node_watts) & claims, claimed, node_watts)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # what `where` discards
        over = claims & (claimed > node_watts)
        factor = np.where(over, node_watts / claimed, 1.0)
    beyond_rounding = over & (claimed > node_watts * (1 + 1e-9))
    return pod_watts * factor[pod_node], node_watts, int(beyond_rounding.sum())


def unattributed(node_power: Floats, pod_power: Floats, pod_node: Rows) -> Floats:
    """N×C: node component minus its pods; NaN where the component is unknown. Rounding dust becomes exactly 0."""
    rest = node_power.copy()
    for component in range(node_power.shape[1]):
        watts = np.nan_to_num(pod_power[:, component])
        rest[:, component] -= np.bincount(pod_node, watts, len(node_power))
    with np.errstate(invalid="ignore"):
        rest[np.abs(rest) <= 1e-9 * np.abs(node_power)] = 0.0
    return rest


def spread_idle(pod_power: Floats, rest: Floats, pod_node: Rows) -> tuple[Floats, Floats]:
    """Policy `idle: proportional`: each component's remainder goes to the pods by what they hold of it."""
    pod_power, rest = pod_power.copy(), rest.copy()
    for component in range(OTHER):
        _give(pod_power[:, component], rest[:, component], np.nan_to_num(pod_power[:, component]), pod_node)
    return pod_power, rest


def spread_overhead(pod_power: Floats, rest: Floats, pod_node: Rows, weights: Floats) -> tuple[Floats, Floats]:
    """Policy `overhead: proportional`: the node's `other` goes to its pods by their total power `weights` (Q)."""
    pod_power, rest = pod_power.copy(), rest.copy()
    _give(pod_power[:, OTHER], rest[:, OTHER], weights, pod_node)
    return pod_power, rest


def _give(pod_watts: Floats, rest: Floats, weights: Floats, pod_node: Rows) -> None:
    """Hand out one component's remainder in place; nobody holds any of it: it stays where it is."""
    held = np.bincount(pod_node, weights, len(rest))
    giving = (held > 0) & ~np.isnan(rest) & (rest != 0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # what `where` discards
        gain = np.where(giving[pod_node] & (weights > 0), rest[pod_node] * (weights / held[pod_node]), 0.0)
    gets = gain != 0
    pod_watts[gets] = np.nan_to_num(pod_watts[gets]) + gain[gets]
    rest[giving] = 0.0
