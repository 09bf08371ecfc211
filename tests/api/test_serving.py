"""What surrounds every answer: ETags, compression, HEAD, what is missing, and one drawing for many askers."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kcloud_exporter.api import routes
from kcloud_exporter.api.routes import Answers, ApiDeps
from kcloud_exporter.api.serving import all_routes
from kcloud_exporter.model import Keys, Snapshot, Table
from tests.api.program import Program, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
POWER = "/monitoring/power"


async def test_an_etag_saves_the_answer_until_the_next_snapshot(program: Program) -> None:
    first = await program.get(f"{POWER}?cluster=seoul-a")
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "private, no-cache"
    for header in (tag, f'"other", {tag}', tag.removeprefix("W/")):
        again = await program.get(f"{POWER}?cluster=seoul-a", If_None_Match=header)
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert (await program.get(f"{POWER}?cluster=seoul-b", If_None_Match=tag)).status == 200
    assert (await program.get(POWER, If_None_Match=tag)).status == 200
    assert (await program.get(f"{POWER}?cluster=nope", If_None_Match=tag)).status == 404
    await program.runtime.tick()
    later = await program.get(f"{POWER}?cluster=seoul-a", If_None_Match=tag)
    assert later.status == 200
    assert later.json["timestamp"] > first.json["timestamp"]
    state = await program.get("/system/health")
    assert "ETag" not in state.headers
    assert state.headers["Cache-Control"] == "no-store"


async def test_the_order_and_spelling_of_parameters_make_no_other_answer(program: Program) -> None:
    one = await program.get("/accelerators/gpus?limit=5&include_metrics=true&cluster=seoul-a")
    same = await program.get("/accelerators/gpus?cluster=seoul-a&limit=05&include_metrics=1&offset=0")
    assert one.headers["ETag"] == same.headers["ETag"]
    assert one.body == same.body


async def test_answers_are_compressed_for_those_who_take_it_and_head_has_no_body(program: Program) -> None:
    plain = await program.get("/accelerators/gpus", Accept_Encoding="identity")
    assert "Content-Encoding" not in plain.headers
    async with program.session.get(f"http://127.0.0.1:{program.port}/api/v1/accelerators/gpus") as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert int(response.headers["Content-Length"]) < len(plain.body)
        assert await response.read() == plain.body
    small = await program.get("/system/version", Accept_Encoding="gzip")
    assert "Content-Encoding" not in small.headers, "too small to be worth it"
    head = await program.get("/accelerators/gpus", "HEAD", Accept_Encoding="identity")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(plain.body))
    assert head.headers["ETag"] == plain.headers["ETag"]


async def test_before_the_first_snapshot_there_is_no_answer_and_no_zero() -> None:
    async with running(ticks=0) as program:
        for path in (POWER, "/system/health", "/system/metrics", "/monitoring/timeseries/power"):
            reply = await program.get(path)
            assert reply.status == 503
            assert "no snapshot yet" in reply.json["error"]["message"]


async def test_a_source_that_fails_is_told_and_its_watts_are_not_zero() -> None:
    async with running() as program:
        before = (await program.get(f"{POWER}?cluster=seoul-a")).data["total_power_watts"]
        for exporter in program.fleet.exporters:
            if (exporter.cluster, exporter.vendor) == ("seoul-a", "dcgm"):
                await _fault(program, f"{exporter.cluster}/{exporter.node}/dcgm", "http500")
        await program.runtime.tick()
        carried = (await program.get(f"{POWER}?cluster=seoul-a")).json
        assert carried["data"]["total_power_watts"] == pytest.approx(before, rel=1e-6), "last good values stand a while"
        told = carried["metadata"]
        assert told["complete"] is False
        assert {lack["kind"] for lack in told["missing"]} == {"source"}
        assert all(lack["name"].startswith("dcgm@") and lack["cluster"] == "seoul-a" for lack in told["missing"])
        other = (await program.get(f"{POWER}?cluster=seoul-b")).json["metadata"]
        assert (other["complete"], other["missing"]) == (True, [])
        assert (await program.get(POWER)).json["metadata"]["complete"] is False
        rows = {row["cluster"]: row["status"] for row in (await program.get("/clusters")).data}
        assert rows == {"seoul-a": "degraded", "seoul-b": "healthy", "busan-a": "healthy"}
        assert (await program.get("/system/health")).data["status"] == "degraded"
        down = [s for s in (await program.get("/system/status")).data["sources"] if s["status"] == "down"]
        assert len(down) == told["missing_total"]


async def _fault(program: Program, match: str, kind: str) -> None:
    url = f"{program.fleet.control_url}/fault"
    async with program.session.post(url, json={"match": match, "fault": kind}) as response:
        assert response.status == 200, await response.text()


def _changed(snapshot: Snapshot, cluster: str, family: str, values: Any) -> Snapshot:
    """The snapshot with other values of one family; None takes the family away."""
    old = snapshot.clusters[cluster]
    tables = dict(old.tables)
    if values is None:
        del tables[family]
    else:
        tables[family] = Table(tables[family].keys, values)
    return replace(snapshot, clusters={**snapshot.clusters, cluster: replace(old, tables=tables)})


async def test_a_device_without_power_is_null_and_the_cluster_without_any_is_told(program: Program) -> None:
    snapshot = program.runtime.store.current
    assert snapshot is not None
    table = snapshot.clusters["seoul-a"].tables["kcloud_accelerator_power_watts"]
    values = table.values.copy()
    values[0] = np.nan
    program.runtime.store.publish(_changed(snapshot, "seoul-a", "kcloud_accelerator_power_watts", values))
    lost = table.keys.rows[0][2]
    row = next(r for r in (await program.get("/accelerators/gpus")).data if r["uuid"] == lost)
    assert row["power_watts"] is None
    assert row["utilization_percent"] is not None
    told = (await program.get(f"/accelerators/gpus/{lost}")).data
    assert all(holder["power_watts"] is None for holder in told["holders"])

    program.runtime.store.publish(_changed(snapshot, "seoul-a", "kcloud_cluster_power_watts", None))
    power = await program.get(f"{POWER}?cluster=seoul-a")
    assert power.data["total_power_watts"] is None
    assert power.json["metadata"]["missing"][0] == {
        "kind": "cluster",
        "name": "seoul-a",
        "cluster": "seoul-a",
        "reason": "nothing is known of its power",
    }
    await program.runtime.tick()


async def test_families_of_virtual_machines_are_read_when_a_snapshot_has_them(program: Program) -> None:
    snapshot = program.runtime.store.current
    assert snapshot is not None
    keys = Keys([("seoul-a", "gpu-2", "research", "vm-1", c) for c in ("cpu", "memory")])
    old = snapshot.clusters["seoul-a"]
    tables = {**old.tables, "kcloud_vm_power_watts": Table(keys, np.array([30.0, 12.0]))}
    clusters = {**snapshot.clusters, "seoul-a": replace(old, tables=tables)}
    program.runtime.store.publish(replace(snapshot, clusters=clusters))
    (row,) = (await program.get("/infrastructure/vms?project=research")).data
    assert (row["vm"], row["power_watts"], row["cpu_power_watts"]) == ("vm-1", 42.0, 30.0)
    assert row["energy_joules"] is None
    assert (await program.get("/infrastructure/vms/vm-1/power")).data["power_watts"] == 42.0
    summary = (await program.get("/infrastructure/vms/summary?cluster=seoul-a")).data
    assert summary["power_watts_by_project"] == {"research": 42.0}
    assert (await program.get("/infrastructure/vms?hypervisor=gpu-1&cluster=seoul-a")).data == []
    parts = (await program.get("/clusters/seoul-a/power?breakdown_by=namespace")).data["breakdown"]
    assert {part["name"]: part["power_watts"] for part in parts if part["kind"] == "vms"} == {"vms": 42.0}
    await program.runtime.tick()


async def test_many_askers_of_one_question_cost_one_drawing(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_SMALL", 0)  # as with a large fleet: drawn in a thread
    drawn: list[str] = []
    route = next(route for route in all_routes() if route.path == "/accelerators/gpus")
    draw = route.draw
    assert draw is not None

    def counted(view: Any, values: Any) -> Any:
        drawn.append(route.path)
        return draw(view, values)

    deps = ApiDeps(lambda: program.runtime.store.current, program.runtime.status, lambda: None, program.runtime.page)
    answers = Answers(deps)
    values = {p.name: p.default for p in route.parameters}
    asked = [answers.body(replace(route, draw=counted), values, "same", packed=False) for _ in range(50)]
    bodies = await asyncio.gather(*asked)
    assert drawn == ["/accelerators/gpus"]
    assert len(set(bodies)) == 1
    packed = await answers.body(replace(route, draw=counted), values, "same", packed=True)
    assert gzip.decompress(packed) == bodies[0]


async def test_a_stale_snapshot_says_so(program: Program) -> None:
    fresh = await program.get(POWER)
    snapshot = program.runtime.store.current
    assert snapshot is not None
    program.runtime.store.publish(replace(snapshot, timestamp=snapshot.timestamp - 3600))
    stale = await program.get(POWER, If_None_Match=fresh.headers["ETag"])
    assert stale.json["metadata"]["complete"] is False
    assert stale.json["metadata"]["missing"][0]["kind"] == "snapshot"
    assert (await program.get("/system/health")).data["status"] == "unhealthy"
    await program.runtime.tick()


async def test_more_questions_than_threads_can_answer_are_refused_and_not_piled_up(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "_SMALL", 0)
    monkeypatch.setattr(routes, "_WAITING", 3)
    asked = [program.get(f"/accelerators/all?limit={limit}") for limit in range(1, 60)]
    replies = await asyncio.gather(*asked)
    statuses = [reply.status for reply in replies]
    assert statuses.count(200) >= 3
    assert set(statuses) <= {200, 503}
    for reply in replies:
        if reply.status == 503:
            assert reply.headers["Retry-After"] == "5"
    assert (await program.get("/accelerators/all?limit=60")).status == 200


async def test_nodes_that_are_not_wholly_measured_are_named(program: Program) -> None:
    snapshot = program.runtime.store.current
    assert snapshot is not None
    old = snapshot.clusters["seoul-a"]
    table = old.facts["node_state"]
    rows = [(*row[:2], "partial" if at == 0 else row[2]) for at, row in enumerate(table.keys.rows)]
    facts = {**old.facts, "node_state": Table(Keys(rows), table.values)}
    clusters = {**snapshot.clusters, "seoul-a": replace(old, facts=facts)}
    program.runtime.store.publish(replace(snapshot, clusters=clusters))
    (lack,) = (await program.get(f"{POWER}?cluster=seoul-a")).json["metadata"]["missing"]
    assert (lack["kind"], lack["name"], lack["cluster"]) == ("node", rows[0][1], "seoul-a")
    (row,) = (await program.get("/infrastructure/nodes?status=partial")).data
    assert row["node"] == rows[0][1]
    await program.runtime.tick()
