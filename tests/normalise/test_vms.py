"""Which VM a series speaks of, and a VM that is a Kubernetes node: its pods are counted, or it is, never both."""

from __future__ import annotations

import math

import pytest

from tests.normalise.cluster import Cluster

UUID = "2ce4c5b3-2866-4972-93ce-77a2ea46a7f{}"
KEPLER = 'kepler_vm_cpu_watts{{node_name="{host}",vm_id="{uuid}",vm_name="{domain}",state="running",'
KEPLER += 'zone="package"}} {watts}\n'
NODE = 'kepler_node_cpu_watts{{node_name="{}",zone="package",path="p"}} {}\n'
SERVER = (
    'openstack_nova_server_status{{hypervisor_hostname="hyp-1",id="{uuid}",instance_libvirt="{domain}",name="{name}",'
    'tenant_id="{tenant}",address_ipv4="{address}"}} 0\n'
)
POD = 'kepler_pod_cpu_watts{{node_name="{}",pod_namespace="a",pod_name="{}",state="running",zone="package"}} {}\n'
INVENTORY = 'kube_node_info{{node="{}",internal_ip="{}",system_uuid="{}"}} 1\n'


def server(number: int, name: str, tenant: str = "demo", address: str = "10.0.0.9") -> str:
    return SERVER.format(
        uuid=UUID.format(number), domain=f"instance-{number}", name=name, tenant=tenant, address=address
    )


def vm(number: int, watts: float, host: str = "hyp-1") -> str:
    return KEPLER.format(host=host, uuid=UUID.format(number).upper(), domain=f"instance-{number}", watts=watts)


def power(cluster: Cluster) -> dict[tuple[str, ...], float]:
    return cluster.shown("kcloud_vm_power_watts")


def balanced(cluster: Cluster) -> bool:
    """Pods + VMs + unattributed = node, over everything."""
    parts = ("kcloud_pod_power_watts", "kcloud_vm_power_watts", "kcloud_node_unattributed_power_watts")
    held = math.fsum(watts for family in parts for watts in cluster.shown(family).values())
    return held == pytest.approx(math.fsum(cluster.shown("kcloud_node_power_watts").values()))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


class TestNames:
    def test_openstack_names_what_the_hypervisor_shows(self, cluster: Cluster) -> None:
        cluster.cycle(NODE.format("hyp-1", 200) + vm(1, 60) + server(1, "web"), 15.0)
        assert power(cluster) == {("hyp-1", "demo", "web", "cpu"): 60}
        assert balanced(cluster)

    def test_what_openstack_tells_later_renames_it(self, cluster: Cluster) -> None:
        cluster.cycle(NODE.format("hyp-1", 200) + vm(1, 60), 15.0)
        assert power(cluster) == {("hyp-1", "", "instance-1", "cpu"): 60} or power(cluster) == {
            ("hyp-1", "", UUID.format(1), "cpu"): 60
        }
        cluster.cycle(NODE.format("hyp-1", 200) + vm(1, 60) + server(1, "web"), 30.0)
        assert power(cluster) == {("hyp-1", "demo", "web", "cpu"): 60}
        project = 'openstack_identity_project_info{id="demo",name="Demonstrations"} 1\n'
        cluster.cycle(NODE.format("hyp-1", 200) + vm(1, 60) + server(1, "web") + project, 45.0)
        assert power(cluster) == {("hyp-1", "Demonstrations", "web", "cpu"): 60}

    def test_namesakes_of_one_project_are_told_apart(self, cluster: Cluster) -> None:
        text = NODE.format("hyp-1", 200) + vm(1, 60) + vm(2, 20) + vm(3, 10)
        cluster.cycle(text + server(1, "web") + server(2, "web") + server(3, "web", "other"), 15.0)
        assert power(cluster) == {
            ("hyp-1", "demo", f"web ({UUID.format(1)})", "cpu"): 60,
            ("hyp-1", "demo", f"web ({UUID.format(2)})", "cpu"): 20,
            ("hyp-1", "other", "web", "cpu"): 10,
        }
        assert balanced(cluster)

    def test_vms_that_claim_more_than_their_node_are_scaled_down_with_its_pods(self, cluster: Cluster) -> None:
        text = NODE.format("hyp-1", 90) + vm(1, 60) + vm(2, 30) + POD.format("hyp-1", "p", 90)
        cluster.cycle(text + server(1, "web"), 15.0)
        assert power(cluster)["hyp-1", "demo", "web", "cpu"] == pytest.approx(30)
        assert cluster.shown("kcloud_pod_power_watts")["hyp-1", "a", "p", "cpu"] == pytest.approx(45)
        assert balanced(cluster)


class TestTime:
    LIBVIRT = 'libvirt_domain_info_cpu_time_seconds_total{{instance="hyp-1:9177",domain="d",uuid="{}"}} {}\n'
    CPUS = 'openstack_nova_vcpus_available{{hostname="hyp-1"}} {}\n'

    def run(self, cluster: Cluster, cpus: str, seconds: float = 30) -> dict[tuple[str, ...], float]:
        for at in (0, 1):
            text = NODE.format("hyp-1", 200) + cpus + self.LIBVIRT.format(UUID.format(1), 1000 + seconds * at)
            cluster.cycle(text + server(1, "web"), 15.0 * (at + 1))
        assert balanced(cluster)
        return power(cluster)

    def test_a_domain_has_its_part_of_the_cpus_time(self, cluster: Cluster) -> None:
        assert self.run(cluster, self.CPUS.format(16)) == {("hyp-1", "demo", "web", "cpu"): 25}

    @pytest.mark.parametrize("cpus", ["", "0"])
    def test_without_knowing_how_many_cpus_there_are_its_power_is_unknown(self, cluster: Cluster, cpus: str) -> None:
        assert self.run(cluster, self.CPUS.format(cpus) if cpus else "") == {}

    def test_a_domain_never_has_more_than_all(self, cluster: Cluster) -> None:
        assert self.run(cluster, self.CPUS.format(16), seconds=900) == {("hyp-1", "demo", "web", "cpu"): 200}

    def test_kepler_is_believed_before_the_time(self, cluster: Cluster) -> None:
        text = self.CPUS.format(16) + KEPLER.format(host="hyp-1", uuid=UUID.format(1), domain="d", watts=7)
        assert self.run(cluster, text) == {("hyp-1", "demo", "web", "cpu"): 7}


class TestKubernetesNodes:
    GUEST_GPU = 'DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-1",Hostname="worker-1",exported_namespace="a",'
    GUEST_GPU += 'exported_pod="p"} 300\n'
    WALL = 'ipmi_dcmi_power_consumption_watts{instance="hyp-1"} 1000\n'

    def text(self, inventory: str) -> str:
        meters = self.WALL + NODE.format("hyp-1", 200) + self.GUEST_GPU + POD.format("worker-1", "p", 25)
        return meters + vm(1, 60) + vm(2, 40) + server(1, "worker-1") + server(2, "web") + inventory

    def test_its_pods_are_counted_on_the_server_and_the_vm_is_not(self, cluster: Cluster) -> None:
        cluster.cycle(self.text(INVENTORY.format("worker-1", "10.0.0.9", UUID.format(1))), 15.0)
        assert power(cluster) == {("hyp-1", "demo", "web", "cpu"): 40}
        assert cluster.shown("kcloud_pod_power_watts") == {
            ("hyp-1", "a", "p", "gpu"): 300,
            ("hyp-1", "a", "p", "cpu"): 25,
        }
        assert cluster.shown("kcloud_node_power_watts") == {
            ("hyp-1", "cpu"): 200,
            ("hyp-1", "gpu"): 300,
            ("hyp-1", "other"): 500,
        }
        assert cluster.shown("kcloud_node_unattributed_power_watts")["hyp-1", "cpu"] == 135
        assert cluster.shown("kcloud_cluster_nodes") == {("measured",): 1, ("partial",): 0, ("missing",): 0}
        assert balanced(cluster)

    def test_the_inventory_may_come_later(self, cluster: Cluster) -> None:
        cluster.cycle(self.text(""), 15.0)
        assert ("hyp-1", "demo", "worker-1", "cpu") in power(cluster)
        cluster.cycle(self.text(INVENTORY.format("worker-1", "10.0.0.9", UUID.format(1))), 30.0)
        assert power(cluster) == {("hyp-1", "demo", "web", "cpu"): 40}
        assert math.fsum(cluster.shown("kcloud_cluster_power_watts").values()) == 1000

    def test_a_provider_id_names_the_vm_too(self, cluster: Cluster) -> None:
        node = f'kube_node_info{{node="worker-1",provider_id="openstack:///{UUID.format(1)}"}} 1\n'
        cluster.cycle(self.text(node), 15.0)
        assert power(cluster) == {("hyp-1", "demo", "web", "cpu"): 40}

    def test_without_system_uuids_equal_names_are_one(self, cluster: Cluster) -> None:
        cluster.cycle(self.text('kube_node_info{node="worker-1"} 1\n'), 15.0)
        assert power(cluster) == {("hyp-1", "demo", "web", "cpu"): 40}

    def test_a_tenant_cannot_take_a_server_over_by_its_name(self, cluster: Cluster) -> None:
        inventory = INVENTORY.format("worker-1", "10.0.0.9", "4c4c4544-0044-5210-8053-b3c04f4e3533")
        cluster.cycle(self.text(inventory), 15.0)
        assert power(cluster) == {("hyp-1", "demo", "worker-1", "cpu"): 60, ("hyp-1", "demo", "web", "cpu"): 40}
        assert cluster.shown("kcloud_node_power_watts")["worker-1", "gpu"] == 300
        assert balanced(cluster)

    def test_meters_inside_a_vm_are_none(self, cluster: Cluster) -> None:
        inventory = INVENTORY.format("worker-1", "10.0.0.9", UUID.format(1))
        cluster.cycle(self.text(inventory) + NODE.format("worker-1", 77), 15.0)
        assert cluster.shown("kcloud_node_power_watts")["hyp-1", "cpu"] == 200
        assert balanced(cluster)

    def test_after_a_migration_it_belongs_to_the_other_server(self, cluster: Cluster) -> None:
        inventory = INVENTORY.format("worker-1", "10.0.0.9", UUID.format(1))
        cluster.cycle(self.text(inventory), 15.0)
        moved = self.text(inventory).replace(vm(1, 60), vm(1, 60, "hyp-2")) + NODE.format("hyp-2", 150)
        cluster.cycle(moved, 30.0)
        assert cluster.shown("kcloud_pod_power_watts")["hyp-2", "a", "p", "gpu"] == 300
        assert ("hyp-1", "gpu") not in cluster.shown("kcloud_node_power_watts")
        assert balanced(cluster)

    def test_its_hypervisor_knows_where_it_is_better_than_openstack_that_is_told_late(self, cluster: Cluster) -> None:
        text = NODE.format("hyp-2", 150) + self.GUEST_GPU + vm(1, 60, "hyp-2")
        text += INVENTORY.format("worker-1", "10.0.0.9", UUID.format(1))
        cluster.cycle(text, 15.0)
        cluster.cycle(text + server(1, "worker-1"), 30.0)  # it says hyp-1
        assert cluster.shown("kcloud_pod_power_watts")["hyp-2", "a", "p", "gpu"] == 300
        assert balanced(cluster)
