"""What a simulated fleet is asked to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """The same spec gives the same world.

    `size="demo"` is three clusters on two sites; `size="large"`, or any `nodes_per_cluster`, is one cluster of GPU
    nodes only; `size="mixed"` is one cluster with a server of every maker and two hypervisors, two meters each. There
    `ailing` makes one device of every maker hot, one idle though it is held, and one broken. Values change every
    `step_seconds`, or never with `frozen`. `start` (Unix seconds) is where the energy counters are zero; None is the
    moment the fleet starts to serve.
    """

    seed: int = 7
    size: Literal["demo", "large", "mixed"] = "demo"
    frozen: bool = False
    ailing: bool = False
    step_seconds: float = 5.0
    nodes_per_cluster: int | None = None
    gpus_per_node: int = 8
    start: float | None = None

    def __post_init__(self) -> None:
        if self.step_seconds <= 0:
            raise ValueError(f"step_seconds: {self.step_seconds} is not positive")
        if self.nodes_per_cluster is not None and self.nodes_per_cluster < 1:
            raise ValueError(f"nodes_per_cluster: {self.nodes_per_cluster} is less than 1")
        if self.ailing and self.size != "mixed":
            raise ValueError(f"ailing: there are no ailing devices in the world {self.size!r}, only in 'mixed'")
        if self.gpus_per_node < 1:
            raise ValueError(f"gpus_per_node: {self.gpus_per_node} is less than 1")
