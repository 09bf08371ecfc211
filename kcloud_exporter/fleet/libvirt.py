"""libvirt exporter pages, as Debian's prints them: the domains of one hypervisor and the CPU time of each."""

from __future__ import annotations

from kcloud_exporter.fleet.exposition import go_family, page
from kcloud_exporter.fleet.world import World

_MILLI = 1000


def render_libvirt(world: World, cluster: str, node: str, at: float) -> str:
    """The page of the libvirt exporter on one hypervisor at one time (Unix seconds)."""
    vms = [(vm, {"domain": vm.domain, "uuid": vm.uuid}) for vm in world.node(cluster, node).vms]
    families = [
        go_family("libvirt_up", "gauge", "Whether scraping libvirt's metrics was successful.", [({}, 1)]),
        go_family("libvirt_domains_number", "gauge", "Number of domains.", [({}, len(vms))]),
        go_family("libvirt_domain_state_code", "gauge", "State of the domain.", [(labels, 1) for _, labels in vms]),
        go_family(
            "libvirt_domain_info_cpu_time_seconds_total",
            "counter",
            "Amount of CPU time used by the domain, in seconds.",
            [(labels, vm.busy.integral(at) / _MILLI) for vm, labels in vms],
        ),
    ]
    return page(families, ordered=True)
