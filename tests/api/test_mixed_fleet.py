"""The routes of VMs, and of what stands beside them, over the mixed fleet: what they say is the truth."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from kcloud_exporter.fleet import FleetSpec
from tests.api.program import Program, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIXED = FleetSpec(size="mixed", frozen=True)
COUNTED = 0.25
"""On hyp-1 power comes from joules and seconds, two samples half a second apart: as exact as their clock."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mixed() -> AsyncIterator[Program]:
    async with running(MIXED) as it:
        yield it


@pytest.fixture(scope="module")
def vms(mixed: Program) -> dict[str, dict[str, Any]]:
    """The VMs of the truth by their names."""
    return {vm["vm"]: vm for vm in mixed.fleet.truth()["clusters"]["mixed-a"]["vms"]}


def close(watts: float, node: str) -> Any:
    return pytest.approx(watts, rel=COUNTED if node == "hyp-1" else 1e-6)


async def test_the_list_has_every_vm_with_its_components(mixed: Program, vms: dict[str, dict[str, Any]]) -> None:
    rows = {row["vm"]: row for row in (await mixed.get("/infrastructure/vms")).data}
    assert rows.keys() == vms.keys() == {"web-1", "render-1", "chat-1", "ledger-db", "rank-1", "tune-1"}
    for name, expected in vms.items():
        row, node = rows[name], expected["node"]
        assert (row["cluster"], row["node"], row["project"]) == ("mixed-a", node, expected["project"])
        told = {c: row[f"{c}_power_watts"] for c in ("cpu", "memory", "gpu", "npu", "tpu", "other")}
        parts = expected["power_watts"]
        assert {c: watts for c, watts in told.items() if watts is not None} == {c: close(parts[c], node) for c in parts}
        assert row["power_watts"] == pytest.approx(math.fsum(watts for watts in told.values() if watts is not None))
        assert row["energy_joules"] > 0


async def test_a_device_that_was_handed_to_a_vm_is_told_as_held_by_it(mixed: Program) -> None:
    for vm, kind in (
        ("media/render-1", "gpus"),
        ("media/chat-1", "npus"),
        ("shop/rank-1", "npus"),
        ("media/tune-1", "npus"),
    ):
        inside = mixed.fleet.world.node("mixed-a", vm.partition("/")[2])
        (device,) = inside.accelerators
        told = (await mixed.get(f"/accelerators/{kind}/{device.uuid}")).data
        (holder,) = told["holders"]
        assert (holder["namespace"], holder["pod"], holder["allocation_ratio"]) == ("", vm, 1)
        assert holder["power_watts"] == told["power_watts"] == device.power.at(0) / 1000


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("project=media", ["chat-1", "render-1", "tune-1"]),
        ("hypervisor=hyp-2", ["ledger-db", "tune-1", "rank-1"]),
        ("project=shop&hypervisor=hyp-2&status=running", ["rank-1"]),
        ("cluster=mixed-a&limit=2&offset=1", ["chat-1", "render-1"]),
        ("status=stopped", []),
    ],
)
async def test_filters(mixed: Program, query: str, names: list[str]) -> None:
    assert [row["vm"] for row in (await mixed.get(f"/infrastructure/vms?{query}")).data] == names


async def test_one_vm_by_its_name_says_what_the_list_says(mixed: Program) -> None:
    for row in (await mixed.get("/infrastructure/vms")).data:
        for what in ("", "/metrics"):
            assert (await mixed.get(f"/infrastructure/vms/{row['vm']}{what}")).data == row
        power = (await mixed.get(f"/infrastructure/vms/{row['vm']}/power")).data
        assert {key: value for key, value in power.items() if key != "statistics"} == row


async def test_the_summary_is_the_sum(mixed: Program) -> None:
    rows = (await mixed.get("/infrastructure/vms")).data
    told = (await mixed.get("/infrastructure/vms/summary")).data
    total = math.fsum(row["power_watts"] for row in rows)
    assert told["total_count"] == len(rows)
    assert told["total_power_watts"] == pytest.approx(total)
    assert math.fsum(told["power_watts_by_component"].values()) == pytest.approx(total)
    assert math.fsum(told["power_watts_by_project"].values()) == pytest.approx(total)
    assert told["power_watts_by_project"].keys() == {"finance", "media", "shop"}


@pytest.mark.parametrize("name", ["worker-1", "worker-2"])
async def test_a_vm_that_is_a_kubernetes_node_is_neither_a_vm_nor_a_server(mixed: Program, name: str) -> None:
    assert (await mixed.get(f"/infrastructure/vms/{name}")).status == 404
    assert (await mixed.get(f"/infrastructure/nodes/{name}")).status == 404
    (pod,) = mixed.fleet.world.node("mixed-a", name).pods
    told = (await mixed.get(f"/infrastructure/pods/{pod.namespace}/{pod.name}")).data
    (device,) = mixed.fleet.world.node("mixed-a", name).accelerators
    assert told["power_watts"] == device.power.at(0) / 1000


async def test_pods_vms_and_unattributed_are_every_node_in_the_topology(mixed: Program) -> None:
    tree = (await mixed.get("/clusters/mixed-a/topology")).data
    for node in tree["nodes"]:
        parts = [each["power_watts"] for each in (*node["pods"], *node["vms"]) if each["power_watts"] is not None]
        whole = math.fsum([*parts, node["unattributed_power_watts"]])
        assert whole == pytest.approx(node["power_watts"], rel=1e-9), node["node"]
    assert {node["node"] for node in tree["nodes"] if node["vms"]} == {"hyp-1", "hyp-2"}
    bare = (await mixed.get("/clusters/mixed-a/topology?include_pods=false")).data
    assert {(node["pods"], node["vms"]) for node in bare["nodes"]} == {(None, None)}
    of_a_namespace = (await mixed.get("/clusters/mixed-a/topology?namespace=serving")).data
    assert [node["vms"] for node in of_a_namespace["nodes"] if node["vms"]] == []


async def test_a_vm_is_no_container_though_it_holds_a_device(mixed: Program) -> None:
    rows = (await mixed.get("/infrastructure/containers")).data
    assert len(rows) == sum(len(node.pods) for node in mixed.fleet.world.clusters[0].kubernetes_nodes)
    assert all(row["namespace"] and row["pod"] and row["container"] for row in rows)
    assert (await mixed.get("/system/info")).data["total_containers"] == len(rows)


async def test_the_system_knows_every_maker_and_the_vms(mixed: Program) -> None:
    told = {row["name"]: row for row in (await mixed.get("/system/capabilities")).data}
    assert {kind: told[kind]["detail"] for kind in ("gpus", "npus", "vms")} == {
        "gpus": "3 amd, 5 nvidia",
        "npus": "3 huawei, 4 furiosa, 4 intel, 5 rebellions",
        "vms": "6 of 6 virtual machines",
    }
    assert (await mixed.get("/monitoring/power")).data["virtual_machine_power_watts"] == pytest.approx(
        (await mixed.get("/infrastructure/vms/summary")).data["total_power_watts"]
    )
