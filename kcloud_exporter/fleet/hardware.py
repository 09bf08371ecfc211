"""Parts that worlds are built from: pods, accelerators, servers. Everything is drawn from the name and seed.

Each thing has its own random stream, so that adding a node changes no other node.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kcloud_exporter.fleet.signals import FULL_LOAD, Clock, Ints, Profile, Signal, constant, load, scaled, total
from kcloud_exporter.fleet.world import (
    PDU_WATTS,
    Accelerator,
    CpuMeter,
    DcgmLayout,
    Kind,
    Maker,
    Node,
    Part,
    Pod,
    Sharing,
    Site,
    Vm,
)


@dataclass(frozen=True, slots=True)
class Model:
    """What a kind of accelerator draws (W) and holds (MiB), and into how many parts it can be cut."""

    name: str
    kind: Kind
    vendor: Maker
    idle_watts: int
    full_watts: int
    memory_mib: int
    cores: int = 1


H100 = Model("NVIDIA H100 80GB HBM3", "gpu", "nvidia", 71, 700, 81559)
A100 = Model("NVIDIA A100-SXM4-40GB", "gpu", "nvidia", 48, 400, 40960)
L40S = Model("NVIDIA L40S", "gpu", "nvidia", 34, 350, 46068)
V100 = Model("Tesla V100-SXM2-32GB", "gpu", "nvidia", 42, 300, 32768)
RNGD = Model("rngd", "npu", "furiosa", 38, 180, 49152, cores=8)
ATOM = Model("RBLN-CA25", "npu", "rebellions", 31, 150, 16096)

MIG_SLICES = 7


@dataclass(frozen=True, slots=True)
class Draft:
    """Where things are drawn: the seed, the clock, and the second octet of the fleet's addresses."""

    seed: int
    clock: Clock
    octet: int = 0

    def rng(self, name: str) -> np.random.Generator:
        """The random stream of one thing."""
        return np.random.default_rng([self.seed, int.from_bytes(_digest(name)[:8])])

    def uuid(self, name: str) -> str:
        """A UUID that only depends on the seed and the name."""
        return str(uuid.UUID(bytes=_digest(f"{self.seed}/{name}")[:16], version=4))

    def address(self, number: int, what: Literal["server", "vm", "bmc"] = "server") -> str:
        """The loopback address of the fleet's n-th server, VM or BMC."""
        high, low = divmod(number, 250)
        return f"127.{self.octet}.{high + {'server': 1, 'vm': 96, 'bmc': 128}[what]}.{low + 1}"


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def short_id(name: str) -> str:
    """Five characters such as a ReplicaSet gives its pods."""
    alphabet = "bcdfghjklmnpqrstvwxz2456789"
    return "".join(alphabet[byte % len(alphabet)] for byte in _digest(name)[:5])


def pod(
    draft: Draft,
    cluster: str,
    name: str,
    namespace: str,
    *,
    container: str = "main",
    cpu_watts: int = 20,
    profile: Profile = "service",
    tokens: int = 0,
    model: str = "",
) -> Pod:
    """A pod that causes about `cpu_watts` of package power when it is fully busy, and a fifth of it in dram.

    A model server generates up to `tokens` per second.
    """
    key = f"{cluster}/{namespace}/{name}"
    rng = draft.rng(key)
    busy = load(draft.clock, rng, profile)
    cpu = scaled(busy, 300, cpu_watts * 1000, rng, jitter=50)
    memory = scaled(busy, 90, cpu_watts * 200, rng, jitter=20)
    made = busy.part(tokens, FULL_LOAD) if tokens else None
    return Pod(namespace, name, container, draft.uuid(key), cpu, memory, made, model)


def vm(
    draft: Draft,
    cluster: str,
    number: int,
    name: str,
    project: str,
    *,
    cpus: int,
    cpu_watts: int,
    exporters: tuple[str, ...] = (),
    accelerators: tuple[Accelerator, ...] = (),
    pods: tuple[Pod, ...] = (),
) -> Vm:
    """A VM that keeps up to `cpus` CPUs busy, and causes about `cpu_watts` of package power when it does.

    `accelerators` were handed to it, and `exporters` show them from inside. With `pods` it is a node of Kubernetes.
    """
    key = f"{cluster}/vm/{project}/{name}"
    rng = draft.rng(key)
    busy = load(draft.clock, rng, "service")
    uuid, address = draft.uuid(key), draft.address(number, "vm")
    return Vm(
        uuid=uuid,
        domain=f"instance-{number:08x}",
        name=name,
        project=project,
        project_id=draft.uuid(f"project/{project}").replace("-", ""),
        cpu=scaled(busy, 300, cpu_watts * 1000, rng, jitter=50),
        memory=scaled(busy, 90, cpu_watts * 200, rng, jitter=20),
        busy=busy.part(cpus * 1000, FULL_LOAD),
        address=address,
        inside=_inside(draft.clock, name, uuid, address, exporters, accelerators, pods) if exporters else None,
    )


def _inside(
    clock: Clock,
    name: str,
    system_uuid: str,
    address: str,
    exporters: tuple[str, ...],
    accelerators: tuple[Accelerator, ...],
    pods: tuple[Pod, ...],
) -> Node:
    """What a VM shows from inside: no BMC, no RAPL, but the devices that were handed to it."""
    nothing = constant(clock, 0)
    return Node(
        name=name,
        address=address,
        bmc_address="",
        system_uuid=system_uuid,
        exporters=exporters,
        cpu_meter="rapl",
        pods=pods,
        accelerators=accelerators,
        cpu_idle=nothing,
        memory_idle=nothing,
        cpu_system=nothing,
        memory_system=nothing,
        wall=None,
        kubernetes=bool(pods),
    )


def accelerator(
    draft: Draft,
    cluster: str,
    node: str,
    index: int,
    model: Model,
    parts: Iterable[Part] = (),
    *,
    sharing: Sharing = "whole",
    profile: Profile = "training",
    of_vm: bool = False,
    excess_celsius: int = 0,
    healthy: bool = True,
) -> Accelerator:
    """One device. Without parts it is idle unless a VM has it; with `profile="idle"` it is held and does no work."""
    taken = tuple(parts)
    key = f"{cluster}/{node}/{model.vendor}/{index}"
    rng = draft.rng(key)
    busy = load(draft.clock, rng, profile if of_vm or any(part.pod for part in taken) else "idle")
    whole = {"whole": 1, "mig": MIG_SLICES, "time_sliced": len(taken), "cores": model.cores}[sharing]
    used = model.memory_mib * 7 // 10 if taken or of_vm else model.memory_mib // 100
    return Accelerator(
        uuid=_device_uuid(model.vendor, draft.uuid(key), index),
        index=index,
        kind=model.kind,
        vendor=model.vendor,
        model=model.name,
        full_watts=model.full_watts,
        memory_mib=model.memory_mib,
        sharing=sharing,
        whole=whole,
        parts=taken or (Part(whole),),
        power=scaled(busy, model.idle_watts * 1000, model.full_watts * 970, rng, jitter=800),
        load=busy,
        memory_used=scaled(busy, used, used + model.memory_mib // 10 if taken or of_vm else used, rng),
        excess_celsius=excess_celsius,
        healthy=healthy,
    )


def _device_uuid(vendor: Maker, text: str, index: int) -> str:
    """What the maker's exporter tells a device by: a UUID, a serial number, an id of the die, a host and a number."""
    digits = str(int(text.replace("-", ""), 16))
    match vendor:
        case "nvidia":
            return f"GPU-{text}"
        case "furiosa":
            return text.upper()
        case "amd":
            return digits[:12]
        case "intel":
            return f"01P0-HL2080A0-15-{text[:6].upper()}-16-05-{index:02d}"
        case "huawei":
            return "-".join(text.replace("-", "").upper()[at : at + 8] for at in range(0, 32, 8))
        case "google":
            return f"{digits[:19]}-{index + 4}"
        case _:
            return text


def held_by(*pods: Pod) -> tuple[Part, ...]:
    """Equal parts, one for each pod."""
    return tuple(Part(1, pod, id=str(number)) for number, pod in enumerate(pods))


def node(
    draft: Draft,
    cluster: str,
    name: str,
    number: int,
    *,
    exporters: tuple[str, ...],
    cpu_meter: CpuMeter,
    pods: tuple[Pod, ...],
    accelerators: tuple[Accelerator, ...] = (),
    whole_server_meter: bool = True,
    dcgm_layout: DcgmLayout = "4.x",
    new_rebellions_names: bool = False,
    kepler_gpu: bool = False,
    psys: bool = False,
    vms: tuple[Vm, ...] = (),
    kubernetes: bool = True,
) -> Node:
    """One server. Fans, disks and power supply losses are what the wall reads above its components."""
    key = f"{cluster}/{name}"
    rng = draft.rng(key)
    clock = draft.clock
    busy = load(clock, rng, "service")
    cpu_idle = scaled(busy, 84_000, 90_000, rng, jitter=400)
    memory_idle = scaled(busy, 17_000, 18_500, rng, jitter=100)
    cpu_system = scaled(busy, 4_000, 19_000, rng, jitter=200)
    memory_system = scaled(busy, 900, 3_600, rng, jitter=60)
    components = total(
        clock,
        cpu_idle, memory_idle, cpu_system, memory_system,
        *(p.cpu for p in pods), *(p.memory for p in pods), *(a.power for a in accelerators),
        *(v.cpu for v in vms), *(v.memory for v in vms),
        *(a.power for v in vms if v.inside for a in v.inside.accelerators),
    )  # fmt: skip
    fans = rng.integers(60_000, 90_000)
    losses = components.levels * 6 // 100
    wall = Signal(clock, _ceil(components.levels + fans + losses, 1000))
    return Node(
        name=name,
        address=draft.address(number),
        bmc_address=draft.address(number, "bmc"),
        system_uuid=draft.uuid(f"{key}/system"),
        exporters=exporters,
        cpu_meter=cpu_meter,
        pods=pods,
        accelerators=accelerators,
        cpu_idle=cpu_idle,
        memory_idle=memory_idle,
        cpu_system=cpu_system,
        memory_system=memory_system,
        wall=wall if whole_server_meter else None,
        dcgm_layout=dcgm_layout,
        rebellions_names="new" if new_rebellions_names else "legacy",
        kepler_gpu=kepler_gpu,
        psys=psys,
        vms=vms,
        kubernetes=kubernetes,
    )


def _ceil(levels: Ints, unit: int) -> Ints:
    return -(-levels // unit) * unit


def site(draft: Draft, name: str, cluster: str, number: int, nodes: Iterable[Node]) -> Site:
    """A site whose PDU feeds those nodes and their cooling: between 1.15 and 1.35 times their power."""
    rng = draft.rng(f"site/{name}")
    it_power = total(draft.clock, *(each.it_power for each in nodes))
    weather = load(draft.clock, rng, "service").levels  # 0.01 to 1 of full load
    facility = it_power.levels * (11_500 + weather // 5) // 10_000
    return Site(
        name=name,
        pdu_name=f"pdu-{name}",
        pdu_address=draft.address(number),
        pdu_cluster=cluster,
        facility=Signal(draft.clock, np.rint(facility / (PDU_WATTS * 1000)).astype(np.int64)),
    )
