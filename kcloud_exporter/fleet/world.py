"""The simulated world: who owns which hardware, and what it draws. Frozen; time comes in as an argument.

Powers are signals in milliwatts. Nothing here knows how an exporter prints it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from kcloud_exporter.fleet.signals import Clock, Signal, highest, total

Kind: TypeAlias = Literal["gpu", "npu", "tpu"]
Maker: TypeAlias = Literal["nvidia", "amd", "intel", "huawei", "google", "furiosa", "rebellions"]
Sharing: TypeAlias = Literal["whole", "mig", "time_sliced", "cores"]
CpuMeter: TypeAlias = Literal["kepler", "kepler_legacy", "rapl"]
DcgmLayout: TypeAlias = Literal["4.x", "hostname", "3.3.5", "1.x"]

CPUS: Final = 32
"""Of every server that runs VMs."""
PDU_WATTS: Final = 10  # a rack PDU counts hundredths of a kilowatt


@dataclass(frozen=True, slots=True, eq=False)
class Pod:
    """One running pod; `cpu` and `memory` are the active package and dram power it causes (mW).

    `tokens` are those that it generates per second, for a model server; `model` is what it serves.
    """

    namespace: str
    name: str
    container: str
    uid: str
    cpu: Signal
    memory: Signal
    tokens: Signal | None = None
    model: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A part of an accelerator that is handed out: `weight` of the accelerator's `whole`."""

    weight: int
    pod: Pod | None = None
    profile: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Accelerator:
    """One physical device. `parts` need not add up to `whole`: what is missing was never handed out.

    `excess_celsius` is what it is hotter than its load explains.
    """

    uuid: str
    index: int
    kind: Kind
    vendor: Maker
    model: str
    full_watts: int
    memory_mib: int
    sharing: Sharing
    whole: int
    parts: tuple[Part, ...]
    power: Signal
    load: Signal
    memory_used: Signal
    excess_celsius: int = 0
    healthy: bool = True

    @property
    def metered(self) -> bool:
        """Whether anybody measures its power: a TPU's is only seen at the wall."""
        return self.vendor != "google"

    @property
    def held(self) -> tuple[Part, ...]:
        """The parts that belong to a pod."""
        return tuple(part for part in self.parts if part.pod)


@dataclass(frozen=True, slots=True, eq=False)
class Vm:
    """One VM of a hypervisor. `cpu` and `memory` are the active power it causes (mW), `busy` thousandths of a CPU.

    `inside` is what its own operating system shows: the devices that were handed to it, and the pods if it is a node
    of Kubernetes.
    """

    uuid: str
    domain: str
    name: str
    project: str
    project_id: str
    cpu: Signal
    memory: Signal
    busy: Signal
    address: str
    inside: Node | None = None

    @property
    def is_node(self) -> bool:
        """Whether Kubernetes knows it as a node: then its pods count, and it does not."""
        return self.inside is not None and self.inside.kubernetes


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One server, or the inside of a VM. `cpu` and `memory` are RAPL package and dram; `wall` is whole watts (in mW),
    or nothing.
    """

    name: str
    address: str
    bmc_address: str
    system_uuid: str
    exporters: tuple[str, ...]
    cpu_meter: CpuMeter
    pods: tuple[Pod, ...]
    accelerators: tuple[Accelerator, ...]
    cpu_idle: Signal
    memory_idle: Signal
    cpu_system: Signal
    memory_system: Signal
    wall: Signal | None
    dcgm_layout: DcgmLayout = "4.x"
    rebellions_names: Literal["legacy", "new"] = "legacy"
    kepler_gpu: bool = False
    psys: bool = False
    vms: tuple[Vm, ...] = ()
    kubernetes: bool = True

    @property
    def clock(self) -> Clock:
        """The clock that all signals of this node share."""
        return self.cpu_idle.clock

    @property
    def cpu_active(self) -> Signal:
        """Package power caused by running processes: pods, VMs and the system's own."""
        return total(self.clock, self.cpu_system, *(pod.cpu for pod in self.pods), *(vm.cpu for vm in self.vms))

    @property
    def memory_active(self) -> Signal:
        """Dram power caused by running processes: pods, VMs and the system's own."""
        return total(
            self.clock, self.memory_system, *(pod.memory for pod in self.pods), *(vm.memory for vm in self.vms)
        )

    @property
    def cpu(self) -> Signal:
        """RAPL package, all sockets."""
        return self.cpu_idle + self.cpu_active

    @property
    def memory(self) -> Signal:
        """RAPL dram, all sockets."""
        return self.memory_idle + self.memory_active

    @property
    def measured(self) -> Signal:
        """The sum of what component meters see."""
        return total(self.clock, self.cpu, self.memory, *(device.power for device in self.metered))

    @property
    def it_power(self) -> Signal:
        """What this server counts as IT load: the wall, or what is measured when nobody measures the wall."""
        return highest(self.wall, self.measured) if self.wall else self.measured

    @property
    def servers(self) -> tuple[Pod, ...]:
        """The pods that serve a model and print how many tokens they have made."""
        return tuple(pod for pod in self.pods if pod.tokens)

    @property
    def guests(self) -> tuple[Node, ...]:
        """The insides of its VMs, where there is something to see."""
        return tuple(vm.inside for vm in self.vms if vm.inside)

    @property
    def devices(self) -> tuple[Accelerator, ...]:
        """All devices in this server, those that were handed to its VMs among them."""
        return (*self.accelerators, *(device for guest in self.guests for device in guest.accelerators))

    @property
    def metered(self) -> tuple[Accelerator, ...]:
        """The devices whose power their exporter tells."""
        return tuple(device for device in self.devices if device.metered)

    def own(self, vendor: Maker) -> tuple[Accelerator, ...]:
        """The devices of one maker."""
        return tuple(device for device in self.accelerators if device.vendor == vendor)


@dataclass(frozen=True, slots=True, eq=False)
class Cluster:
    """One Kubernetes cluster. `state_node` runs kube-state-metrics."""

    name: str
    site: str
    nodes: tuple[Node, ...]
    state_node: str

    @property
    def kubernetes_nodes(self) -> tuple[Node, ...]:
        """The servers and the VMs that Kubernetes knows."""
        return tuple(node for server in self.nodes for node in (server, *server.guests) if node.kubernetes)

    @property
    def aliases(self) -> dict[str, str]:
        """Address → node, for what Kubernetes cannot tell: BMCs, and hypervisors that are no nodes of it."""
        bmcs = {node.bmc_address: node.name for node in self.nodes}
        return bmcs | {node.address: node.name for node in self.nodes if not node.kubernetes}


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """One place with one rack PDU, scraped by one of its clusters. `facility` counts hundredths of a kW."""

    name: str
    pdu_name: str
    pdu_address: str
    pdu_cluster: str
    facility: Signal


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Everything, at all times."""

    clock: Clock
    clusters: tuple[Cluster, ...]
    sites: tuple[Site, ...]

    def cluster(self, name: str) -> Cluster:
        """The cluster of that name. Raises KeyError."""
        for cluster in self.clusters:
            if cluster.name == name:
                return cluster
        raise KeyError(name)

    def node(self, cluster: str, name: str) -> Node:
        """The server, or the inside of a VM, of that name in that cluster. Raises KeyError."""
        for server in self.cluster(cluster).nodes:
            for node in (server, *server.guests):
                if node.name == name:
                    return node
        raise KeyError(f"{cluster}/{name}")

    def server(self, cluster: str, pod: str) -> Pod:
        """The model server of that name in that cluster. Raises KeyError."""
        for node in self.cluster(cluster).nodes:
            for each in node.servers:
                if each.name == pod:
                    return each
        raise KeyError(f"{cluster}/{pod}")

    def site(self, pdu_name: str) -> Site:
        """The site whose PDU has that name. Raises KeyError."""
        for site in self.sites:
            if site.pdu_name == pdu_name:
                return site
        raise KeyError(pdu_name)
