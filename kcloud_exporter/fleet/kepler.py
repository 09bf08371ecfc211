"""Kepler >= 0.10 pages: power by zone, node idle and active apart, pods and containers as two views of one thing.

The zones `core` and `uncore` lie inside `package`. Pods get a share of the node's active power only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kcloud_exporter.fleet.exposition import Family, go_family, page, watts
from kcloud_exporter.fleet.goruntime import process_families
from kcloud_exporter.fleet.signals import FULL_LOAD, Signal
from kcloud_exporter.fleet.world import Node, Pod, World

_CORE: Final = (7, 10)  # of package
_UNCORE: Final = (1, 8)
_CPU_MODEL: Final = "Intel(R) Xeon(R) Platinum 8480+"


def render_kepler(world: World, cluster: str, node: str, at: float) -> str:
    """The page of Kepler on one node at one time (Unix seconds)."""
    server = world.node(cluster, node)
    families = [
        *_node_families(server, at),
        *_workload_families(server, at),
        *_vm_families(server, at),
        *(_gpu_families(server, at) if server.kepler_gpu else ()),
        *process_families("go1.24.4", world.clock.start),
    ]
    return page(families, ordered=True)


def zones(package: Signal, dram: Signal) -> dict[str, Signal]:
    """The RAPL zones of a package power and a dram power."""
    return {"package": package, "core": package.part(*_CORE), "uncore": package.part(*_UNCORE), "dram": dram}


def _node_families(node: Node, at: float) -> Iterator[Family]:
    name = {"node_name": node.name}
    views = {
        "": zones(node.cpu, node.memory),
        "active_": zones(node.cpu_active, node.memory_active),
        "idle_": zones(node.cpu_idle, node.memory_idle),
    }
    for state, by_zone in views.items():
        said = f" in {state.strip('_')} state" if state else ""
        labels = {zone: {**name, "zone": zone, "path": f"aggregated-{zone}"} for zone in by_zone}
        yield go_family(
            f"kepler_node_cpu_{state}joules_total",
            "counter",
            f"Energy consumption of cpu{said} at node level in joules",
            [(labels[zone], signal.integral(at) / 1000) for zone, signal in by_zone.items()],
        )
        yield go_family(
            f"kepler_node_cpu_{state}watts",
            "gauge",
            f"Power consumption of cpu{said} at node level in watts",
            [(labels[zone], watts(signal.at(at))) for zone, signal in by_zone.items()],
        )
    yield go_family(
        "kepler_node_cpu_usage_ratio",
        "gauge",
        "CPU usage ratio of a node (value between 0.0 and 1.0)",
        [(name, round(node.cpu_active.at(at) / node.cpu.at(at), 6))],
    )
    yield go_family(
        "kepler_node_cpu_info",
        "gauge",
        "CPU information from procfs",
        [
            (
                {
                    "processor": str(core),
                    "vendor_id": "GenuineIntel",
                    "model_name": _CPU_MODEL,
                    "physical_id": str(core // 2),
                    "core_id": str(core % 2),
                },
                1,
            )
            for core in range(4)
        ],
    )
    build = {"arch": "amd64", "branch": "HEAD", "goversion": "go1.24.4", "revision": "4d0c3b1", "version": "v0.11.4"}
    yield go_family(
        "kepler_build_info", "gauge", "A metric with a constant '1' value labeled by version information", [(build, 1)]
    )


def _workload_families(node: Node, at: float) -> Iterator[Family]:
    for level, labels_of in (("pod", _pod_labels), ("container", _container_labels)):
        joules, power = [], []
        for pod in node.pods:
            for zone, signal in zones(pod.cpu, pod.memory).items():
                labels = {**labels_of(pod), "node_name": node.name, "state": "running", "zone": zone}
                joules.append((labels, signal.integral(at) / 1000))
                power.append((labels, watts(signal.at(at))))
        if level == "pod":
            for zone, milliwatts in (("package", 3512), ("dram", 402)):
                labels = {**_FINISHED, "node_name": node.name, "state": "terminated", "zone": zone}
                joules.append((labels, milliwatts * 0.3))
                power.append((labels, watts(milliwatts)))
        yield go_family(
            f"kepler_{level}_cpu_joules_total",
            "counter",
            f"Energy consumption of cpu at {level} level in joules",
            joules,
        )
        yield go_family(
            f"kepler_{level}_cpu_watts", "gauge", f"Power consumption of cpu at {level} level in watts", power
        )


# A pod that has ended keeps its last watts on the page for a while: only `state="running"` is power now.
_FINISHED: Final = {
    "pod_id": "0b8e1e52-93a5-4c0c-8f7e-5f1a2f5b9a10",
    "pod_name": "nightly-report-29384710-x2lqv",
    "pod_namespace": "batch",
}


def _pod_labels(pod: Pod) -> dict[str, str]:
    return {"pod_id": pod.uid, "pod_name": pod.name, "pod_namespace": pod.namespace}


def _container_labels(pod: Pod) -> dict[str, str]:
    return {
        "container_id": pod.uid.replace("-", "") * 2,
        "container_name": pod.container,
        "runtime": "containerd",
        "pod_id": pod.uid,
    }


def _vm_families(node: Node, at: float) -> Iterator[Family]:
    """VMs by the UUIDs and the names that QEMU was started with; idle power is nobody's here either."""
    joules, power = [], []
    for vm in node.vms:
        labels = {"hypervisor": "kvm", "node_name": node.name, "state": "running", "vm_id": vm.uuid}
        for zone, signal in zones(vm.cpu, vm.memory).items():
            row = {**labels, "vm_name": vm.domain, "zone": zone}
            joules.append((row, signal.integral(at) / 1000))
            power.append((row, watts(signal.at(at))))
    yield go_family("kepler_vm_cpu_joules_total", "counter", "Energy consumption of cpu at vm level in joules", joules)
    yield go_family("kepler_vm_cpu_watts", "gauge", "Power consumption of cpu at vm level in watts", power)


def _gpu_families(node: Node, at: float) -> Iterator[Family]:
    """The same devices as dcgm-exporter prints: whoever adds both counts them twice."""
    devices = [
        (
            device,
            {
                "gpu": str(device.index),
                "gpu_name": device.model,
                "gpu_uuid": device.uuid,
                "node_name": node.name,
                "vendor": "nvidia",
            },
        )
        for device in node.own("nvidia")
    ]
    yield go_family(
        "kepler_node_gpu_watts",
        "gauge",
        "Total GPU power consumption in watts",
        [(labels, watts(device.power.at(at))) for device, labels in devices],
    )
    yield go_family(
        "kepler_node_gpu_joules_total",
        "counter",
        "Total GPU energy consumption in joules",
        [(labels, device.power.integral(at) / 1000) for device, labels in devices],
    )
    yield go_family(
        "kepler_node_gpu_idle_watts",
        "gauge",
        "GPU idle power in watts",
        [(labels, watts(_idle(device.power.at(at), device.load.at(at)))) for device, labels in devices],
    )


def _idle(milliwatts: int, busy: int) -> int:
    return milliwatts if not busy else milliwatts * (FULL_LOAD - busy * 9 // 10) // FULL_LOAD
