"""Paths of the API with their parts filled in with what the simulated fleet has."""

from __future__ import annotations

import re

from kcloud_exporter.api.routes import Route
from tests.api.program import Program


async def names(program: Program) -> dict[str, str]:
    """What stands for each part of a path."""
    gpu = (await program.get("/accelerators/gpus?limit=1")).data[0]
    npu = (await program.get("/accelerators/npus?limit=1")).data[0]
    pod = (await program.get("/infrastructure/pods?cluster=seoul-a&namespace=ml-team&limit=1")).data[0]
    container = (await program.get("/infrastructure/containers?limit=1")).data[0]
    return {
        "gpu_id": gpu["uuid"],
        "npu_id": npu["uuid"],
        "node_name": "gpu-2",
        "namespace": pod["namespace"],
        "pod_name": pod["pod"],
        "container_id": "/".join(container[part] for part in ("namespace", "pod", "container")),
        "vm_id": "vm-1",
        "cluster_name": "seoul-a",
    }


def fill(path: str, parts: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: parts[match[1]], path)


def question(route: Route, parts: dict[str, str]) -> str:
    """The path of a route with what it must be given."""
    needed = [p.name for p in route.parameters if p.required and not p.path]
    query = "&".join(f"{name}={'power_watts' if name == 'metric_name' else '1'}" for name in needed)
    return fill(route.path, parts) + (f"?{query}" if query else "")
