"""The worked example of the ledger's definition: one node, one wall meter, RAPL, two GPUs, three pods."""

from __future__ import annotations

import math

import pytest

from kcloud_exporter.derive.ledger import Policy
from kcloud_exporter.derive.pue import site_power
from tests.normalise.cluster import Cluster

POD = 'kepler_pod_cpu_watts{{node_name="n1",instance="k",pod_id="{0}",pod_name="{0}",pod_namespace="{1}",'
POD += 'state="running",zone="{2}"}} {3}\n'
ZONE = 'kepler_node_cpu_watts{{node_name="n1",instance="k",zone="{0}",path="{0}"}} {1}\n'
NODE = (
    'ipmi_dcmi_power_consumption_watts{instance="n1"} 1000\n'
    + ZONE.format("package", 200)
    + ZONE.format("dram", 50)
    + POD.format("train", "a", "package", 60)
    + POD.format("train", "a", "dram", 10)
    + POD.format("x", "b", "package", 20)
)
GPU = 'DCGM_FI_DEV_POWER_USAGE{{gpu="{at}",UUID="GPU-{at}",modelName="NVIDIA H100",Hostname="n1"{more}}} {watts}\n'


def gpu(at: int, watts: float, **labels: str) -> str:
    return GPU.format(at=at, watts=watts, more="".join(f',{name}="{value}"' for name, value in labels.items()))


WHOLE = gpu(0, 300, namespace="a", pod="train", container="main")
SLICED = gpu(1, 150, namespace="b", pod="x", container="main", vgpu="0") + gpu(
    1, 150, namespace="b", pod="y", container="main", vgpu="1"
)


def example(*, idle: Policy = "unattributed", overhead: Policy = "unattributed") -> Cluster:
    return Cluster(idle=idle, overhead=overhead).cycle(NODE + WHOLE + SLICED, 0.0)


def test_components_and_residual() -> None:
    cluster = example()

    assert cluster.shown("kcloud_node_power_watts") == {
        ("n1", "cpu"): 200,
        ("n1", "memory"): 50,
        ("n1", "gpu"): 450,
        ("n1", "other"): 300,
    }
    assert cluster.shown("kcloud_node_power_residual_watts") == {("n1",): 300}
    assert cluster.shown("kcloud_node_wall_power_watts") == {("n1",): 1000}
    assert sum(cluster.shown("kcloud_cluster_power_watts").values()) == 1000


def test_what_belongs_to_whom() -> None:
    cluster = example()

    assert cluster.shown("kcloud_pod_power_watts") == {
        ("n1", "a", "train", "gpu"): 300,
        ("n1", "a", "train", "cpu"): 60,
        ("n1", "a", "train", "memory"): 10,
        ("n1", "b", "x", "gpu"): 75,
        ("n1", "b", "x", "cpu"): 20,
        ("n1", "b", "y", "gpu"): 75,
    }
    assert cluster.shown("kcloud_node_unattributed_power_watts") == {
        ("n1", "cpu"): 120,
        ("n1", "memory"): 40,
        ("n1", "gpu"): 0,
        ("n1", "other"): 300,
    }
    assert cluster.shown("kcloud_namespace_power_watts") == {
        ("a", "gpu"): 300,
        ("a", "cpu"): 60,
        ("a", "memory"): 10,
        ("b", "gpu"): 150,
        ("b", "cpu"): 20,
    }
    assert sum(cluster.shown("kcloud_pod_power_watts").values()) == 540


def test_proportional_policies_leave_nothing_unattributed() -> None:
    cluster = example(idle="proportional", overhead="proportional")
    pods = cluster.shown("kcloud_pod_power_watts")

    assert pods["n1", "a", "train", "cpu"] == pytest.approx(60 + 120 * 60 / 80)
    assert pods["n1", "a", "train", "memory"] == pytest.approx(10 + 40 * 10 / 10)
    assert pods["n1", "a", "train", "other"] == pytest.approx(300 * 370 / 540)
    assert set(cluster.shown("kcloud_node_unattributed_power_watts").values()) == {0.0}
    assert math.fsum(pods.values()) == pytest.approx(1000, rel=1e-12)


def test_pue_of_a_site_with_this_node_alone() -> None:
    site = site_power({"pue2": 1400.0}, sum(example().shown("kcloud_cluster_power_watts").values()), 1.0)

    assert site.measured == {"pue2": 1.4}


def test_mig_counts_the_device_once_and_splits_it_by_slices() -> None:
    mig = gpu(0, 300, GPU_I_ID="1", GPU_I_PROFILE="1g.10gb", namespace="a", pod="p", container="main") + gpu(
        0, 300, GPU_I_ID="2", GPU_I_PROFILE="3g.40gb", namespace="a", pod="q", container="main"
    )
    cluster = Cluster().cycle(NODE + mig, 0.0)

    assert list(cluster.shown("kcloud_accelerator_power_watts").values()) == [300]
    pods = cluster.shown("kcloud_pod_power_watts")
    assert pods["n1", "a", "p", "gpu"] == pytest.approx(300 / 7)
    assert pods["n1", "a", "q", "gpu"] == pytest.approx(300 * 3 / 7)
    assert cluster.shown("kcloud_node_unattributed_power_watts")["n1", "gpu"] == pytest.approx(300 * 3 / 7)
