"""GKE tpu-device-plugin pages: names as general as `memory_used`, each chip once with its container and once without.

There is no power: nobody measures a TPU's. The runtime's families exist only while something runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from kcloud_exporter.fleet.exposition import Family, go_family, page
from kcloud_exporter.fleet.signals import FULL_LOAD
from kcloud_exporter.fleet.world import Accelerator, Pod, World

_MIB = 1024 * 1024


def render_google_tpu(world: World, cluster: str, node: str, at: float) -> str:
    """The page of the TPU device plugin on one node at one time (Unix seconds)."""
    return page(list(_families(world.node(cluster, node).own("google"), at)), ordered=True)


def _families(chips: tuple[Accelerator, ...], at: float) -> Iterator[Family]:
    for name, text, value in (
        ("duty_cycle", "Percent of time when the TPU was actively processing", _busy),
        ("memory_total", "Total memory available on the TPU in bytes", lambda chip, _: float(chip.memory_mib * _MIB)),
        ("memory_used", "Allocated TPU memory in bytes", lambda chip, at: float(chip.memory_used.at(at) * _MIB)),
    ):
        held = [(chip, chip.parts[0].pod, value(chip, at)) for chip in chips]
        yield go_family(name, "gauge", text, [({**_labels(c), **_holder(pod)}, v) for c, pod, v in held if pod])
        yield go_family(f"{name}_node", "gauge", text, [(_labels(c), v) for c, pod, v in held if pod])
    hosts = [({**_labels(chip), "accelerator_id": _host_id(chip)}, _busy(chip, at)) for chip in chips]
    text = "Tensorcore percent utilization of the TPU device per node"
    yield go_family("tensorcore_utilization_node", "gauge", text, hosts)


def _busy(chip: Accelerator, at: float) -> float:
    return chip.load.at(at) * 100 / FULL_LOAD


def _labels(chip: Accelerator) -> dict[str, str]:
    return {"accelerator_id": chip.uuid, "make": "cloud-tpu", "model": chip.model, "tpu_topology": "2x2x1"}


def _host_id(chip: Accelerator) -> str:
    """The host counts its chips from 0, the runtime from 4."""
    return f"{chip.uuid.rpartition('-')[0]}-{chip.index}"


def _holder(pod: Pod) -> dict[str, str]:
    return {"container": pod.container, "namespace": pod.namespace, "pod": pod.name}
