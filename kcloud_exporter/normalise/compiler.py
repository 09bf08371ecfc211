"""Compiler: one new series → what its rows will mean from now on. The only place that reads labels.

It runs once per series and writes into bindings, so that a steady tick never looks at a label again.
"""

from __future__ import annotations

from collections.abc import Hashable

from kcloud_exporter.catalogue import COMPONENTS
from kcloud_exporter.model import Labels
from kcloud_exporter.normalise.bindings import Binding
from kcloud_exporter.normalise.columns import Column
from kcloud_exporter.normalise.identity import (
    NodeNames,
    device_key,
    first,
    host_of,
    joined,
    owner_of,
    partition_of,
    pci_key,
    whole_of,
)
from kcloud_exporter.normalise.lines import Line, Lines, siblings
from kcloud_exporter.normalise.samples import NO_SAMPLE, LastSample, series_number
from kcloud_exporter.normalise.state import TableState
from kcloud_exporter.normalise.vms import VmNames
from kcloud_exporter.readings import DeviceInfo, Entities, Interned
from kcloud_exporter.vendors.mapping import COMBINE, SeriesRule, VendorIndex, VendorTable
from kcloud_exporter.vendors.quantities import QUANTITIES


class Compiler:
    """Binds series of one cluster. `outdated` is set when something learned changes what was bound before."""

    def __init__(
        self,
        vendors: VendorIndex,
        names: NodeNames,
        meters: tuple[str, ...],
        entities: Entities,
        columns: dict[str, Column],
    ) -> None:
        self.names, self.vms, self.outdated = names, VmNames(names), False
        self.own_pods: dict[tuple[str, str], tuple[str, str]] = {}
        self._own_pods_told: set[tuple[str, str]] = set()
        self.remembered: dict[int, LastSample] = {}
        self._vendors, self._entities, self._columns = vendors, entities, columns
        self.targets: Interned[tuple[str, str]] = Interned()
        self._taken_for_owners: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self._in_slot: dict[tuple[int, str], int] = {}
        self._tellers: dict[int, set[str]] = {}
        self._said: dict[tuple[str | int | None, ...], int] = {}
        self._lines = Lines(vendors, meters)
        self._shapes: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._nodes: dict[tuple[int, int], int] = {}
        self._devices: dict[tuple[int, int], int] = {}
        self._insides: dict[tuple[str, str], tuple[str, str] | None] = {}

    def continue_from(self, earlier: Compiler) -> None:
        """Keep what an earlier compiler has learned of names and of exporters' own pods."""
        self.names = earlier.names
        self.names.forget_answers()
        self.vms = earlier.vms
        self.vms.forget_answers()
        self.own_pods = earlier.own_pods
        self.remembered = earlier.remembered

    def let_go(self, entities: Entities) -> None:
        """Go on with entities that have let go of the pods that have ended.

        What was learned of their names is let go by compiling anew, once it is most of what is known.
        """
        self._entities = entities
        living = {(namespace, pod) for _, namespace, pod in entities.pods.keys}
        for target, owners in self._taken_for_owners.items():
            self._taken_for_owners[target] = owners & living
        self.outdated |= self.names.mostly_untold()

    def forget_untold(self) -> None:
        """All rows have been compiled anew: what none of them has told again is no more."""
        self.own_pods = {target: pod for target, pod in self.own_pods.items() if target in self._own_pods_told}
        self.names.forget_untold()

    def compile(self, state: TableState, start: int, end: int, *, inventory: bool) -> None:
        """Bind rows start..end-1 of a table; only inventory series, or only the others."""
        if inventory:
            self._learn_all(state, start, end)
            return
        series = state.table
        for row, name, labels in zip(range(start, end), series.names[start:end], series.labels[start:end], strict=True):
            target = -1
            for line in self._lines.of(name):
                if line.rule.conditions and not line.rule.matches(labels):
                    continue
                if target < 0:
                    target, _ = self.targets.row((labels.get("job", ""), labels.get("instance", "")))
                self._bind(state, row, line, name, labels, target)
            state.row_target.append(target)
        self._nodes.clear()
        self._devices.clear()

    def _learn_all(self, state: TableState, start: int, end: int) -> None:
        inventories = self._vendors.inventories
        series = state.table
        for row, name, labels in zip(range(start, end), series.names[start:end], series.labels[start:end], strict=True):
            for table, rule, _ in inventories.get(name, ()):
                if rule.matches(labels):
                    self._learn(state, row, table, rule, labels)

    def _learn(self, state: TableState, row: int, table: VendorTable, rule: SeriesRule, labels: Labels) -> None:
        if rule.to == "target":
            key = labels.get("job", ""), labels.get("instance", "")
            pod = labels.get("namespace", ""), labels.get("pod", "")
            self.own_pods[key] = pod
            self._own_pods_told.add(key)
            self.outdated |= pod in self._taken_for_owners.get(key, ())
        elif rule.to == "target_node":
            node, resolved = self.names.resolve(first(labels, table.node))
            target = labels.get("instance", "")
            # A name that nobody else knows is better than an address, but not than a node that the address leads to.
            if resolved or self.names.known(target) in (None, node):
                self.outdated |= self.names.learn_pod(node, target, "")
        elif rule.to == "node_info":
            node = labels.get("exported_node") or labels.get("node", "")
            if node:
                self.outdated |= self.names.learn(node, labels.get("internal_ip", ""))
                system, provider = labels.get("system_uuid", ""), labels.get("provider_id", "")
                self.outdated |= self.vms.learn_node(node, system, provider)
                state.inventory_rows.append(row)
                state.inventory_node.append(self._entities.nodes.row(self.names.server_of(node))[0])
        elif rule.to == "pod_info":
            node = labels.get("exported_node") or labels.get("node", "")
            address = labels.get("pod_ip", "")
            if node and address and address != labels.get("host_ip"):
                name = labels.get("exported_pod") or labels.get("pod", "")
                self.outdated |= self.names.learn_pod(node, address, name)
        elif rule.to == "vm_info":
            assert table.vm is not None
            host, _ = self.names.resolve(first(labels, table.node))
            self.outdated |= self.vms.learn(host, table.vm, labels)
        elif rule.to == "project_info":
            self.outdated |= self.vms.learn_project(labels.get("id", ""), labels.get("name", ""))
        elif rule.to == "device_info":
            self._device(table, self._node(state, row, table, labels), labels, late=True)

    def _bind(self, state: TableState, row: int, line: Line, name: str, labels: Labels, target: int) -> None:
        table, rule, rank, origin, teller = line.table, line.rule, line.rank, line.origin, line.teller
        entity, part = self._entity(state, row, table, rule, labels, line.entity)
        if entity < 0 or rank is None:
            return
        if line.is_whole:
            names = tuple(labels)
            shape = self._shapes.get(names)
            if shape is None:
                shape = self._shapes[names] = tuple(sorted(names))
            part = (name, shape, *map(labels.__getitem__, shape))
        elif line.is_many:
            part = (name, *[labels.get(p, "") for p in rule.parts])
        column = self._columns[rule.to]
        slot = column.slot(entity, rank, origin, teller, part, COMBINE[rule.rows], target)
        if rule.needs:
            column.needs.setdefault(rule.needs, set()).add(slot)
        if rule.rows == "board":
            column.share_board(slot, (teller, first(labels, table.node), *(labels.get(p, "") for p in rule.parts)))
        if rule.every:
            for sibling in siblings(rule, name, labels):
                column.require(column.slot(entity, rank, origin, teller, sibling, COMBINE[rule.rows], target))
        binding = state.bindings.get(rule.to)
        if binding is None:
            binding = state.bindings[rule.to] = Binding(QUANTITIES[rule.to], column)
        if rule.counter:
            series = series_number(rule.to, rule.scale, state.table.series(row))
            binding.add(row, slot, rule, series, self.remembered.pop(series, NO_SAMPLE))
        else:
            binding.add(row, slot, rule)

    def _entity(
        self, state: TableState, row: int, table: VendorTable, rule: SeriesRule, labels: Labels, entity: str
    ) -> tuple[int, Hashable]:
        """(row of the entity that a series speaks of, its part); -1 when it cannot be told."""
        if entity == "facility":
            assert rule.sensor is not None
            return self._entities.facilities.row(rule.sensor.name)[0], None
        if entity in ("node", "sensor") and self.names.is_guest(first(labels, table.node)):
            return -1, None  # a VM has no meters of its own
        # Many series share one object of labels, which lives as long as its table does.
        place = id(labels), id(table)
        node = self._nodes.get(place)
        if node is None:
            node = self._nodes[place] = self._node(state, row, table, labels)
        if node < 0:
            return -1, None
        if entity == "node":
            return node, None
        if entity == "vm":
            return self._vm(state, row, table, node, labels), None
        if entity == "sensor":
            return self._sensor(node, rule, labels), None
        if entity == "pod":
            return self._pod(state, row, table, node, labels), None
        device = self._devices.get(place)
        if device is None:
            device = self._devices[place] = self._device(table, node, labels)
        if device < 0:
            state.unidentified_rows.append(row)
            return -1, None
        if entity == "device_sensor":
            assert rule.sensor is not None
            name = rule.sensor.name or "/".join(filter(None, (labels.get(x, "") for x in rule.sensor.label)))
            return self._entities.device_sensors.row((device, name))[0], None
        partition, share = self._holder(state, row, table, rule, labels, node, device)
        if entity == "partition":
            return partition, None
        if entity == "share":
            return share, None
        return device, None

    def _node(self, state: TableState, row: int, table: VendorTable, labels: Labels) -> int:
        if table.strangers == "dropped":
            texts = (joined(labels, name) if "/" in name else labels.get(name, "") for name in table.node)
            known = next(filter(None, (self.names.known(text) for text in texts if text)), None)
            return -1 if known is None else self._entities.nodes.row(known)[0]
        raw = first(labels, table.node)
        inside = self._inside(table, raw, labels)
        name, resolved = (inside[0], True) if inside else self.names.resolve(raw)
        node, new = self._entities.nodes.row(name)
        if new and not resolved:
            state.unresolved_rows.append(row)
        return node

    def _sensor(self, node: int, rule: SeriesRule, labels: Labels) -> int:
        assert rule.sensor is not None
        name = rule.sensor.name or "/".join(filter(None, (labels.get(x, "") for x in rule.sensor.label)))
        return self._entities.sensor(node, name, first(labels, rule.sensor.id))

    def _pod(self, state: TableState, row: int, table: VendorTable, node: int, labels: Labels) -> int:
        assert table.pod is not None
        namespace = labels.get("exported_" + table.pod.namespace) or labels.get(table.pod.namespace, "")
        pod = labels.get("exported_" + table.pod.pod) or labels.get(table.pod.pod, "")
        if not pod:
            state.unidentified_rows.append(row)
            return -1
        return self._entities.pod(node, namespace, pod)

    def _vm(self, state: TableState, row: int, table: VendorTable, node: int, labels: Labels) -> int:
        """The row of a VM, -1 where none is named, and for one that is a Kubernetes node: its pods are counted."""
        assert table.vm is not None
        host = self._entities.nodes.keys[node]
        key = self.vms.key(host, first(labels, table.vm.id), first(labels, table.vm.domain))
        if not key:
            state.unidentified_rows.append(row)
        if not key or self.vms.node_of(key):
            return -1
        return self._entities.vm(node, key, *self.vms.describe(key))

    def _inside(self, table: VendorTable, raw: str, labels: Labels) -> tuple[str, str] | None:
        """(hypervisor, VM) of a device that an exporter inside a VM shows, and that was handed to it."""
        if table.device is None:
            return None
        asked = raw, labels.get("instance", "")
        if asked not in self._insides:
            known = self.names.known(raw) is not None
            self._insides[asked] = None if known else self.vms.inside(raw, host_of(asked[1]))
        return self._insides[asked]

    def _device(self, table: VendorTable, node: int, labels: Labels, *, late: bool = False) -> int:
        """The row of the device that a series speaks of, -1 for none; takes in what the labels tell of it.

        Output series carry these texts, so a change means new series: compile anew. So does a text that comes
        `late`, after rows of the device that did not have it.
        """
        if node < 0:
            return -1
        assert table.device is not None
        entities, naming = self._entities, table.device
        # Most rows say of their device what others have said before.
        said = (table.vendor, node, *map(labels.get, naming.names))
        known = self._said.get(said)
        if known is not None:
            return known
        device, new = self._same_device(table, node, labels)
        if device < 0:
            return -1
        self._said[said] = device
        info = entities.device_info[device]
        entities.device_stand_in.view[device] &= table.stand_in
        if table.precedence > info.precedence and not new:
            return device
        model = first(labels, naming.model)
        told = {
            "index": first(labels, naming.index),
            "model": model,
            "pci_bus_id": first(labels, naming.pci_bus_id),
            "driver_version": first(labels, naming.driver_version),
        }
        for field, text in told.items():
            if text and getattr(info, field) != text:
                self.outdated |= not new and (late or bool(getattr(info, field)))
                setattr(info, field, text)
        if table.precedence < info.precedence:
            info.uuid, info.kind, info.maker, info.precedence = (
                device_key(labels, naming, table.vendor)[1] or info.uuid,
                table.kind,
                table.maker,
                table.precedence,
            )
            entities.device_component.view[device] = COMPONENTS.index(table.kind)
            self.outdated = True
        if entities.device_whole.view[device] == 0 or model:
            entities.device_whole.view[device] = whole_of(info.model, table.partition)
        return device

    def _same_device(self, table: VendorTable, node: int, labels: Labels) -> tuple[int, bool]:
        """(row of a device, whether it is new), by its key, or by its PCI address where another exporter told it.

        One exporter may print several devices at one address (the chips of a board): those are not one.
        """
        assert table.device is not None
        entities, naming = self._entities, table.device
        key, printed = device_key(labels, naming, table.vendor)
        address = pci_key(first(labels, naming.pci_bus_id))
        if not key and address:
            key = printed = f"pci:{address}"
        if not key:
            return -1, False
        device = entities.devices.rows.get((node, key))
        there = self._in_slot.get((node, address)) if address else None
        if there is not None and there != device:
            same = entities.device_info[there].maker == table.maker and table.vendor not in self._tellers[there]
            if same and device is None:
                device = there
                entities.devices.alias((node, key), there)
            # Two devices turn out to be one, because an address came late.
            self.outdated |= same and device != there
        new = device is None
        if device is None:
            device, _ = entities.devices.row((node, key))
            entities.device_node.append(node)
            entities.device_component.append(COMPONENTS.index(table.kind))
            entities.device_whole.append(whole_of(first(labels, naming.model), table.partition))
            entities.device_stand_in.append(table.stand_in)
            entities.device_info.append(DeviceInfo(printed, table.kind, table.maker, table.precedence))
        if address:
            self._in_slot[node, address] = device
        self._tellers.setdefault(device, set()).add(table.vendor)
        return device, new

    def _holder(
        self,
        state: TableState,
        row: int,
        table: VendorTable,
        rule: SeriesRule,
        labels: Labels,
        node: int,
        device: int,
    ) -> tuple[int, int]:
        """(partition row, share row or -1) of a device row; remembers both when the rule tells owners."""
        if not (rule.owner or rule.vm_owner) and QUANTITIES[rule.to].entity not in ("partition", "share"):
            return -1, -1
        name, size = partition_of(labels, table.partition) if table.partition else ("", 0)
        partition = self._entities.partition(device, name, size)
        target = labels.get("job", ""), labels.get("instance", "")
        owner = None if rule.vm_owner else owner_of(labels, table, self.own_pods.get(target))
        share = -1
        if owner is not None:
            namespace, pod, container = owner
            share = self._entities.share(partition, self._entities.pod(node, namespace, pod), container)
            self._taken_for_owners.setdefault(target, set()).add((namespace, pod))
        else:
            vm = self._holding_vm(state, row, table, rule, labels, node)
            share = self._entities.share(partition, vm, "") if vm >= 0 else -1
            self.outdated |= self._entities.renamed
            self._entities.renamed = False
        if rule.owner or rule.vm_owner:
            state.holder_rows.append(row)
            state.holder_device.append(device)
            state.holder_partition.append(partition)
            state.holder_share.append(share)
        return partition, share

    def _holding_vm(
        self, state: TableState, row: int, table: VendorTable, rule: SeriesRule, labels: Labels, node: int
    ) -> int:
        """The row of the VM that holds what a row without a pod speaks of; -1 for none."""
        if rule.vm_owner:
            return self._vm(state, row, table, node, labels)
        inside = self._inside(table, first(labels, table.node), labels)
        if inside is None or self.vms.node_of(inside[1]):
            return -1
        return self._entities.vm(node, inside[1], *self.vms.describe(inside[1]))
