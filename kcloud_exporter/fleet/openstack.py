"""openstack-exporter pages: what Nova and Keystone know of a cluster's VMs, where they run and for whom.

A server's value is the number of its state, and 0 is ACTIVE.
"""

from __future__ import annotations

from collections.abc import Iterator

from kcloud_exporter.fleet.exposition import Family, go_family, page
from kcloud_exporter.fleet.world import CPUS, Cluster, World


def render_openstack(world: World, cluster: str, node: str, at: float) -> str:
    """The page of a cluster's openstack-exporter, whichever `node` it runs on and whatever the time is."""
    del node, at
    return page(_families(world.cluster(cluster)), ordered=True)


def _families(cluster: Cluster) -> Iterator[Family]:
    hypervisors = [node for node in cluster.nodes if node.vms]
    projects = {vm.project_id: vm.project for node in hypervisors for vm in node.vms}
    yield go_family(
        "openstack_identity_project_info",
        "gauge",
        "project_info",
        [
            ({"id": number, "name": name, "domain_id": "default", "enabled": "true", "is_domain": "false"}, 1)
            for number, name in projects.items()
        ],
    )
    yield go_family(
        "openstack_nova_server_status",
        "gauge",
        "server_status",
        [
            (
                {
                    "address_ipv4": vm.address,
                    "availability_zone": "nova",
                    "flavor_id": "1",
                    "hypervisor_hostname": node.name,
                    "id": vm.uuid,
                    "instance_libvirt": vm.domain,
                    "name": vm.name,
                    "status": "ACTIVE",
                    "tenant_id": vm.project_id,
                    "uuid": vm.uuid,
                },
                0,
            )
            for node in hypervisors
            for vm in node.vms
        ],
    )
    yield go_family(
        "openstack_nova_vcpus_available",
        "gauge",
        "vcpus_available",
        [({"aggregates": "", "availability_zone": "nova", "hostname": node.name}, CPUS) for node in hypervisors],
    )
