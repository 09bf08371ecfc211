"""The truth conserves: every watt of a node is a pod's or unattributed, and sums agree at every level."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter.fleet import FleetSpec, build_world, truth
from kcloud_exporter.fleet.world import World
from tests.fleet.conftest import AT, START

WORLDS = {
    "demo": build_world(FleetSpec(), START),
    "frozen": build_world(FleetSpec(seed=3, frozen=True), START),
    "mixed": build_world(FleetSpec(size="mixed"), START),
    "ailing": build_world(FleetSpec(size="mixed", ailing=True), START),
    "large": build_world(FleetSpec(nodes_per_cluster=6, gpus_per_node=8), START),
}
a_world = st.sampled_from(sorted(WORLDS))
a_time = st.integers(0, 100_000).map(lambda quarters: START + quarters / 4)


def total(powers: Any) -> dict[str, float]:
    summed: dict[str, float] = {}
    for power in powers:
        for component, watts in power.items():
            summed[component] = summed.get(component, 0.0) + watts
    return summed


def assert_same(first: dict[str, float], second: dict[str, float]) -> None:
    assert first == pytest.approx(second, rel=1e-12, abs=1e-9)


@given(world=a_world, at=a_time)
def test_pods_vms_and_unattributed_are_the_node(world: str, at: float) -> None:
    for cluster in truth(WORLDS[world], at)["clusters"].values():
        for name, node in cluster["nodes"].items():
            pods = [each["power_watts"] for each in (*cluster["pods"], *cluster["vms"]) if each["node"] == name]
            assert_same(total([*pods, node["unattributed_watts"]]), node["power_watts"])
            assert all(watts >= 0 for watts in node["unattributed_watts"].values())


@given(world=a_world, at=a_time)
def test_nodes_are_the_cluster_and_namespaces_are_its_pods(world: str, at: float) -> None:
    for cluster in truth(WORLDS[world], at)["clusters"].values():
        assert_same(total(node["power_watts"] for node in cluster["nodes"].values()), cluster["power_watts"])
        pods = total(pod["power_watts"] for pod in cluster["pods"])
        assert_same(total(cluster["namespaces"].values()), pods)


@given(world=a_world, at=a_time)
def test_components_of_a_node_are_its_wall(world: str, at: float) -> None:
    for cluster in truth(WORLDS[world], at)["clusters"].values():
        for node in cluster["nodes"].values():
            power, wall = node["power_watts"], node["wall_watts"]
            assert ("other" in power) == (wall is not None)
            if wall is not None:
                assert power["other"] > 0
                assert wall == round(wall)
                assert math.isclose(sum(power.values()), wall, rel_tol=1e-12)


@given(world=a_world, at=a_time)
def test_devices_are_the_accelerator_components(world: str, at: float) -> None:
    for cluster in truth(WORLDS[world], at)["clusters"].values():
        metered = [d for d in cluster["accelerators"].values() if d["power_watts"] is not None]
        devices = total({d["kind"]: d["power_watts"]} for d in metered)
        assert_same(devices, {k: v for k, v in cluster["power_watts"].items() if k in ("gpu", "npu")})


@given(world=a_world, at=a_time)
def test_pue_is_plausible_and_measured(world: str, at: float) -> None:
    seen = truth(WORLDS[world], at)
    for name, site in seen["sites"].items():
        clusters = [c for c in seen["clusters"].values() if c["site"] == name]
        it_power = sum(watts for c in clusters for watts in c["power_watts"].values())
        assert site["it_watts"] == pytest.approx(it_power, rel=1e-12)
        assert 1.1 <= site["pue"] <= 1.5
        assert site["pue"] == site["facility_watts"] / site["it_watts"]
        assert site["facility_watts"] % 10 == 0


def shares(world: World, cluster: str, node: str, index: int) -> dict[str, float]:
    device = world.node(cluster, node).accelerators[index]
    holders = truth(world, AT)["clusters"][cluster]["accelerators"][device.uuid]["holders"]
    return {holder["pod"]: holder["share"] for holder in holders}


@pytest.mark.parametrize(
    ("cluster", "node", "index", "expected"),
    [
        ("seoul-a", "gpu-1", 0, [1.0]),
        ("seoul-a", "gpu-1", 3, []),
        ("seoul-a", "gpu-2", 0, [1 / 3, 1 / 3, 1 / 3]),
        ("seoul-a", "gpu-2", 2, [1.0]),
        ("seoul-a", "mig-1", 0, [3 / 7, 1 / 7]),
        ("seoul-b", "npu-1", 0, [0.5]),
        ("seoul-b", "npu-1", 1, [0.5, 0.5]),
        ("seoul-b", "npu-1", 3, []),
    ],
    ids=[
        "whole", "idle", "time-sliced", "held without work", "MIG by slices", "half partitioned", "partitioned",
        "idle NPU",
    ],
)  # fmt: skip
def test_who_holds_what(world: World, cluster: str, node: str, index: int, expected: list[float]) -> None:
    assert list(shares(world, cluster, node, index).values()) == expected


def test_a_pod_may_hold_several_devices(world: World) -> None:
    first, second = (world.node("seoul-a", "gpu-1").accelerators[i].power.at(AT) / 1000 for i in (0, 1))
    (pod,) = [p for p in truth(world, AT)["clusters"]["seoul-a"]["pods"] if p["pod"] == "llama-pretrain-0"]
    assert pod["power_watts"]["gpu"] == pytest.approx(first + second)


def test_the_idle_power_of_a_processor_belongs_to_nobody(world: World) -> None:
    node = world.node("seoul-a", "cp-1")
    seen = truth(world, AT)["clusters"]["seoul-a"]["nodes"]["cp-1"]
    expected = (node.cpu_idle.at(AT) + node.cpu_system.at(AT)) / 1000
    assert seen["unattributed_watts"]["cpu"] == pytest.approx(expected)


def test_without_a_per_process_meter_pods_have_accelerator_power_only(world: World) -> None:
    pods = [p for p in truth(world, AT)["clusters"]["busan-a"]["pods"] if p["node"] == "mix-1"]
    assert [set(pod["power_watts"]) for pod in pods] == [{"gpu"}, {"npu"}]


def test_a_large_fleet_is_one_cluster_of_the_size_asked_for() -> None:
    seen = truth(WORLDS["large"], AT)["clusters"]
    assert list(seen) == ["big-a"]
    assert len(seen["big-a"]["nodes"]) == 6
    assert len(seen["big-a"]["accelerators"]) == 48


@pytest.mark.parametrize("wrong", [{"step_seconds": 0}, {"nodes_per_cluster": 0}, {"gpus_per_node": 0}, {"ailing": 1}])
def test_an_impossible_fleet_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FleetSpec(**wrong)  # type: ignore[arg-type]
