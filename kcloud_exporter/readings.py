"""Readings: what normalise hands to derive. Entities interned once, quantities as columns over them.

Rows never move while an `Entities` object lives; a rebuild makes a new one, and whoever keeps keys begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from copy import copy
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from kcloud_exporter.model import Floats, Mask, Rows

NEVER: Final = -np.inf
"""The time of what has never been seen."""

_T = TypeVar("_T", bound=np.generic)
_K = TypeVar("_K", bound=Hashable)


class Grow(Generic[_T]):
    """An append-only array with amortised growth; `append` adds one value, `view` is the filled part (writable)."""

    __slots__ = ("_data", "_filled", "_pending", "append")

    def __init__(self, dtype: type[_T]) -> None:
        self._data: NDArray[_T] = np.empty(64, dtype)
        self._filled = 0
        self._pending: list[Any] = []
        self.append: Callable[[object], None] = self._pending.append

    def __len__(self) -> int:
        return self._filled + len(self._pending)

    @property
    def view(self) -> NDArray[_T]:
        """All values so far, without a copy."""
        if self._pending:
            end = self._filled + len(self._pending)
            if end > len(self._data):
                grown = np.empty(max(end, 2 * len(self._data)), self._data.dtype)
                grown[: self._filled] = self._data[: self._filled]
                self._data = grown
            self._data[self._filled : end] = self._pending
            self._filled = end
            self._pending.clear()
        return self._data[: self._filled]

    def of(self, kept: Mask, new: NDArray[Any] | None = None) -> Grow[_T]:
        """Another one with some of the values; `new[value]` instead of each, if that is given."""
        values = self.view[kept]
        other = Grow(self._data.dtype.type)
        other.become(values if new is None else new[values])
        return other

    def keep(self, kept: Mask) -> None:
        """Let go of the values for which `kept` is not true."""
        self.become(self.view[kept])

    def become(self, values: NDArray[_T]) -> None:
        """Hold these values, which nobody else holds, and go on from there."""
        self._data, self._filled = values, len(values)
        self._pending.clear()


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One value per entity. `value` NaN = unknown; `winner` = candidate or -1; `missing` = expected, not there."""

    value: Floats
    winner: Rows
    missing: Mask
    seen: Floats


def renumbered(kept: Mask) -> Rows:
    """Old row → new row, -1 for one that is not kept."""
    return np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)


def marked(rows: Rows, count: int) -> Mask:
    """A mask over 0..count-1 that is true for `rows`."""
    mask = np.zeros(count, bool)
    mask[rows] = True
    return mask


class Interned(Generic[_K]):
    """Keys → rows 0..n-1, append-only."""

    __slots__ = ("keys", "rows")

    def __init__(self) -> None:
        self.rows: dict[_K, int] = {}
        self.keys: list[_K] = []

    def __len__(self) -> int:
        return len(self.keys)

    def row(self, key: _K) -> tuple[int, bool]:
        """The row of a key, and whether it is new."""
        found = self.rows.get(key)
        if found is not None:
            return found, False
        self.rows[key] = len(self.keys)
        self.keys.append(key)
        return len(self.keys) - 1, True

    def without(self, new_rows: Rows, key: Callable[[_K], _K] = lambda key: key) -> Interned[_K]:
        """These keys, `key` of each and aliases too, at `new_rows[row]`, without those for which it is -1."""
        slim: Interned[_K] = Interned()
        slim.keys = [key(of) for of, row in zip(self.keys, new_rows.tolist(), strict=True) if row >= 0]
        moved = ((of, new_rows[row]) for of, row in self.rows.items())
        slim.rows = {key(of): int(row) for of, row in moved if row >= 0}
        return slim

    def alias(self, key: _K, row: int) -> None:
        """Let another key stand for a row as well."""
        self.rows[key] = row


@dataclass(slots=True)
class DeviceInfo:
    """What is known of an accelerator besides its numbers; `precedence` is that of the exporter that told it."""

    uuid: str
    kind: str
    maker: str
    precedence: int
    index: str = ""
    model: str = ""
    driver_version: str = ""
    pci_bus_id: str = ""


VM: Final = "\0vm"
"""Stands where a pod's namespace would, in the key of a VM. No namespace: the number that a VM has for one."""
NO_NAMESPACE: Final = -1


@dataclass(frozen=True, slots=True)
class VmInfo:
    """What a VM is called on the page."""

    project: str
    name: str


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of pods (and VMs), and of their shares, without those that have ended: old row → new row, or -1."""

    pods: Rows
    shares: Rows

    def of(self, entity: str) -> Rows | None:
        """The rows of what a quantity speaks of; None where no pod is in it."""
        return {"pod": self.pods, "vm": self.pods, "share": self.shares}.get(entity)


class Entities:
    """All entity tables of one cluster. Rows never move: who lets go of what has ended makes a new object."""

    def __init__(self) -> None:
        self.nodes: Interned[str] = Interned()
        self.namespaces: Interned[str] = Interned()
        self.devices: Interned[tuple[int, str]] = Interned()
        self.device_node = Grow(np.int32)
        self.device_component = Grow(np.int8)
        self.device_whole = Grow(np.int32)
        self.device_stand_in = Grow(np.bool_)
        self.device_info: list[DeviceInfo] = []
        self.device_sensors: Interned[tuple[int, str]] = Interned()
        self.partitions: Interned[tuple[int, str]] = Interned()
        self.partition_device = Grow(np.int32)
        self.partition_size = Grow(np.int32)
        self.pods: Interned[tuple[int, str, str]] = Interned()
        self.pod_node = Grow(np.int32)
        self.pod_namespace = Grow(np.int32)
        self.vm_info: dict[int, VmInfo] = {}
        self._vm_names: set[tuple[int, VmInfo]] = set()
        self.shares: Interned[tuple[int, int, str]] = Interned()
        self.share_partition = Grow(np.int32)
        self.share_pod = Grow(np.int32)
        self.holders: Interned[tuple[int, int, str]] = Interned()
        self.share_holder = Grow(np.int32)
        self.tenants: Interned[tuple[int, int]] = Interned()
        self.share_tenant = Grow(np.int32)
        self._named_shares: dict[tuple[int, int], int] = {}
        self.renamed = False
        self.sensors: Interned[tuple[int, str, str]] = Interned()
        self.sensor_label: list[str] = []
        self._sensor_names: set[tuple[int, str]] = set()
        self.facilities: Interned[str] = Interned()

    def pod(self, node: int, namespace: str, pod: str) -> int:
        """Row of a pod on a node."""
        row, new = self.pods.row((node, namespace, pod))
        if new:
            self.pod_node.append(node)
            self.pod_namespace.append(self.namespaces.row(namespace)[0])
        return row

    def vm(self, node: int, key: str, project: str, name: str) -> int:
        """Row of a VM on a node, among the pods: both hold parts of the node in the same ways.

        Labels are unique even if names are not.
        """
        row, new = self.pods.row((node, VM, key))
        if new:
            self.pod_node.append(node)
            self.pod_namespace.append(NO_NAMESPACE)
            info = VmInfo(project, name)
            if (node, info) in self._vm_names:
                info = VmInfo(project, f"{name} ({key})")
            self._vm_names.add((node, info))
            self.vm_info[row] = info
        return row

    def names_of(self, pod: int) -> tuple[str, str]:
        """(namespace, pod) of a row; for a VM an empty namespace, which no pod has, and `project/name`."""
        vm = self.vm_info.get(pod)
        return ("", f"{vm.project}/{vm.name}") if vm else self.pods.keys[pod][1:]

    def title(self, pod: int) -> str:
        """A row for people: `pod namespace/pod`, or `VM project/name`."""
        namespace, name = self.names_of(pod)
        return f"pod {namespace}/{name}" if pod not in self.vm_info else f"VM {name}"

    def partition(self, device: int, name: str, size: int) -> int:
        """Row of a part of a device; the empty name is the whole device, of size 0."""
        row, new = self.partitions.row((device, name))
        if new:
            self.partition_device.append(device)
            self.partition_size.append(size)
        return row

    def share(self, partition: int, pod: int, container: str) -> int:
        """Row of a container's hold on a part of a device.

        One container may hold several parts of one device: `holders` and `tenants` gather them for the output.
        An exporter that names no container speaks of the one that others name: `renamed` tells that a hold which
        had none has got its name.
        """
        device = self.partitions.keys[partition][0]
        known = self._named_shares.get((partition, pod))
        if not container and known is not None:
            return known
        unnamed = self.shares.rows.get((partition, pod, "")) if known is None and container else None
        if unnamed is not None:
            holder = int(self.share_holder.view[unnamed])
            self.shares.alias((partition, pod, container), unnamed)
            self.holders.alias((device, pod, container), holder)
            self.holders.keys[holder] = device, pod, container
            self._named_shares[partition, pod] = unnamed
            self.renamed = True
            return unnamed
        row, new = self.shares.row((partition, pod, container))
        if container:
            self._named_shares.setdefault((partition, pod), row)
        if new:
            self.share_partition.append(partition)
            self.share_pod.append(pod)
            self.share_holder.append(self.holders.row((device, pod, container))[0])
            self.share_tenant.append(self.tenants.row((device, pod))[0])
        return row

    def without(self, ended: Mask) -> tuple[Entities, Left]:
        """These entities without some pods and VMs and what they have held, and where the others have gone.

        All that has nothing to do with pods is shared with this object, which is not to be used any more.
        """
        pods = renumbered(~ended)
        shares = renumbered(pods[self.share_pod.view] >= 0)
        stay = shares >= 0
        holders = renumbered(marked(self.share_holder.view[stay], len(self.holders)))
        tenants = renumbered(marked(self.share_tenant.view[stay], len(self.tenants)))
        new = copy(self)
        new.pods = self.pods.without(pods)
        new.pod_node, new.pod_namespace = self.pod_node.of(~ended), self.pod_namespace.of(~ended)
        new.vm_info = {int(pods[row]): info for row, info in self.vm_info.items() if pods[row] >= 0}
        new._vm_names = {(int(new.pod_node.view[row]), info) for row, info in new.vm_info.items()}
        new.shares = self.shares.without(shares, lambda key: (key[0], int(pods[key[1]]), key[2]))
        new.share_partition, new.share_pod = self.share_partition.of(stay), self.share_pod.of(stay, pods)
        new.holders = self.holders.without(holders, lambda key: (key[0], int(pods[key[1]]), key[2]))
        new.tenants = self.tenants.without(tenants, lambda key: (key[0], int(pods[key[1]])))
        new.share_holder, new.share_tenant = self.share_holder.of(stay, holders), self.share_tenant.of(stay, tenants)
        new._named_shares = {
            (partition, int(pods[pod])): int(shares[share])
            for (partition, pod), share in self._named_shares.items()
            if shares[share] >= 0
        }
        return new, Left(pods, shares)

    def sensor(self, node: int, name: str, identifier: str) -> int:
        """Row of a server's sensor. Two sensors of one name get their id appended, so that none is lost."""
        row, new = self.sensors.row((node, name, identifier))
        if new:
            label = name if (node, name) not in self._sensor_names else f"{name} #{identifier}"
            self._sensor_names.add((node, label))
            self.sensor_label.append(label)
        return row


class WorkTable:
    """What the counters of work stand for. Rows never move; an engine makes one and keeps it.

    series   one counter as one source shows it
    view     all series by which one teller (a job of a source) knows one thing
    thing    what one meter counts of one pod; several tellers may know it, and it counts once
    job      (namespace, pod, unit): what is shown
    """

    def __init__(self) -> None:
        self.jobs: Interned[tuple[str, str, str]] = Interned()
        self.things: Interned[tuple[int, int, str]] = Interned()
        self.thing_job, self.thing_scale = Grow(np.int32), Grow(np.float64)
        self.views: Interned[tuple[int, int]] = Interned()
        self.view_thing = Grow(np.int32)
        self.series: Interned[tuple[str, str, str]] = Interned()
        self.series_view = Grow(np.int32)


@dataclass(frozen=True, slots=True)
class Work:
    """One cycle's samples of the counters of work: `value` (NaN = not there) and `time` over the series of `table`.

    Values are as the source prints them; times are its own where it tells them, else ours.
    """

    table: WorkTable
    value: Floats
    time: Floats


@dataclass(frozen=True, slots=True)
class Readings:
    """One cycle of one cluster: per quantity one `Evaluated` over its entities, and who holds what.

    `share_live`, `partition_live` are masks over the entity tables; `node_inventory` marks the nodes that the
    inventory (kube_node_info) lists now, and `has_inventory` whether there is one at all.
    """

    entities: Entities
    columns: dict[str, Evaluated]
    origins: dict[str, list[tuple[str, str]]]
    share_live: Mask
    partition_live: Mask
    node_inventory: Mask
    has_inventory: bool
    work: Work | None = None
