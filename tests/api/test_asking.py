"""What a client may say: filters filter, pages page, and what means nothing is told by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from kcloud_exporter.api.parameters import parse_moment
from kcloud_exporter.api.serving import all_routes
from tests.api.paths import names, question
from tests.api.program import Program

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROUTES = all_routes()
LISTS = (
    "/accelerators/all",
    "/accelerators/gpus",
    "/infrastructure/nodes",
    "/infrastructure/pods",
    "/infrastructure/containers",
    "/hardware/ipmi/sensors",
    "/hardware/ipmi/power",
    "/clusters",
)


def refused(reply: Any, status: int, *words: str) -> None:
    assert reply.status == status, reply.body
    assert set(reply.json) == {"error", "timestamp"}
    assert set(reply.json["error"]) == {"code", "message", "details"}
    for word in words:
        assert word in reply.json["error"]["message"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/monitoring/power?clusters=a", ["'clusters'", "cluster"]),
        ("/clusters/seoul-a?limit=1", ["'limit'", "none"]),
        ("/monitoring/power?resource_types=gpus,nope", ["resource_types", "'gpus,nope'", "npus"]),
        ("/monitoring/power/breakdown?breakdown_by=colour", ["breakdown_by", "'colour'", "namespace"]),
        ("/accelerators/gpus?status=on", ["status", "'on'", "idle"]),
        ("/accelerators/gpus?vendor=acme", ["vendor", "'acme'", "nvidia"]),
        ("/accelerators/gpus?limit=0", ["limit", "'0'", "from 1 to 10000"]),
        ("/accelerators/gpus?limit=%D9%A1", ["limit"]),
        ("/accelerators/gpus?offset=-1", ["offset"]),
        ("/accelerators/gpus?include_metrics=maybe", ["include_metrics", "true"]),
        ("/accelerators/gpus?cluster=seoul-a&cluster=seoul-b", ["cluster", "more than once"]),
        ("/accelerators/gpus?cluster=", ["cluster"]),
        ("/infrastructure/pods?min_power=nan", ["min_power", "number"]),
        ("/infrastructure/pods?min_power=9&max_power=1", ["min_power", "max_power"]),
        ("/infrastructure/pods?label_selector=app%3Dx", ["label_selector", "not read"]),
        ("/hardware/ipmi/sensors?sensor_type=smell", ["sensor_type", "temperature"]),
        ("/monitoring/timeseries/metrics", ["metric_name"]),
        ("/monitoring/timeseries/metrics?metric_name=up%7Bx%3D~%22.*%22%7D", ["metric_name", "power_watts"]),
        ("/monitoring/timeseries/power?period=bogus", ["period", "'bogus'"]),
        ("/monitoring/timeseries/power?period=1m", ["period", "30d"]),
        ("/monitoring/timeseries/power?step=1h%5D)*0", ["step"]),
        ("/monitoring/timeseries/power?start_time=2026-01-01T00:00:00", ["start_time", "zone"]),
        ("/system/health?x=1", ["'x'"]),
        ("/system/metrics?x=1", ["'x'"]),
        ("/openapi.json?x=1", ["'x'"]),
    ],
)
async def test_what_means_nothing_is_400_and_named(program: Program, path: str, words: list[str]) -> None:
    refused(await program.get(path), 400, *words)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/monitoring/power?cluster=nope", ["cluster 'nope'", "seoul-a"]),
        ("/accelerators/gpus?cluster=nope", ["cluster 'nope'"]),
        ("/clusters/nope", ["cluster 'nope'"]),
        ("/clusters/nope/power", ["cluster 'nope'"]),
        ("/clusters/seoul-a/topology?namespace=nope", ["namespace 'nope'", "ml-team"]),
        ("/accelerators/gpus?node=nope", ["node 'nope'", "gpu-2"]),
        ("/accelerators/gpus?cluster=seoul-a&node=npu-1", ["node 'npu-1'", "seoul-a"]),
        ("/infrastructure/nodes/nope", ["node 'nope'"]),
        ("/infrastructure/nodes/.*/metrics", ["node '.*'"]),
        ("/infrastructure/pods?namespace=nope", ["namespace 'nope'"]),
        ("/infrastructure/pods/ml-team/nope", ["pod 'ml-team/nope'"]),
        ("/infrastructure/pods/nope/nope/power", ["namespace 'nope'"]),
        ("/infrastructure/containers/containerd://nope", ["container 'containerd://nope'"]),
        ("/infrastructure/vms/nope", ["virtual machine 'nope'"]),
        ("/infrastructure/vms?project=nope", ["project 'nope'"]),
        ("/accelerators/gpus/GPU-nope", ["gpu 'GPU-nope'"]),
        ("/accelerators/npus/nope/cores", ["npu 'nope'"]),
        ("/hardware/ipmi/sensors/nope", ["node 'nope'"]),
    ],
)
async def test_what_is_not_there_is_404_and_named(program: Program, path: str, words: list[str]) -> None:
    refused(await program.get(path), 404, *words)


async def test_a_page_that_does_not_exist_and_a_method_that_does_not_do(program: Program) -> None:
    refused(await program.get("/nothing/here"), 404)
    refused(await program.get("/clusters", "DELETE"), 405)


async def test_filters_filter(program: Program) -> None:
    everything = (await program.get("/accelerators/all")).data
    for asked, mine in (
        ("cluster=seoul-b", lambda row: row["cluster"] == "seoul-b"),
        ("cluster=seoul-a&node=gpu-1", lambda row: (row["cluster"], row["node"]) == ("seoul-a", "gpu-1")),
        ("vendor=furiosa", lambda row: row["vendor"] == "furiosa"),
        ("status=idle", lambda row: row["status"] == "idle"),
        ("status=error", lambda row: row["status"] == "error"),
        ("vendor=amd", lambda _: False),
    ):
        assert (await program.get(f"/accelerators/all?{asked}")).data == [row for row in everything if mine(row)]
    pods = (await program.get("/infrastructure/pods")).data
    for asked, mine in (
        ("namespace=serving&cluster=seoul-a", lambda r: (r["cluster"], r["namespace"]) == ("seoul-a", "serving")),
        ("min_power=100", lambda r: (r["power_watts"] or 0) >= 100),
        ("max_power=10&node=gpu-2", lambda r: r["node"] == "gpu-2" and (r["power_watts"] or 99) <= 10),
    ):
        assert (await program.get(f"/infrastructure/pods?{asked}")).data == [row for row in pods if mine(row)]
    fans = (await program.get("/hardware/ipmi/sensors?sensor_type=fan")).data
    assert fans == (await program.get("/hardware/ipmi/fans")).data
    assert all(row["fan_speed_rpm"] is not None for row in fans)


async def test_a_device_is_found_by_its_uuid_or_by_its_number_on_a_node(program: Program) -> None:
    row = (await program.get("/accelerators/gpus?cluster=seoul-a&node=gpu-2")).data[1]
    by_uuid = await program.get(f"/accelerators/gpus/{row['uuid']}")
    for name in ("1", "nvidia1"):
        by_number = await program.get(f"/accelerators/gpus/{name}?cluster=seoul-a&node=gpu-2")
        assert by_number.data == by_uuid.data
    assert by_uuid.json["cluster"] == "seoul-a"
    refused(await program.get("/accelerators/gpus/nvidia1"), 400, "cluster and node")
    refused(await program.get(f"/accelerators/npus/{row['uuid']}"), 404)


async def test_a_name_that_several_clusters_have_must_be_said_whole(program: Program) -> None:
    refused(await program.get("/infrastructure/nodes/gpu-1"), 400, "seoul-a/gpu-1", "busan-a/gpu-1")
    assert (await program.get("/infrastructure/nodes/gpu-1?cluster=busan-a")).data["cluster"] == "busan-a"


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_pages_show_every_row_exactly_once(program: Program, path: str, limit: int) -> None:
    whole = await program.get(path)
    found: list[Any] = []
    offset: int | None = 0
    while offset is not None:
        reply = await program.get(f"{path}?limit={limit}&offset={offset}")
        told = reply.json["metadata"]
        assert (told["total"], told["count"]) == (len(whole.data), len(reply.data))
        assert told["count"] <= told["limit"] == limit
        found += reply.data
        offset = told.get("next_offset")
    assert found == whole.data
    past = await program.get(f"{path}?offset=100000")
    assert (past.data, "next_offset" in past.json["metadata"]) == ([], False)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1764000000", 1764000000),
        ("1764000000.5", 1764000000.5),
        ("2025-11-24T16:00:00Z", 1764000000),
        ("2025-11-25T01:00:00+09:00", 1764000000),
        ("2025-11-25T01:00:00 09:00", 1764000000),
        ("2025-11-25t01:00:00.250+09:00", 1764000000.25),
    ],
)
async def test_times_are_read_with_their_zone(written: str, seconds: float) -> None:
    assert parse_moment(written) == seconds


SAID = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["seoul-a", "gpu-1", "1", "0", "true", "1h", "1e999", "-0", "NaN", "\x00", "../..", "a" * 600]),
    st.sampled_from(['x"}[5m])) or vector(1)', "9" * 400, "%00", "1w", "2026-02-30T00:00:00Z", "1764000000"]),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    route=st.sampled_from(ROUTES),
    said=st.dictionaries(st.integers(0, 12), SAID, max_size=4),
    other=st.dictionaries(st.text(max_size=10), SAID, max_size=1),
    part=SAID,
)
@example(route=ROUTES[0], said={}, other={"\ud800": "x"}, part="x")
async def test_nothing_that_a_client_says_is_a_defect(
    program: Program, route: Any, said: dict[int, str], other: dict[str, str], part: str
) -> None:
    parts = dict.fromkeys((p.name for p in route.parameters if p.path), part.replace("/", "") or "x")
    path = route.path
    for name, value in parts.items():
        path = path.replace(f"{{{name}}}", URL.build(path="/" + _sendable(value)).raw_path[1:] or "x")
    asked = [p.name for p in route.parameters if not p.path]
    query = {_sendable(name): _sendable(value) for name, value in other.items()}
    query |= {asked[at % len(asked)]: _sendable(value) for at, value in said.items() if asked}
    tail = URL.build(path="/", query=query).raw_query_string
    reply = await program.get(f"{path}?{tail}" if tail else path)
    assert reply.status in (200, 400, 404, 503), reply.body
    if reply.status == 503:
        assert "timeseries" in route.path or "period" in tail
    assert reply.json["timestamp"]


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


async def test_every_route_refuses_a_parameter_that_it_does_not_know(program: Program) -> None:
    parts = await names(program)
    for route in ROUTES:
        path = question(route, parts)
        refused(await program.get(path + ("&" if "?" in path else "?") + "nonsense=1"), 400, "'nonsense'")
