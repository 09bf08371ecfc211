"""The mixed world: one cluster with a server of every maker, and two hypervisors; two whole-server meters each.

It is what a site looks like that buys from everybody: devices of seven makers, pods and VMs, one family set, every
watt once.
"""

from __future__ import annotations

from itertools import count

from kcloud_exporter.fleet.hardware import (
    ATOM,
    H100,
    RNGD,
    Draft,
    Model,
    accelerator,
    held_by,
    node,
    pod,
    site,
    vm,
)
from kcloud_exporter.fleet.world import Cluster, Node, Part, Sharing, World

MI300X = Model("102-G30211-0C", "gpu", "amd", 140, 750, 196592, cores=4)
GAUDI2 = Model("", "npu", "intel", 92, 600, 98304)
ASCEND_910B = Model("910B4-Ascend-V1", "npu", "huawei", 91, 400, 32768)
TPU_V6E = Model("tpu-v6e-slice", "tpu", "google", 60, 300, 32768)

_AT = "mixed-a"
_METERS = ("ipmi", "idrac")
_FEVER = 45
_MAKERS: tuple[tuple[str, Model, tuple[str, ...]], ...] = (
    ("nvidia-1", H100, ("dcgm",)),
    ("amd-1", MI300X, ("amd",)),
    ("gaudi-1", GAUDI2, ("gaudi",)),
    ("ascend-1", ASCEND_910B, ("ascend",)),
    ("furiosa-1", RNGD, ("furiosa",)),
    ("rebellions-1", ATOM, ("rebellions",)),
    ("tpu-1", TPU_V6E, ("google_tpu",)),
)


def build_mixed(draft: Draft, *, ailing: bool = False) -> World:
    """The world: of each server's three devices one is one pod's, one is cut where it can be, and one is free.

    `ailing`: the first is hot, the second does no work, and the third is broken.
    """
    numbers = count()
    nodes = (
        *(
            _server(draft, name, model, exporters, next(numbers), first=at == 0, ailing=ailing)
            for at, (name, model, exporters) in enumerate(_MAKERS)
        ),
        _by_cpu_time(draft, next(numbers)),
        _by_kepler(draft, next(numbers)),
    )
    cluster = Cluster(_AT, "icn1", nodes, nodes[0].name)
    return World(draft.clock, (cluster,), (site(draft, "icn1", _AT, next(numbers), nodes),))


def _server(
    draft: Draft, name: str, model: Model, exporters: tuple[str, ...], number: int, *, first: bool, ailing: bool
) -> Node:
    maker = name.partition("-")[0]
    train = pod(draft, _AT, f"{maker}-train-0", "ml-team", container="trainer", cpu_watts=30, profile="training")
    serve = pod(
        draft, _AT, f"{maker}-serve-0", "serving", container="llm", cpu_watts=18,
        tokens=1200 if first else 0, model="meta-llama/Llama-3.1-8B-Instruct",
    )  # fmt: skip
    cut: Sharing = "cores" if model.cores > 1 else "whole"
    half = model.cores // 2
    parts = (Part(half, serve, f"0-{half - 1}"),) if cut == "cores" else held_by(serve)
    return node(
        draft, _AT, name, number,
        exporters=(*exporters, "kepler", *_METERS, *(("kube_state_metrics",) if first else ())),
        cpu_meter="kepler", pods=(train, serve), kepler_gpu=name == "nvidia-1",
        accelerators=(
            accelerator(draft, _AT, name, 0, model, held_by(train), excess_celsius=_FEVER if ailing else 0),
            accelerator(draft, _AT, name, 1, model, parts, sharing=cut, profile="idle" if ailing else "inference"),
            accelerator(draft, _AT, name, 2, model, healthy=not ailing),
        ),
    )  # fmt: skip


def _by_cpu_time(draft: Draft, number: int) -> Node:
    """A hypervisor that Kubernetes does not know; its VMs are told by libvirt's exporter, named by OpenStack's.

    Two of them have a device for themselves. The third is a node of Kubernetes: its pod counts, and it does not.
    """
    name = "hyp-1"
    batch = pod(draft, _AT, "guest-train-0", "ml-team", container="trainer", profile="training")
    gpu, npu, worker = (
        accelerator(draft, _AT, name, index, model, held, profile="inference", of_vm=True)
        for index, model, held in ((0, H100, ()), (1, RNGD, ()), (2, H100, held_by(batch)))
    )
    return node(
        draft, _AT, name, number,
        exporters=("libvirt", "node_exporter", "openstack", *_METERS), cpu_meter="rapl", pods=(), kubernetes=False,
        vms=(
            vm(draft, _AT, 1, "web-1", "shop", cpus=4, cpu_watts=20),
            vm(draft, _AT, 2, "render-1", "media", cpus=6, cpu_watts=30, exporters=("dcgm",), accelerators=(gpu,)),
            vm(draft, _AT, 3, "chat-1", "media", cpus=4, cpu_watts=20, exporters=("furiosa",), accelerators=(npu,)),
            vm(
                draft, _AT, 4, "worker-1", "platform", cpus=8, cpu_watts=40,
                exporters=("dcgm",), accelerators=(worker,), pods=(batch,),
            ),
        ),
    )  # fmt: skip


def _by_kepler(draft: Draft, number: int) -> Node:
    """A hypervisor of the same kind on which Kepler tells what its VMs draw."""
    name = "hyp-2"
    batch = pod(draft, _AT, "guest-batch-0", "serving", container="llm")
    npu, worker, nameless = (
        accelerator(draft, _AT, name, index, model, held, profile="inference", of_vm=True)
        for index, model, held in ((0, ATOM, ()), (1, ATOM, held_by(batch)), (2, GAUDI2, ()))
    )
    return node(
        draft, _AT, name, number,
        exporters=("kepler", *_METERS), cpu_meter="kepler", pods=(), kubernetes=False,
        vms=(
            vm(draft, _AT, 5, "ledger-db", "finance", cpus=8, cpu_watts=45),
            vm(draft, _AT, 6, "rank-1", "shop", cpus=4, cpu_watts=22, exporters=("rebellions",), accelerators=(npu,)),
            # Its exporter names no host, so that a label of the target says which VM it is.
            vm(draft, _AT, 8, "tune-1", "media", cpus=4, cpu_watts=25, exporters=("gaudi",), accelerators=(nameless,)),
            vm(
                draft, _AT, 7, "worker-2", "platform", cpus=6, cpu_watts=35,
                exporters=("rebellions",), accelerators=(worker,), pods=(batch,),
            ),
        ),
    )  # fmt: skip
