"""Kepler <= 0.9 pages: joules only, idle and dynamic apart, the node name in the label `instance`.

Containers carry no node label. Their idle rows are an equal split of the node's idle energy, which nobody
caused: adding them to the dynamic rows hands idle power to whoever runs the most containers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kcloud_exporter.fleet.exposition import Family, go_family, page
from kcloud_exporter.fleet.goruntime import process_families
from kcloud_exporter.fleet.kepler import zones
from kcloud_exporter.fleet.signals import Signal
from kcloud_exporter.fleet.world import Node, World

_RAPL: Final = "rapl-sysfs"
_SOCKETS: Final = 2


def render_kepler_legacy(world: World, cluster: str, node: str, at: float) -> str:
    """The page of an old Kepler on one node at one time (Unix seconds)."""
    server = world.node(cluster, node)
    families = [
        *_node_families(server, at),
        *_container_families(server, at),
        *process_families("go1.23.9", world.clock.start),
    ]
    return page(families, ordered=True)


def _node_families(node: Node, at: float) -> Iterator[Family]:
    dynamic = zones(node.cpu_active, node.memory_active)
    idle = zones(node.cpu_idle, node.memory_idle)
    for zone in dynamic:
        rows = []
        for mode, signal in (("dynamic", dynamic[zone]), ("idle", idle[zone])):
            for socket, joules in enumerate(_by_socket(signal, at)):
                labels = {"instance": node.name, "mode": mode, "package": str(socket), "source": _RAPL}
                rows.append((labels, joules))
        yield _family(f"kepler_node_{zone}", zone, _RAPL, rows)
    if node.wall:
        floor = int(node.wall.levels.min()) * 9 // 10
        resting = Signal(node.clock, node.wall.levels * 0 + floor)
        yield _family(
            "kepler_node_platform",
            "platform",
            "acpi",
            [
                ({"instance": node.name, "mode": mode, "package": "energy1", "source": "acpi"}, joules)
                for mode, joules in (
                    ("dynamic", (node.wall - resting).integral(at) / 1000),
                    ("idle", resting.integral(at) / 1000),
                )
            ],
        )
    info = {
        "components_power_source": _RAPL,
        "cpu_architecture": "Sapphire Rapids",
        "platform_power_source": "acpi",
        "source": "os",
    }
    yield go_family("kepler_node_info", "counter", "Aggregated value in  value from os", [(info, 1)])
    build = {"arch": "amd64", "branch": "release-0.9", "os": "linux", "revision": "1f2d9ab", "version": "v0.9.0"}
    yield go_family(
        "kepler_exporter_build_info",
        "gauge",
        "A metric with a constant '1' value labeled by version information",
        [(build, 1)],
    )


def _container_families(node: Node, at: float) -> Iterator[Family]:
    running = [
        (
            {
                "container_id": pod.uid.replace("-", "") * 2,
                "container_name": pod.container,
                "container_namespace": pod.namespace,
                "pod_name": pod.name,
            },
            zones(pod.cpu, pod.memory),
        )
        for pod in node.pods
    ]
    kernel = zones(node.cpu_system.part(1, 5), node.memory_system.part(1, 5))
    system = zones(node.cpu_system - kernel["package"], node.memory_system - kernel["dram"])
    running += [(_pseudo_pod("system"), system), (_pseudo_pod("kernel"), kernel)]
    shared = {zone: s.part(1, len(running)) for zone, s in zones(node.cpu_idle, node.memory_idle).items()}
    for zone in shared:
        rows = []
        for labels, dynamic in running:
            for mode, signal in (("dynamic", dynamic[zone]), ("idle", shared[zone])):
                rows.append(({**labels, "mode": mode, "source": _RAPL}, signal.integral(at) / 1000))
        yield _family(f"kepler_container_{zone}", zone, _RAPL, rows)
    totals = [
        ({**labels, "mode": mode, "source": ""}, (by_zone["package"] + by_zone["dram"]).integral(at) / 1000)
        for labels, dynamic in running
        for mode, by_zone in (("dynamic", dynamic), ("idle", shared))
    ]
    yield go_family(
        "kepler_container_joules_total",
        "counter",
        "Aggregated RAPL Package + Uncore + DRAM + GPU + other host components (platform - package - dram - gpu)",
        totals,
    )


def _pseudo_pod(kind: str) -> dict[str, str]:
    name = f"{kind}_processes"
    return {"container_id": name, "container_name": name, "container_namespace": kind, "pod_name": name}


def _by_socket(signal: Signal, at: float) -> tuple[float, float]:
    first = signal.part(1, _SOCKETS)
    return first.integral(at) / 1000, (signal - first).integral(at) / 1000


def _family(name: str, component: str, source: str, rows: list[tuple[dict[str, str], float]]) -> Family:
    return go_family(f"{name}_joules_total", "counter", f"Aggregated value in {component} value from {source}", rows)
