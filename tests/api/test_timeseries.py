"""The past: what history holds is told with its times, sums and gaps; a wrong question is refused by name."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kcloud_exporter import catalogue
from kcloud_exporter.api.timeseries import METRICS
from kcloud_exporter.history.kept import resolution
from kcloud_exporter.history.series import MAX_POINTS
from tests.api.memory import Memory
from tests.api.program import Program, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
POWER: dict[tuple[str, ...], float] = {
    ("seoul-a", "cpu"): 100.0,
    ("seoul-a", "gpu"): 900.0,
    ("seoul-b", "cpu"): 50.0,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def program() -> AsyncIterator[Program]:
    async with running() as it:
        devices = (await it.get("/accelerators/all")).data
        keys = [(d["cluster"], d["node"], d["uuid"]) for d in devices]
        named = [(*k, d["kind"], d["vendor"], d["model"]) for k, d in zip(keys, devices, strict=True)]
        it.history = Memory(
            {
                catalogue.CLUSTER_POWER.name: POWER,
                catalogue.CLUSTER_ENERGY.name: POWER,
                catalogue.NODE_POWER.name: {("seoul-a", "gpu-1", "cpu"): 60.0, ("seoul-a", "gpu-1", "gpu"): 500.0},
                catalogue.NODE_ENERGY.name: {("seoul-a", "gpu-1", "cpu"): 60.0, ("seoul-a", "gpu-1", "gpu"): 500.0},
                catalogue.ACCELERATOR_POWER.name: dict.fromkeys(named, 200.0),
                catalogue.ACCELERATOR_ENERGY.name: dict.fromkeys(named, 200.0),
                catalogue.ACCELERATOR_UTILIZATION.name: dict.fromkeys(keys, 0.5),
                catalogue.ACCELERATOR_TEMPERATURE.name: {(*k, "gpu"): 61.0 for k in keys},
                catalogue.HARDWARE_TEMPERATURE.name: {("seoul-a", "gpu-1", "Inlet Temp"): 24.0},
                catalogue.SITE_PUE.name: {("icn1", "pue2", "measured"): 1.2, ("pus1", "pue2", "measured"): 1.3},
            }
        )
        yield it


async def test_power_of_everything_over_a_period(program: Program) -> None:
    told = (await program.get("/monitoring/timeseries/power?period=1h&step=1m")).data
    assert (told["metric"], told["unit"], told["step_seconds"]) == ("power_watts", "watts", 60.0)
    assert len(told["timestamps"]) == 60
    assert told["timestamps"] == sorted(told["timestamps"])
    (series,) = told["series"]
    assert (series["labels"], set(series["values"])) == ({}, {1050.0})
    assert (series["average"], series["latest"], series["coverage_ratio"]) == (1050.0, 1050.0, 1.0)
    assert series["energy_joules"] == pytest.approx(1050.0 * 3600, rel=1e-6)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("breakdown_by=cluster", {("seoul-a",): 1000.0, ("seoul-b",): 50.0}),
        ("breakdown_by=resource_type", {("cpu",): 150.0, ("gpu",): 900.0}),
        ("breakdown_by=cluster&cluster=seoul-b", {("seoul-b",): 50.0}),
        ("breakdown_by=node", {("seoul-a", "gpu-1"): 560.0}),
        ("node=gpu-1", {(): 560.0}),
        ("breakdown_by=vendor&cluster=seoul-a", {("nvidia",): 2000.0}),
    ],
)
async def test_power_divided(program: Program, asked: str, expected: dict[tuple[str, ...], float]) -> None:
    told = (await program.get(f"/monitoring/timeseries/power?period=10m&{asked}")).data
    assert {tuple(s["labels"].values()): s["latest"] for s in told["series"]} == expected
    for series in told["series"]:
        assert series["energy_joules"] == pytest.approx(series["latest"] * 600, rel=1e-6)


async def test_efficiency_over_time_is_that_of_the_clusters_sites(program: Program) -> None:
    told = (await program.get("/monitoring/timeseries/power?include_efficiency=true&cluster=busan-a")).data
    (pue,) = told["efficiency"]
    assert pue["labels"] == {"site": "pus1", "category": "pue2", "method": "measured"}
    assert set(pue["values"]) == {1.3}
    assert told["series"] == [], "history knows no power of it"


async def test_a_window_with_zones_and_its_aliases(program: Program) -> None:
    plain = await program.get("/monitoring/timeseries/power?start_time=1764000000&end_time=1764003600&step=10m")
    zoned = await program.get(
        "/monitoring/timeseries/power?start=2025-11-25T01:00:00%2B09:00&end=2025-11-24T17:00:00Z&step=10m"
    )
    assert plain.data == zoned.data
    assert plain.data["timestamps"] == [1764000000 + 600 * n for n in range(1, 7)]
    assert plain.data["start_time"] == "2025-11-24T16:00:00.000Z"


async def test_a_gap_is_null_and_told_as_coverage(program: Program) -> None:
    assert isinstance(program.history, Memory)
    now = time.time()
    program.history.since = now - 1800
    told = (await program.get("/monitoring/timeseries/power?period=1h&step=5m")).data
    program.history.since = 0.0
    (series,) = told["series"]
    assert series["values"].count(None) in (5, 6)
    assert 0.5 <= series["coverage_ratio"] < 0.6
    assert series["average"] == 1050.0, "what is not known is no zero in a mean"
    assert series["energy_joules"] == pytest.approx(1050.0 * 1800, rel=0.01)


async def test_metrics_of_one_kind_only(program: Program) -> None:
    path = "/monitoring/timeseries/metrics?metric_name=utilization_percent&period=10m&step=5m"
    everything = (await program.get(f"{path}&resource_type=accelerators")).json
    gpus = (await program.get(f"{path}&resource_type=gpus")).data
    npus = (await program.get(f"{path}&resource_type=npus&limit=5")).json
    assert everything["metadata"]["total"] == 28
    assert len(gpus["series"]) == 15
    assert {value for series in gpus["series"] for value in series["values"]} == {50.0}
    assert (npus["metadata"]["total"], len(npus["data"]["series"]), npus["metadata"]["next_offset"]) == (13, 5, 5)


async def test_temperatures(program: Program) -> None:
    path = "/monitoring/timeseries/temperature?period=10m&step=5m"
    assert len((await program.get(path)).data["series"]) == 28
    (series,) = (await program.get(f"{path}&resource_type=nodes&cluster=seoul-a")).data["series"]
    assert series["labels"] == {"cluster": "seoul-a", "node": "gpu-1", "sensor": "Inlet Temp"}
    assert series["latest"] == 24.0


async def test_statistics_of_one_thing_over_a_period(program: Program) -> None:
    uuid = (await program.get("/accelerators/gpus?limit=1")).data[0]["uuid"]
    without = (await program.get(f"/accelerators/gpus/{uuid}/power")).data
    assert without["statistics"] is None
    told = (await program.get(f"/accelerators/gpus/{uuid}/power?period=1h")).data["statistics"]
    assert (told["average_power_watts"], told["max_power_watts"], told["coverage_ratio"]) == (200.0, 200.0, 1.0)
    assert told["energy_joules"] == pytest.approx(200.0 * 3600, rel=1e-6)
    node = (await program.get("/infrastructure/nodes/gpu-1/power?period=30m&cluster=seoul-a")).data["statistics"]
    assert node["average_power_watts"] == 560.0, "the sum of its components"
    assert node["energy_joules"] == pytest.approx(560.0 * 1800, rel=1e-6)


@pytest.mark.parametrize(
    ("asked", "status", "word"),
    [
        ("period=1h&start_time=1764000000", 400, "not both"),
        ("end_time=1764000000", 400, "start_time or period"),
        ("start_time=1764003600&end_time=1764000000", 400, "before"),
        ("start_time=1764000000&start=1764000000", 400, "the same as start_time"),
        ("period=3650d&step=1s", 422, f"at most {MAX_POINTS}"),
        ("cluster=nope", 404, "'nope'"),
        ("namespace=a&node=b", 400, "not both"),
        ("breakdown_by=cluster&node=gpu-1", 400, "not kept by node"),
    ],
)
async def test_a_wrong_question_is_refused_before_any_work(
    program: Program, asked: str, status: int, word: str
) -> None:
    reply = await program.get(f"/monitoring/timeseries/power?{asked}")
    assert reply.status == status, reply.body
    assert word in reply.json["error"]["message"]


async def test_a_metric_that_a_resource_type_does_not_have(program: Program) -> None:
    reply = await program.get("/monitoring/timeseries/metrics?metric_name=pue_ratio&resource_type=gpus")
    assert reply.status == 400
    assert "temperature_celsius" in reply.json["error"]["message"]


async def test_only_label_equalities_from_closed_sets_reach_history(program: Program) -> None:
    assert isinstance(program.history, Memory)
    program.history.asked.clear()
    await program.get('/monitoring/timeseries/power?node=a"%7D%5B5m%5D))%20or%20up&period=1h')
    ((family, matchers, *_),) = program.history.asked
    assert family == catalogue.NODE_POWER.name
    assert matchers == {"node": 'a"}[5m])) or up'}, "a value to compare with, never a part of a query"


async def test_everything_that_can_be_asked_of_the_past_is_kept() -> None:
    families = [metric.family for metrics in METRICS.values() for metric in metrics.values()]
    assert [family.name for family in families if resolution(family) is None] == []
