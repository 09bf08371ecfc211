"""Tables: the books and readings of one cluster as output families.

Label tuples are made when a row first has a value and then shared by all later snapshots, so that a cycle
costs one gather per family. A vanished thing keeps its key with the value NaN, and the page leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import numpy as np

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import COMPONENTS
from kcloud_exporter.derive.ledger import Ledger, sum_known
from kcloud_exporter.model import Floats, Keys, Mask, Table
from kcloud_exporter.readings import NO_NAMESPACE, Entities, Readings

IDLE_BELOW = 0.01
"""A held accelerator that was busy for less than this part of the time does no work."""


Label: TypeAlias = Callable[[int], tuple[str, ...]]
"""Index of a row → its labels."""


class TableBuilder:
    """Builds one family's table each cycle from a dense array over its index space."""

    def __init__(self, label: Label) -> None:
        self._label = label
        self._keys = Keys()
        self._index = np.empty(0, np.int64)
        self._known = np.zeros(0, bool)

    def build(self, dense: Floats) -> Table:
        """The table of a dense array (any shape): one row per index that has ever had a value."""
        flat = dense.reshape(-1)
        if len(self._known) < len(flat):
            self._known = np.append(self._known, np.zeros(len(flat) - len(self._known), bool))
        new = np.flatnonzero(~np.isnan(flat) & ~self._known)
        if len(new):
            self._known[new] = True
            self._index = np.append(self._index, new)
            self._keys.rows.extend(self._label(at) for at in new.tolist())
        values = flat[self._index]
        values.flags.writeable = False
        return Table(self._keys, values)


def small_table(rows: list[tuple[tuple[str, ...], float]]) -> Table:
    """A table of a handful of rows with fresh keys."""
    return Table(Keys([labels for labels, _ in rows]), np.array([value for _, value in rows], np.float64))


class ClusterTables:
    """Turns one cluster's cycle into tables. Where entities have changed places rows begin anew."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._entities: Entities | None = None
        self._builders: dict[str, TableBuilder] = {}
        self._meter_keys: tuple[object, Table] | None = None
        self._node_states: tuple[object, Table] | None = None

    def build(self, readings: Readings, ledger: Ledger) -> dict[str, Table]:
        """Family name → table of everything the levels accelerator to hardware show of this cluster."""
        if readings.entities is not self._entities:
            self._begin(readings.entities)
        tables: dict[str, Table] = {}
        for name, dense in self._dense(readings, ledger).items():
            tables[name] = self._builders[name].build(dense)
        tables[catalogue.NODE_METER_INFO.name] = self._meters(readings)
        tables[catalogue.CLUSTER_NODES.name] = small_table(
            [
                ((self._cluster, state), float(mask.sum()))
                for state, mask in (
                    ("measured", ledger.node_measured),
                    ("partial", ledger.node_partial),
                    ("missing", ledger.node_lost),
                )
            ]
        )
        tables[catalogue.CLUSTER_COMPLETENESS.name] = small_table([((self._cluster,), ledger.completeness)])
        return tables

    def power(self, ledger: Ledger, device_power: Floats) -> dict[str, Table]:
        """The power families of another ledger of the same cycle, over the same keys as those of `build`."""
        dense = {
            catalogue.ACCELERATOR_POWER.name: device_power,
            catalogue.NODE_POWER.name: ledger.node_power,
            **self._consumers(ledger),
            catalogue.NAMESPACE_POWER.name: ledger.namespace_power,
            catalogue.CLUSTER_POWER.name: ledger.cluster_power,
        }
        return {name: self._builders[name].build(values) for name, values in dense.items()}

    def _consumers(self, ledger: Ledger) -> dict[str, Floats]:
        """Pods and VMs apart: Q×C each, NaN in the rows of the other."""
        power = ledger.pod_power
        if self._entities is None or not self._entities.vm_info:
            return {catalogue.POD_POWER.name: power, catalogue.VM_POWER.name: np.empty(0)}
        vm = (self._entities.pod_namespace.view == NO_NAMESPACE)[:, np.newaxis]
        return {
            catalogue.POD_POWER.name: np.where(vm, np.nan, power),
            catalogue.VM_POWER.name: np.where(vm, power, np.nan),
        }

    def namespace_watts(self, ledger: Ledger) -> Table:
        """Watts per namespace over all components, with the labels cluster and namespace: what factors apply to."""
        known = ~np.isnan(ledger.namespace_power).all(axis=1)
        return self._builders[_WATTS].build(np.where(known, np.nansum(ledger.namespace_power, axis=1), np.nan))

    def _begin(self, things: Entities) -> None:
        """Rows begin anew: all of them, or only those of pods where nothing else has changed places."""
        stay = self._entities is not None and self._entities.devices is things.devices
        self._entities = things
        labels = self._labels_of_pods(things)
        self._builders = self._builders if stay else {}
        if not stay:
            labels = {**self._labels_of_devices(things), **self._labels_of_nodes(things), **labels}
        self._builders |= {name: TableBuilder(label) for name, label in labels.items()}

    def _labels_of_devices(self, things: Entities) -> dict[str, Label]:
        sensors, infos, device = things.device_sensors.keys, things.device_info, self._device(things)

        def named(at: int) -> tuple[str, ...]:
            return *device(at), infos[at].kind, infos[at].maker, infos[at].model

        def info(at: int) -> tuple[str, ...]:
            it = infos[at]
            return *device(at), it.index, it.kind, it.maker, it.model, it.driver_version, it.pci_bus_id

        def device_sensor(at: int) -> tuple[str, ...]:
            of, name = sensors[at]
            return *device(of), name

        return {
            catalogue.ACCELERATOR_INFO.name: info,
            catalogue.ACCELERATOR_POWER.name: named,
            catalogue.ACCELERATOR_POWER_LIMIT.name: device,
            catalogue.ACCELERATOR_UTILIZATION.name: device,
            catalogue.ACCELERATOR_MEMORY_USED.name: device,
            catalogue.ACCELERATOR_MEMORY_TOTAL.name: device,
            catalogue.ACCELERATOR_CORE_UTILIZATION.name: device_sensor,
            catalogue.ACCELERATOR_TEMPERATURE.name: device_sensor,
            catalogue.ACCELERATOR_CLOCK.name: device_sensor,
            catalogue.ACCELERATOR_HEALTHY.name: device,
        }

    def _device(self, things: Entities) -> Label:
        cluster, nodes, devices, infos = self._cluster, things.nodes.keys, things.devices.keys, things.device_info

        @cache  # many families tell of one device
        def device(at: int) -> tuple[str, ...]:
            return cluster, nodes[devices[at][0]], infos[at].uuid

        return device

    def _labels_of_nodes(self, things: Entities) -> dict[str, Label]:
        cluster, width = self._cluster, len(COMPONENTS)
        nodes, namespaces = things.nodes.keys, things.namespaces.keys
        sensors, sensor_label = things.sensors.keys, things.sensor_label

        def node(at: int) -> tuple[str, ...]:
            return cluster, nodes[at]

        def node_component(at: int) -> tuple[str, ...]:
            return cluster, nodes[at // width], COMPONENTS[at % width]

        def sensor(at: int) -> tuple[str, ...]:
            return cluster, nodes[sensors[at][0]], sensor_label[at]

        return {
            catalogue.NODE_POWER.name: node_component,
            catalogue.NODE_WALL_POWER.name: node,
            catalogue.NODE_RESIDUAL.name: node,
            catalogue.NODE_UNATTRIBUTED.name: node_component,
            catalogue.NAMESPACE_POWER.name: lambda at: (cluster, namespaces[at // width], COMPONENTS[at % width]),
            catalogue.CLUSTER_POWER.name: lambda at: (cluster, COMPONENTS[at]),
            _WATTS: lambda at: (cluster, namespaces[at]),
            **{family.name: sensor for family in _HARDWARE},
        }

    def _labels_of_pods(self, things: Entities) -> dict[str, Label]:
        cluster, width, nodes, device = self._cluster, len(COMPONENTS), things.nodes.keys, self._device(things)

        def pod_component(at: int) -> tuple[str, ...]:
            of, namespace, pod = things.pods.keys[at // width]
            return cluster, nodes[of], namespace, pod, COMPONENTS[at % width]

        def vm_component(at: int) -> tuple[str, ...]:
            vm = things.vm_info[at // width]
            return cluster, nodes[things.pods.keys[at // width][0]], vm.project, vm.name, COMPONENTS[at % width]

        def tenant(at: int) -> tuple[str, ...]:
            held, pod = things.tenants.keys[at]
            return *device(held), *things.names_of(pod)

        def holder(at: int) -> tuple[str, ...]:
            held, pod, container = things.holders.keys[at]
            return *device(held), *things.names_of(pod), container

        return {
            catalogue.ACCELERATOR_IDLE_POWER.name: tenant,
            catalogue.ACCELERATOR_ALLOCATION.name: holder,
            catalogue.POD_POWER.name: pod_component,
            catalogue.VM_POWER.name: vm_component,
        }

    def _dense(self, readings: Readings, ledger: Ledger) -> dict[str, Floats]:
        value = {name: evaluated.value for name, evaluated in readings.columns.items()}
        power = value["accelerator_power_watts"]
        utilization = device_utilization(readings)
        dense = {
            catalogue.ACCELERATOR_INFO.name: np.where(_devices_seen(readings), 1.0, np.nan),
            catalogue.ACCELERATOR_POWER.name: power,
            catalogue.ACCELERATOR_POWER_LIMIT.name: value["accelerator_power_limit_watts"],
            catalogue.ACCELERATOR_UTILIZATION.name: utilization,
            catalogue.ACCELERATOR_MEMORY_USED.name: value["accelerator_memory_used_bytes"],
            catalogue.ACCELERATOR_MEMORY_TOTAL.name: np.where(
                np.isnan(value["accelerator_memory_total_bytes"]),
                value["accelerator_memory_part_bytes"],
                value["accelerator_memory_total_bytes"],
            ),
            catalogue.ACCELERATOR_CORE_UTILIZATION.name: value["accelerator_core_utilization_ratio"],
            catalogue.ACCELERATOR_TEMPERATURE.name: value["accelerator_temperature_celsius"],
            catalogue.ACCELERATOR_CLOCK.name: value["accelerator_clock_hertz"],
            catalogue.ACCELERATOR_HEALTHY.name: value["accelerator_healthy"],
            catalogue.ACCELERATOR_IDLE_POWER.name: _idle_power(readings, ledger, power, utilization),
            catalogue.ACCELERATOR_ALLOCATION.name: sum_known(
                np.where(readings.share_live, ledger.share_ratio, np.nan),
                readings.entities.share_holder.view,
                len(readings.entities.holders),
            ),
            catalogue.NODE_POWER.name: ledger.node_power,
            catalogue.NODE_WALL_POWER.name: ledger.node_wall,
            catalogue.NODE_RESIDUAL.name: ledger.node_residual,
            catalogue.NODE_UNATTRIBUTED.name: ledger.node_unattributed,
            **self._consumers(ledger),
            catalogue.NAMESPACE_POWER.name: ledger.namespace_power,
            catalogue.CLUSTER_POWER.name: ledger.cluster_power,
        }
        for family in _HARDWARE:
            dense[family.name] = value[family.name.removeprefix("kcloud_")]
        return dense

    def node_states(self, readings: Readings, ledger: Ledger) -> Table:
        """The fact `node_state`: measured, partial or missing, of every node that has one; kept while they stay."""
        masks = (ledger.node_measured, ledger.node_partial, ledger.node_lost)
        state = (id(readings.entities), *(mask.tobytes() for mask in masks))
        if self._node_states is None or self._node_states[0] != state:
            nodes = readings.entities.nodes.keys
            rows: list[tuple[tuple[str, ...], float]] = [
                ((self._cluster, nodes[node], name), 1.0)
                for name, mask in zip(("measured", "partial", "missing"), masks, strict=True)
                for node in np.flatnonzero(mask).tolist()
            ]
            self._node_states = state, small_table(rows)
        return self._node_states[1]

    def _meters(self, readings: Readings) -> Table:
        """Which meter won, per node and quantity; kept while the winners stay the same."""
        winners = {q: readings.columns[q].winner for q in _METERED}
        state = tuple(w.tobytes() for w in winners.values())
        if self._meter_keys is None or self._meter_keys[0] != (readings.entities, state):
            nodes = readings.entities.nodes.keys
            rows = [
                (
                    (
                        self._cluster,
                        nodes[node],
                        quantity.removeprefix("node_"),
                        *readings.origins[quantity][winner],
                    ),
                    1.0,
                )
                for quantity, of in winners.items()
                for node, winner in enumerate(of.tolist())
                if winner >= 0
            ]
            self._meter_keys = ((readings.entities, state), small_table(rows))
        return self._meter_keys[1]


_WATTS = "watts of namespaces"
_METERED = ("node_wall_power_watts", "node_cpu_power_watts", "node_memory_power_watts")
_HARDWARE = (
    catalogue.HARDWARE_TEMPERATURE,
    catalogue.HARDWARE_FAN_SPEED,
    catalogue.HARDWARE_VOLTAGE,
    catalogue.HARDWARE_CURRENT,
    catalogue.HARDWARE_POWER,
    catalogue.HARDWARE_SENSOR_STATE,
)


def device_utilization(readings: Readings) -> Floats:
    """D ratios: the device's own figure, else (MIG) its instances' engine activity weighted by their size."""
    own = readings.columns["accelerator_utilization_ratio"].value
    activity = readings.columns["accelerator_engine_active_ratio"].value
    things = readings.entities
    device, size = things.partition_device.view, things.partition_size.view
    told = readings.partition_live & ~np.isnan(activity)
    whole = np.maximum(things.device_whole.view, 1)
    weight = np.where(size > 0, size / whole[device], 1.0)
    work = np.bincount(device[told], (weight * activity)[told], len(own))
    by_parts = np.where(np.bincount(device[told], minlength=len(own)) > 0, np.minimum(work, 1.0), np.nan)
    return np.minimum(np.where(np.isnan(own), by_parts, own), 1.0)


def _devices_seen(readings: Readings) -> Mask:
    """D masks: whether the device has any reading now."""
    seen: Mask = np.any([~np.isnan(readings.columns[name].value) for name in _OF_DEVICE], axis=0)
    return seen


_OF_DEVICE = (
    "accelerator_power_watts",
    "accelerator_utilization_ratio",
    "accelerator_memory_used_bytes",
    "accelerator_memory_total_bytes",
    "accelerator_memory_part_bytes",
    "accelerator_healthy",
)


def idle_shares(readings: Readings, utilization: Floats) -> Mask:
    """S masks: live shares whose holder does no work. Its own utilisation or its partition's activity decides, where
    reported, else `utilization`, that of the whole device."""
    things = readings.entities
    partition = things.share_partition.view
    of_share = readings.columns["accelerator_share_utilization_ratio"].value
    of_part = readings.columns["accelerator_engine_active_ratio"].value[partition]
    of_device = utilization[things.partition_device.view[partition]]
    with np.errstate(invalid="ignore"):
        use = np.where(~np.isnan(of_share), of_share, np.where(~np.isnan(of_part), of_part, of_device))
        idle: Mask = readings.share_live & (use <= IDLE_BELOW)
    return idle


def _idle_power(readings: Readings, ledger: Ledger, power: Floats, utilization: Floats) -> Floats:
    """Watts per tenant: what its part of a device draws while it does no work; NaN otherwise."""
    things = readings.entities
    device = things.partition_device.view[things.share_partition.view]
    watts = np.where(idle_shares(readings, utilization), ledger.share_ratio * power[device], np.nan)
    return sum_known(watts, things.share_tenant.view, len(things.tenants))
