"""Every simulated exporter by its name, so that a page can be had with or without HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final, TypeAlias

from kcloud_exporter.fleet.amd import render_amd
from kcloud_exporter.fleet.ascend import render_ascend
from kcloud_exporter.fleet.dcgm import render_dcgm
from kcloud_exporter.fleet.furiosa import render_furiosa
from kcloud_exporter.fleet.gaudi import render_gaudi
from kcloud_exporter.fleet.google_tpu import render_google_tpu
from kcloud_exporter.fleet.idrac import render_idrac
from kcloud_exporter.fleet.ipmi import render_ipmi
from kcloud_exporter.fleet.kepler import render_kepler
from kcloud_exporter.fleet.kepler_legacy import render_kepler_legacy
from kcloud_exporter.fleet.kube_state import render_kube_state_metrics
from kcloud_exporter.fleet.libvirt import render_libvirt
from kcloud_exporter.fleet.node_exporter import render_node_exporter
from kcloud_exporter.fleet.openstack import render_openstack
from kcloud_exporter.fleet.pdu import render_pdu
from kcloud_exporter.fleet.rebellions import render_rebellions
from kcloud_exporter.fleet.vllm import render_vllm
from kcloud_exporter.fleet.world import World

Renderer: TypeAlias = Callable[[World, str, str, float], str]

RENDERERS: Final[Mapping[str, Renderer]] = {
    "amd": render_amd,
    "ascend": render_ascend,
    "dcgm": render_dcgm,
    "furiosa": render_furiosa,
    "gaudi": render_gaudi,
    "google_tpu": render_google_tpu,
    "idrac": render_idrac,
    "ipmi": render_ipmi,
    "kepler": render_kepler,
    "kepler_legacy": render_kepler_legacy,
    "kube_state_metrics": render_kube_state_metrics,
    "libvirt": render_libvirt,
    "node_exporter": render_node_exporter,
    "openstack": render_openstack,
    "pdu": render_pdu,
    "rebellions": render_rebellions,
    "vllm": render_vllm,
}
PORTS: Final[Mapping[str, int]] = {  # where each listens by default
    "amd": 5000,
    "ascend": 8082,
    "dcgm": 9400,
    "furiosa": 6254,
    "gaudi": 41611,
    "google_tpu": 2112,
    "idrac": 9348,
    "ipmi": 9290,
    "kepler": 28282,
    "kepler_legacy": 9102,
    "kube_state_metrics": 8080,
    "libvirt": 9177,
    "node_exporter": 9100,
    "openstack": 9180,
    "pdu": 9116,
    "rebellions": 9090,
    "vllm": 8000,
}


_NAMES_NO_HOST: Final = ("ascend", "gaudi", "google_tpu")


@dataclass(frozen=True, slots=True)
class Place:
    """One exporter of a world and the loopback address it lives at. `node` is a server, a VM, a PDU or a pod."""

    cluster: str
    node: str
    vendor: str
    address: str


def places(world: World) -> Iterator[Place]:
    """Every exporter, in the order of the world, those inside VMs among them.

    An IPMI exporter stands for its BMC, with the BMC's address.
    """
    numbers = count()
    for cluster in world.clusters:
        for node in cluster.nodes:
            for vendor in node.exporters:
                address = node.bmc_address if vendor in ("ipmi", "idrac") else node.address
                yield Place(cluster.name, node.name, vendor, address)
            for guest in node.guests:
                for vendor in guest.exporters:
                    yield Place(cluster.name, guest.name, vendor, guest.address)
            for pod in node.servers:
                yield Place(cluster.name, pod.name, "vllm", _of_pod(node.address, next(numbers)))
        for site in world.sites:
            if site.pdu_cluster == cluster.name:
                yield Place(cluster.name, site.pdu_name, "pdu", site.pdu_address)


def node_label(world: World, cluster: str, node: str, vendor: str) -> dict[str, str]:
    """The target label that an exporter inside a VM needs when its page names no host: which VM it is."""
    inside = any(guest.name == node for server in world.cluster(cluster).nodes for guest in server.guests)
    return {"node": node} if inside and vendor in _NAMES_NO_HOST else {}


def _of_pod(node_address: str, number: int) -> str:
    """The loopback address of the fleet's n-th model server, between those of the nodes and those of the BMCs."""
    high, low = divmod(number, 250)
    return f"127.{node_address.split('.')[1]}.{high + 112}.{low + 1}"


def render(world: World, place: Place, at: float) -> str:
    """The page (text format 0.0.4) of one exporter at one time (Unix seconds)."""
    return RENDERERS[place.vendor](world, place.cluster, place.node, at)
