"""Shares: why a holder has this part of a device (the arithmetic of derive/attribution.py for one share)."""

from __future__ import annotations

from functools import partial

import numpy as np

from kcloud_exporter.derive.attribution import Holdings, shares
from kcloud_exporter.explain.samples import SampleTrees
from kcloud_exporter.explain.tree import Node, Part, branch, leaf
from kcloud_exporter.readings import Entities

_ACTIVITY, _USE = "accelerator_engine_active_ratio", "accelerator_share_utilization_ratio"
_GRANT = "accelerator_share_allocation_ratio"


class ShareTrees:
    """Trees of the share ratios of one cluster."""

    def __init__(self, held: Holdings, things: Entities, samples: SampleTrees) -> None:
        self._held, self._things, self._samples = held, things, samples
        self._shares = shares(held)
        self._share_device = held.partition_device[held.share_partition]

    def value(self, share: int) -> float:
        """The ratio itself."""
        return float(self._shares.ratio[share])

    def ratio(self, share: int, depth: int) -> Node:
        """The part of its device that one live share holds."""
        device, value = int(self._share_device[share]), float(self._shares.ratio[share])
        what = f"part of the device that {self._holder(share)} holds"
        claimed = float(self._shares.claimed[device])
        if claimed <= 1.0:
            return self._claim(what, share, value, depth)
        live = np.flatnonzero(self._held.share_live & (self._share_device == device)).tolist()
        claims: list[Part] = [partial(self._claim, f"claim of {self._holder(s)}", s, self._claimed(s)) for s in live]
        own: Part = partial(self._claim, f"claim of {self._holder(share)}", share, self._claimed(share))
        together: Part = partial(branch, "all claims on the device", claimed, "", "sum", claims)
        note = "the holders claim more than the whole device"
        return branch(what, value, "", "quotient", [own, together], depth, note)

    def _claimed(self, share: int) -> float:
        return float(self._shares.cut.ratio[self._held.share_partition[share]] * self._shares.within[share])

    def _claim(self, what: str, share: int, value: float, depth: int) -> Node:
        partition = int(self._held.share_partition[share])
        parts: list[Part] = [partial(self._part, partition), partial(self._within, share)]
        return branch(what, value, "", "product", parts, depth)

    def _part(self, partition: int, depth: int) -> Node:
        """The part of the device that a partition is."""
        held, cut = self._held, self._shares.cut
        device, size = int(held.partition_device[partition]), float(held.partition_size[partition])
        value, (_, name) = float(cut.ratio[partition]), self._things.partitions.keys[partition]
        if not value:
            return Node(f"partition {name}" if size else "the whole device", value, "", "constant", (), "holds nothing")
        if not size:
            return Node("the whole device", value, "", "constant")
        whole = float(cut.whole[device])
        by_size: Part = partial(
            branch,
            "its slices of all slices",
            size / whole,
            "",
            "quotient",
            [leaf(f"slices of partition {name}", size), leaf("slices of the device", whole)],
        )
        if not cut.weighted[partition]:
            return branch(f"partition {name}", value, "", "product", [by_size, leaf("by size", 1.0)], depth)
        active, work, done = float(cut.active[device]), float(cut.work[partition]), float(cut.done[device])
        idle_part: Part = partial(
            branch,
            "of the idle part, by size",
            (1 - active) * size / whole,
            "",
            "product",
            [partial(self._idle, device), by_size],
        )
        by_work: Part = partial(
            branch,
            "its work of all work",
            work / done,
            "",
            "quotient",
            [partial(self._work, partition), partial(self._done, device)],
        )
        active_part: Part = partial(
            branch,
            "of the active part, by size × activity",
            active * work / done,
            "",
            "product",
            [partial(self._active, device), by_work],
        )
        return branch(f"partition {name}", value, "", "sum", [idle_part, active_part], depth)

    def _idle(self, device: int, depth: int) -> Node:
        active = float(self._shares.cut.active[device])
        parts: list[Part] = [leaf("the device", 1.0), partial(self._active, device)]
        return branch("idle part of the device", 1 - active, "", "difference", parts, depth)

    def _active(self, device: int, depth: int) -> Node:
        cut = self._shares.cut
        done, whole = float(cut.done[device]), float(cut.whole[device])
        of_whole: Part = partial(
            branch,
            "work of all slices over all slices",
            done / whole,
            "",
            "quotient",
            [partial(self._done, device), leaf("slices of the device", whole)],
        )
        parts: list[Part] = [of_whole, leaf("the whole device at most", 1.0)]
        return branch("active part of the device", float(cut.active[device]), "", "min", parts, depth)

    def _done(self, device: int, depth: int) -> Node:
        cut = self._shares.cut
        mine = np.flatnonzero((self._held.partition_device == device) & (cut.work > 0)).tolist()
        parts: list[Part] = [partial(self._work, partition) for partition in mine]
        return branch("work of all slices", float(cut.done[device]), "", "sum", parts, depth)

    def _work(self, partition: int, depth: int) -> Node:
        held, (_, name) = self._held, self._things.partitions.keys[partition]
        size = float(held.partition_size[partition])
        told = float(held.partition_activity[partition])
        what = f"activity of partition {name}"
        activity: Part = partial(self._samples.reading, _ACTIVITY, partition, what)
        if told > 1.0:
            activity = partial(branch, what, 1.0, "", "min", [activity, leaf("at most", 1.0)])
        parts = [leaf(f"slices of partition {name}", size), activity]
        return branch(f"work of partition {name}", float(self._shares.cut.work[partition]), "", "product", parts, depth)

    def _within(self, share: int, depth: int) -> Node:
        """The part of a partition that one of its holders has."""
        found = self._shares
        partition, value = int(self._held.share_partition[share]), float(found.within[share])
        live = np.flatnonzero(self._held.share_live & (self._held.share_partition == partition)).tolist()
        if not found.by_use[partition] and found.by_grant[partition]:
            return self._granted(share, live, value, depth)
        if not found.by_use[partition]:
            holders = int(found.holders[partition])
            if holders == 1:
                return Node("its only holder", 1.0, "", "constant")
            parts = [leaf("one holder", 1.0), leaf("holders that share it equally", holders)]
            return branch("equal parts", value, "", "quotient", parts, depth)
        uses: list[Part] = [partial(self._use, s) for s in live]
        together: Part = partial(branch, "utilisation of all holders", float(found.used[partition]), "", "sum", uses)
        return branch("by utilisation", value, "", "quotient", [partial(self._use, share), together], depth)

    def _granted(self, share: int, live: list[int], value: float, depth: int) -> Node:
        """The part that was granted; together no more than the whole."""
        total = float(sum(self._shares.grant[s] for s in live))
        together: Part = partial(branch, "granted to all", total, "", "sum", [partial(self._grant, s) for s in live])
        at_least: Part = partial(
            branch, "all grants, or the whole", max(total, 1.0), "", "max", [together, leaf("the whole", 1.0)]
        )
        return branch("as granted", value, "", "quotient", [partial(self._grant, share), at_least], depth)

    def _grant(self, share: int, depth: int) -> Node:
        what = f"granted to {self._holder(share)}"
        told: Part = partial(self._samples.reading, _GRANT, share, what)
        value = float(self._shares.grant[share])
        if value == self._held.share_allocation[share]:
            return told(depth)
        return branch(what, value, "", "min", [told, leaf("at most", 1.0)], depth)

    def _use(self, share: int, depth: int) -> Node:
        return self._samples.reading(_USE, share, f"utilisation by {self._holder(share)}", depth)

    def _holder(self, share: int) -> str:
        _, pod, container = self._things.shares.keys[share]
        name = self._things.title(pod).removeprefix("pod ")
        return name + (f"/{container}" if container else "")
