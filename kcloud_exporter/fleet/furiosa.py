"""furiosa-metrics-exporter pages: empty labels are left out, partitions copy the device's row.

A partitioned device prints its whole power once without a pod (`core="0-7"`) and again for each pod
(`core="0-3"`); a device that one pod holds prints a single row, with the pod.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kcloud_exporter.fleet.exposition import Family, go_family, page
from kcloud_exporter.fleet.goruntime import process_families
from kcloud_exporter.fleet.signals import FULL_LOAD
from kcloud_exporter.fleet.world import Accelerator, Node, Part, Pod, World

CORES: Final = 8
_MHZ: Final = 1000


def render_furiosa(world: World, cluster: str, node: str, at: float) -> str:
    """The page of the Furiosa exporter on one node at one time (Unix seconds)."""
    server = world.node(cluster, node)
    families = [*_families(server, at), *process_families("go1.23.1", world.clock.start)]
    return page(families, ordered=True)


def _families(node: Node, at: float) -> Iterator[Family]:
    alive: list[tuple[dict[str, str], float]] = []
    power: list[tuple[dict[str, str], float]] = []
    celsius: list[tuple[dict[str, str], float]] = []
    usage: list[tuple[dict[str, str], float]] = []
    clock: list[tuple[dict[str, str], float]] = []
    cycles: list[tuple[dict[str, str], float]] = []
    executed: list[tuple[dict[str, str], float]] = []
    for device in node.own("furiosa"):
        watts = device.power.at(at) / 1000
        for labels in _device_rows(node, device):
            alive.append((labels, int(device.healthy)))
            power.append(({**labels, "label": "rms"}, watts))
            celsius.append(({**labels, "label": "ambient"}, 36))
            celsius.append(({**labels, "label": "peak"}, round(36 + watts / 4 + device.excess_celsius, 2)))
        ticks = int(device.load.integral(at) * _MHZ * 1_000_000 / FULL_LOAD)
        elapsed = max(0.0, at - node.clock.start)
        for core in range(CORES):
            part = _part_of_core(device, core)
            labels = _labels(node, device, str(core), part.pod if part else None)
            busy = part is not None and (part.pod is not None or device.sharing != "cores")
            usage.append((labels, device.load.at(at) * 100 / FULL_LOAD if busy else 0))
            clock.append((labels, _MHZ))
            cycles.append((labels, int(elapsed * _MHZ * 1_000_000)))
            executed.append((labels, ticks if busy else 0))
    yield go_family("furiosa_npu_alive", "gauge", "The liveness of NPU device", alive)
    yield go_family("furiosa_npu_hw_power", "gauge", "The current power of NPU device", power)
    yield go_family("furiosa_npu_hw_temperature", "gauge", "The current temperature of NPU device", celsius)
    yield go_family("furiosa_npu_core_utilization", "gauge", "The current core utilization of NPU device", usage)
    yield go_family("furiosa_npu_core_frequency", "gauge", "The current core frequency of NPU device (MHz)", clock)
    yield go_family("furiosa_npu_total_cycle_count", "counter", "The current total cycle count of NPU device", cycles)
    yield go_family(
        "furiosa_npu_task_execution_cycle", "counter", "The current task execution cycle of NPU device", executed
    )


def _device_rows(node: Node, device: Accelerator) -> Iterator[dict[str, str]]:
    if device.sharing != "cores":
        yield _labels(node, device, f"0-{CORES - 1}", device.parts[0].pod)
        return
    yield _labels(node, device, f"0-{CORES - 1}", None)
    for part in device.held:
        yield _labels(node, device, part.profile, part.pod)


def _part_of_core(device: Accelerator, core: int) -> Part | None:
    if device.sharing != "cores":
        return device.parts[0]
    for part in device.parts:
        first, last = part.profile.split("-")
        if int(first) <= core <= int(last):
            return part
    return None


def _labels(node: Node, device: Accelerator, core: str, pod: Pod | None) -> dict[str, str]:
    labels = {
        "arch": device.model,
        "core": core,
        "device": f"npu{device.index}",
        "driver_version": "2025.2.0+f09a8d8",
        "firmware_version": "2025.2.0+696efad",
        "hostname": node.name,
        "pci_bus_id": f"0000:{0xA7 + 0x10 * device.index:02x}:00.0",
        "pert_version": "2025.2.0+1694e18",
        "uuid": device.uuid,
    }
    if pod:
        labels |= {"container": pod.container, "namespace": pod.namespace, "pod": pod.name}
    return labels
