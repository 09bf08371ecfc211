"""What the API says of the frozen fleet is the truth at every level, and it is conserved across routes."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pytest

from kcloud_exporter.catalogue import COMPONENTS
from tests.api.program import Program

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLUSTERS = ("seoul-a", "seoul-b", "busan-a")
COUNTED = 0.1
"""Power that comes from joule counters is as exact as the clock between two samples half a second apart."""


def close(expected: float, cluster: str = "") -> Any:
    """Meters that tell watts are exact; all of seoul-a's are such."""
    return pytest.approx(expected, rel=1e-6 if cluster == "seoul-a" else COUNTED, abs=1e-6)


def exactly(expected: float) -> Any:
    return pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.fixture(scope="module")
def truth(program: Program) -> dict[str, Any]:
    return program.fleet.truth()


def whole(power: dict[str, float]) -> float:
    return math.fsum(power.values())


async def everything(program: Program, path: str) -> list[dict[str, Any]]:
    reply = await program.get(path)
    assert reply.json["metadata"]["total"] == len(reply.data)
    found: list[dict[str, Any]] = reply.data
    return found


async def test_clusters(program: Program, truth: dict[str, Any]) -> None:
    rows = {row["cluster"]: row for row in await everything(program, "/clusters")}
    assert set(rows) == set(CLUSTERS) == set(truth["clusters"])
    for name, expected in truth["clusters"].items():
        assert rows[name]["power_watts"] == close(whole(expected["power_watts"]), name)
        assert rows[name]["site"] == expected["site"]
        assert (rows[name]["status"], rows[name]["nodes_measured"]) == ("healthy", len(expected["nodes"]))
        told = (await program.get(f"/clusters/{name}/power")).data
        assert told["components"] == close_parts(expected["power_watts"], name)
        assert told["total_power_watts"] == exactly(rows[name]["power_watts"])


def close_parts(power: dict[str, float], cluster: str) -> dict[str, Any]:
    return {component: close(watts, cluster) for component, watts in power.items()}


async def test_nodes_and_their_servers(program: Program, truth: dict[str, Any]) -> None:
    rows = {(row["cluster"], row["node"]): row for row in await everything(program, "/infrastructure/nodes")}
    servers = {(row["cluster"], row["node"]): row for row in await everything(program, "/hardware/ipmi/power")}
    for cluster, its in truth["clusters"].items():
        for name, expected in its["nodes"].items():
            row = rows.pop((cluster, name))
            told = {c: row[f"{c}_power_watts"] for c in COMPONENTS if row[f"{c}_power_watts"] is not None}
            assert told == close_parts(expected["power_watts"], cluster)
            assert row["unattributed_power_watts"] == close(whole(expected["unattributed_watts"]), cluster)
            if expected["wall_watts"] is None:
                assert row["wall_power_watts"] is None
            else:
                assert row["wall_power_watts"] == servers[cluster, name]["power_watts"]
                assert row["wall_power_watts"] == pytest.approx(expected["wall_watts"], abs=0.5)
            one = (await program.get(f"/infrastructure/nodes/{name}/power?cluster={cluster}")).data
            assert one["power_watts"] == row["power_watts"]
    assert not rows, "nodes that are not there"


async def test_devices(program: Program, truth: dict[str, Any]) -> None:
    rows = {row["uuid"]: row for row in await everything(program, "/accelerators/all")}
    for cluster, its in truth["clusters"].items():
        for uuid, expected in its["accelerators"].items():
            row = rows.pop(uuid)
            assert (row["cluster"], row["node"], row["kind"]) == (cluster, expected["node"], expected["kind"])
            assert row["vendor"] == expected["vendor"]
            assert row["power_watts"] == pytest.approx(expected["power_watts"], rel=1e-6)
            path = f"/accelerators/{expected['kind']}s/{uuid}"
            detail = (await program.get(path)).data
            assert detail["power_watts"] == row["power_watts"]
            held = {(h["namespace"], h["pod"]): h["allocation_ratio"] for h in detail["holders"]}
            shares: dict[tuple[str, str], float] = defaultdict(float)
            for holder in expected["holders"]:
                shares[holder["namespace"], holder["pod"]] += holder["share"]
            assert held == {key: pytest.approx(share) for key, share in shares.items()}
            assert (await program.get(f"{path}/power")).data["power_watts"] == row["power_watts"]
    assert not rows


async def test_pods_and_namespaces(program: Program, truth: dict[str, Any]) -> None:
    rows = {(r["cluster"], r["namespace"], r["pod"]): r for r in await everything(program, "/infrastructure/pods")}
    parts = (await program.get("/monitoring/power/breakdown?breakdown_by=namespace")).data["breakdown"]
    namespaces = {(p["cluster"], p["name"]): p["power_watts"] for p in parts if p["kind"] == "namespace"}
    for cluster, its in truth["clusters"].items():
        for expected in its["pods"]:
            row = rows[cluster, expected["namespace"], expected["pod"]]
            assert row["node"] == expected["node"]
            assert row["power_watts"] == close(whole(expected["power_watts"]), cluster)
            path = f"/infrastructure/pods/{expected['namespace']}/{expected['pod']}"
            assert (await program.get(f"{path}?cluster={cluster}")).data["power_watts"] == row["power_watts"]
        for name, power in its["namespaces"].items():
            assert namespaces[cluster, name] == close(whole(power), cluster)


async def test_sites(program: Program, truth: dict[str, Any]) -> None:
    sites = {site["site"]: site for site in (await program.get("/monitoring/power/efficiency")).data["sites"]}
    for name, expected in truth["sites"].items():
        assert sites[name]["facility_power_watts"] == {"pue2": expected["facility_watts"]}
        assert sites[name]["it_power_watts"] == close(expected["it_watts"])
        (pue,) = sites[name]["pue"]
        assert (pue["category"], pue["method"]) == ("pue2", "measured")
        assert pue["pue_ratio"] == close(expected["pue"])
        assert pue["pue_ratio"] == exactly(expected["facility_watts"] / sites[name]["it_power_watts"])


async def test_watts_are_conserved_across_routes(program: Program) -> None:
    for cluster in CLUSTERS:
        nodes = await everything(program, f"/infrastructure/nodes?cluster={cluster}")
        holders = await everything(program, f"/infrastructure/pods?cluster={cluster}")
        holders += await everything(program, f"/infrastructure/vms?cluster={cluster}")
        for node in nodes:
            of_node = [holder["power_watts"] for holder in holders if holder["node"] == node["node"]]
            held = math.fsum(watts for watts in of_node if watts is not None)
            assert held + node["unattributed_power_watts"] == exactly(node["power_watts"])
            components = [node[f"{c}_power_watts"] for c in COMPONENTS]
            assert math.fsum(w for w in components if w is not None) == exactly(node["power_watts"])
        total = math.fsum(node["power_watts"] for node in nodes)
        told = (await program.get(f"/monitoring/power?cluster={cluster}")).data
        assert told["total_power_watts"] == exactly(total)
        of_vms = told["virtual_machine_power_watts"] or 0.0
        assert told["attributed_power_watts"] + of_vms + told["unattributed_power_watts"] == exactly(total)
        assert told["accelerator_power_watts"] + told["infrastructure_power_watts"] == exactly(total)
        assert (await program.get(f"/infrastructure/nodes/summary?cluster={cluster}")).data["total_power_watts"] == (
            exactly(total)
        )
        tree = (await program.get(f"/clusters/{cluster}/topology")).data
        assert math.fsum(node["power_watts"] for node in tree["nodes"]) == exactly(total)
        assert math.fsum(d["power_watts"] for n in tree["nodes"] for d in n["accelerators"]) == (
            exactly(told["accelerator_power_watts"])
        )


@pytest.mark.parametrize("by", ["cluster", "node", "namespace", "vendor", "resource_type", "workload_type"])
@pytest.mark.parametrize("cluster", [None, *CLUSTERS])
async def test_the_parts_of_every_breakdown_add_up_to_the_whole(program: Program, by: str, cluster: str | None) -> None:
    where = f"&cluster={cluster}" if cluster else ""
    told = (await program.get(f"/monitoring/power/breakdown?breakdown_by={by}{where}")).data
    parts = [part["power_watts"] for part in told["breakdown"] if part["power_watts"] is not None]
    assert len(parts) > 0
    assert math.fsum(parts) == exactly(told["total_power_watts"])
    assert math.fsum(part["percent"] for part in told["breakdown"] if part["percent"] is not None) == exactly(100)


async def test_resource_types_choose_what_is_added_up(program: Program) -> None:
    told = (await program.get("/monitoring/power")).data["breakdown"]
    gpus = (await program.get("/monitoring/power?resource_types=gpus")).data
    assert gpus["total_power_watts"] == told["gpu"]
    both = (await program.get("/monitoring/power?resource_types=npus,gpus,gpu")).data
    assert both["total_power_watts"] == exactly(told["gpu"] + told["npu"])
    assert both["unattributed_power_watts"] is None, "what is not known of a part is not said"


async def test_what_nobody_measures_is_null_and_never_zero(program: Program, truth: dict[str, Any]) -> None:
    rows = await everything(program, "/infrastructure/nodes")
    without = [row for row in rows if row["gpu_count"] is None]
    assert without
    assert all(row["gpu_power_watts"] is None for row in without)
    assert all(row["tpu_power_watts"] is None for row in rows)
    machines = await program.get("/infrastructure/vms?cluster=seoul-a")
    assert (machines.data, machines.json["metadata"]["total"]) == ([], 0)
    assert (await program.get("/monitoring/power?cluster=seoul-a")).data["virtual_machine_power_watts"] is None
    del truth


async def test_virtual_machines_draw_what_the_fleet_says(program: Program, truth: dict[str, Any]) -> None:
    rows = await everything(program, "/infrastructure/vms")
    told = {(row["cluster"], row["node"], row["project"], row["vm"]): row["power_watts"] for row in rows}
    assert told == {
        (cluster, vm["node"], vm["project"], vm["vm"]): pytest.approx(sum(vm["power_watts"].values()), rel=0.25)
        for cluster, seen in truth["clusters"].items()
        for vm in seen["vms"]
    }
    assert len(told) == 6


async def test_containers_have_their_part_of_the_devices_power(program: Program, truth: dict[str, Any]) -> None:
    rows = await everything(program, "/infrastructure/containers")
    watts: dict[tuple[str, ...], float] = defaultdict(float)
    for cluster, its in truth["clusters"].items():
        for device in its["accelerators"].values():
            for holder in device["holders"]:
                key = (cluster, holder["namespace"], holder["pod"], holder["container"])
                watts[key] += device["power_watts"] * holder["share"]
    told = {
        (r["cluster"], r["namespace"], r["pod"], r["container"]): r["accelerator_power_watts"]
        for r in rows
        if r["accelerator_power_watts"] is not None
    }
    assert told == {key: pytest.approx(value, rel=1e-6) for key, value in watts.items()}


async def test_the_system_counts_what_is_there(program: Program, truth: dict[str, Any]) -> None:
    info = (await program.get("/system/info")).data
    kinds = [d["kind"] for c in truth["clusters"].values() for d in c["accelerators"].values()]
    assert (info["total_gpus"], info["total_npus"]) == (kinds.count("gpu"), kinds.count("npu"))
    assert info["total_nodes"] == sum(len(c["nodes"]) for c in truth["clusters"].values())
    told = {row["name"]: row for row in (await program.get("/system/capabilities")).data}
    assert told["multi_cluster"]["available"]
    assert told["npus"]["detail"] == "7 furiosa, 6 rebellions"
    assert not told["tpus"]["available"]
    assert told["vms"]["available"]
    assert (await program.get("/system/health")).data["status"] == "healthy"


async def test_containers_have_the_ids_that_kubernetes_tells(program: Program) -> None:
    rows = await everything(program, "/infrastructure/containers")
    assert all(row["container_id"].startswith("containerd://") for row in rows)
    for row in rows[:3]:
        bare = row["container_id"].removeprefix("containerd://")
        by_name = f"{row['namespace']}/{row['pod']}/{row['container']}"
        for name in (row["container_id"], bare, by_name):
            where = f"?cluster={row['cluster']}"
            assert (await program.get(f"/infrastructure/containers/{name}{where}")).data == row
            assert (await program.get(f"/infrastructure/containers/{name}/metrics{where}")).data == row
    assert not (await program.get("/infrastructure/containers")).json["metadata"]["missing"]


async def test_nodes_have_the_role_and_state_that_kubernetes_and_the_ledger_tell(program: Program) -> None:
    rows = await everything(program, "/infrastructure/nodes")
    assert {(row["state"], row["ready"]) for row in rows} == {("measured", True)}
    controls = await everything(program, "/infrastructure/nodes?role=master")
    assert controls == [row for row in rows if row["role"] == "control-plane"] != []
    workers = await everything(program, "/infrastructure/nodes?role=worker")
    assert len(workers) + len(controls) == len(rows)
    assert await everything(program, "/infrastructure/nodes?status=ready") == rows
    assert await everything(program, "/infrastructure/nodes?status=not_ready") == []


async def test_workloads_are_divided_by_what_created_them(program: Program) -> None:
    parts = (await program.get("/monitoring/power/breakdown?breakdown_by=workload_type")).data["breakdown"]
    kinds = {part["name"] for part in parts if part["kind"] == "workload_type"}
    assert kinds == {
        row["owner_kind"] for row in await everything(program, "/infrastructure/pods") if row["power_watts"]
    }
    assert "StatefulSet" in kinds


async def test_cores_of_an_npu_are_told_where_its_exporter_tells_them_apart(program: Program) -> None:
    npus = await everything(program, "/accelerators/npus")
    for vendor, cores in (("furiosa", [str(core) for core in range(8)]), ("rebellions", [])):
        device = next(npu for npu in npus if npu["vendor"] == vendor)
        reply = await program.get(f"/accelerators/npus/{device['uuid']}/cores")
        assert [each["core"] for each in reply.data["cores"]] == cores
        busy = [each["utilization_percent"] for each in reply.data["cores"]]
        if busy:
            assert math.fsum(busy) / len(busy) == exactly(reply.data["utilization_percent"])
        assert ("cores" in str(reply.json["metadata"])) == (not cores)
