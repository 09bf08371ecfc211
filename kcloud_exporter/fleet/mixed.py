"""The mixed world: one cluster with a server of every maker, each with two whole-server meters.

It is what a site looks like that buys from everybody: devices of seven makers, one family set, every watt once.
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
)
from kcloud_exporter.fleet.world import Cluster, Node, Part, Sharing, World

MI300X = Model("102-G30211-0C", "gpu", "amd", 140, 750, 196592, cores=4)
GAUDI2 = Model("", "npu", "intel", 92, 600, 98304)
ASCEND_910B = Model("910B4-Ascend-V1", "npu", "huawei", 91, 400, 32768)
TPU_V6E = Model("tpu-v6e-slice", "tpu", "google", 60, 300, 32768)

_AT = "mixed-a"
_METERS = ("ipmi", "idrac")
_MAKERS: tuple[tuple[str, Model, tuple[str, ...]], ...] = (
    ("nvidia-1", H100, ("dcgm",)),
    ("amd-1", MI300X, ("amd",)),
    ("gaudi-1", GAUDI2, ("gaudi",)),
    ("ascend-1", ASCEND_910B, ("ascend",)),
    ("furiosa-1", RNGD, ("furiosa",)),
    ("rebellions-1", ATOM, ("rebellions",)),
    ("tpu-1", TPU_V6E, ("google_tpu",)),
)


def build_mixed(draft: Draft) -> World:
    """The world: of each server's three devices one is one pod's, one is cut where it can be, and one is free."""
    numbers = count()
    nodes = tuple(
        _server(draft, name, model, exporters, next(numbers), first=at == 0)
        for at, (name, model, exporters) in enumerate(_MAKERS)
    )
    cluster = Cluster(_AT, "icn1", nodes, nodes[0].name)
    return World(draft.clock, (cluster,), (site(draft, "icn1", _AT, next(numbers), nodes),))


def _server(draft: Draft, name: str, model: Model, exporters: tuple[str, ...], number: int, *, first: bool) -> Node:
    maker = name.partition("-")[0]
    train = pod(draft, _AT, f"{maker}-train-0", "ml-team", container="trainer", cpu_watts=30, profile="training")
    serve = pod(draft, _AT, f"{maker}-serve-0", "serving", container="llm", cpu_watts=18)
    cut: Sharing = "cores" if model.cores > 1 else "whole"
    half = model.cores // 2
    parts = (Part(half, serve, f"0-{half - 1}"),) if cut == "cores" else held_by(serve)
    return node(
        draft, _AT, name, number,
        exporters=(*exporters, "kepler", *_METERS, *(("kube_state_metrics",) if first else ())),
        cpu_meter="kepler", pods=(train, serve),
        accelerators=(
            accelerator(draft, _AT, name, 0, model, held_by(train)),
            accelerator(draft, _AT, name, 1, model, parts, sharing=cut, profile="inference"),
            accelerator(draft, _AT, name, 2, model),
        ),
    )  # fmt: skip
