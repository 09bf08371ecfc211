"""The walk: every path of the original with every one of its parameters, and the numbers of its answer are the truth.

The truth is that of the simulated fleet, or what its exporters say on their own pages. Numbers of `seoul-a` are exact:
all its meters tell watts, and the fleet stands still.
"""

from __future__ import annotations

import asyncio
import io
import json
import math
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
import pytest_asyncio
from pypdf import PdfReader

from kcloud_exporter.fleet import Fleet
from kcloud_exporter.runtime import Runtime
from tests.api.original import ORIGINAL, Old
from tests.api.program import whole_program
from tests.real.page import Page, parse_page, select

pytestmark = pytest.mark.asyncio(loop_scope="module")
HERE = "seoul-a"
API = "/api/v1"


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-6, abs=1e-6)


def whole(power: dict[str, float]) -> float:
    return math.fsum(power.values())


class Walk:
    """A client of the running program that notes what it has asked with, and the truth to compare with."""

    def __init__(self, session: aiohttp.ClientSession, base: str, fleet: Fleet, runtime: Runtime) -> None:
        self.session, self.base, self.runtime = session, base, runtime
        self.truth = fleet.truth()
        self.fleet, self.asked = fleet, defaultdict[str, set[str]](set)
        self.path = ""

    @property
    def here(self) -> dict[str, Any]:
        """What is true of the cluster."""
        found: dict[str, Any] = self.truth["clusters"][HERE]
        return found

    async def get(self, path: str, /, **query: object) -> Any:
        """The whole answer 200 to a path below /api/v1."""
        self.asked[self.path] |= set(query)
        said = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in query.items()}
        async with self.session.get(f"{self.base}{API}{path}?{urlencode(said)}") as response:
            assert response.status == 200, (path, said, await response.text())
            return await response.json()

    async def data(self, path: str, /, **query: object) -> Any:
        """Its `data`."""
        return (await self.get(path, **query))["data"]

    async def exporters(self, vendor: str, cluster: str = HERE) -> dict[str, Page]:
        """Node → what an exporter there says itself."""
        found = {}
        for each in self.fleet.exporters:
            if (each.vendor, each.cluster) == (vendor, cluster):
                async with self.session.get(each.url) as response:
                    found[each.node] = parse_page(await response.text())
        return found

    def devices(self, kind: str = "gpu", cluster: str | None = HERE) -> dict[str, dict[str, Any]]:
        """uuid → what is true of a device."""
        names = [cluster] if cluster else list(self.truth["clusters"])
        its = [item for name in names for item in self.truth["clusters"][name]["accelerators"].items()]
        return {uuid: told for uuid, told in its if told["kind"] == kind}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def walk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Walk]:
    folder: Path = tmp_path_factory.mktemp("walk")
    async with whole_program(folder, ticks=2, pause=0.5) as (fleet, runtime, port), aiohttp.ClientSession() as session:
        yield Walk(session, f"http://127.0.0.1:{port}", fleet, runtime)


Check = Callable[[Walk], Awaitable[None]]
CHECKS: dict[str, Check] = {}


def of(*paths: str) -> Callable[[Check], Check]:
    """This checks these paths of the original."""

    def note(check: Check) -> Check:
        CHECKS.update(dict.fromkeys(paths, check))
        return check

    return note


def dcgm(page: Page, name: str, uuid: str) -> float | None:
    """The largest value that dcgm-exporter tells of a device; None: it tells none, as of one in MIG mode."""
    return max(select(page, name, UUID=uuid).values(), default=None)


def some(rows: dict[str, Any]) -> tuple[str, Any]:
    return next(iter(rows.items()))


@of("/accelerators/gpus", "/accelerators/npus", "/accelerators/all")
async def check_devices(walk: Walk) -> None:
    kind = walk.path.rsplit("/", 1)[1].removesuffix("s")
    kinds = ("gpu", "npu") if kind == "all" else (kind,)
    cluster = HERE if kind != "npu" else "seoul-b"
    truth = {uuid: told for each in kinds for uuid, told in walk.devices(each, cluster).items()}
    node = some(truth)[1]["node"]
    on_node = {uuid: near(told["power_watts"]) for uuid, told in truth.items() if told["node"] == node}
    for metrics in (True, False):
        rows = await walk.data(walk.path, cluster=cluster, node=node, include_metrics=metrics)
        assert {row["uuid"]: row["power_watts"] for row in rows} == on_node
        assert all(("utilization_percent" in row) is metrics for row in rows)
    if kind == "all":
        return
    vendor = some(truth)[1]["vendor"]
    rows = await walk.data(walk.path, vendor=vendor)
    mine = {uuid for uuid, told in walk.devices(kind, None).items() if told["vendor"] == vendor}
    assert {row["uuid"] for row in rows} == mine
    if kind == "gpu":
        idle = await walk.data(walk.path, status="idle", cluster=HERE)
        use = await walk.exporters("dcgm")
        told = {uuid: dcgm(use[it["node"]], "DCGM_FI_DEV_GPU_UTIL", uuid) for uuid, it in truth.items()}
        assert {row["uuid"] for row in idle if told[row["uuid"]] is not None} == {u for u, v in told.items() if v == 0}


@of("/accelerators/gpus/summary", "/accelerators/npus/summary", "/accelerators/summary")
async def check_summaries(walk: Walk) -> None:
    kinds = {"gpus": ("gpu",), "npus": ("npu",)}.get(walk.path.split("/")[2], ("gpu", "npu"))
    for cluster in walk.truth["clusters"]:
        truth = {uuid: told for kind in kinds for uuid, told in walk.devices(kind, cluster).items()}
        told = await walk.data(walk.path, cluster=cluster)
        assert told["total_count"] == len(truth)
        if truth:
            assert told["total_power_watts"] == near(math.fsum(d["power_watts"] for d in truth.values()))
            node = some(truth)[1]["node"]
            mine = [d["power_watts"] for d in truth.values() if d["node"] == node]
            part = await walk.data(walk.path, cluster=cluster, node=node)
            assert (part["total_count"], part["total_power_watts"]) == (len(mine), near(math.fsum(mine)))


@of(
    "/accelerators/gpus/{gpu_id}",
    "/accelerators/gpus/{gpu_id}/metrics",
    "/accelerators/gpus/{gpu_id}/power",
    "/accelerators/gpus/{gpu_id}/temperature",
)
async def check_gpu(walk: Walk) -> None:
    pages = await walk.exporters("dcgm")
    for uuid, told in walk.devices().items():
        path, page = walk.path.format(gpu_id=uuid), pages[told["node"]]
        last = walk.path.rsplit("/", 1)[1]
        if last == "{gpu_id}":
            row = await walk.data(path, include_metrics=True)
        elif last == "power":
            row = await walk.data(path, node=told["node"], period="10m")
            assert row["statistics"]["average_power_watts"] == near(told["power_watts"])
        else:
            row = await walk.data(path, node=told["node"])
        if last != "temperature":
            assert row["power_watts"] == near(told["power_watts"])
            use = dcgm(page, "DCGM_FI_DEV_GPU_UTIL", uuid)
            assert use is None or row["utilization_percent"] == near(use)
        if last == "metrics":
            mebibytes = dcgm(page, "DCGM_FI_DEV_FB_USED", uuid)
            partitions = any(
                dict(labels).get("GPU_I_ID") for _, labels in select(page, "DCGM_FI_DEV_FB_USED", UUID=uuid)
            )
            assert mebibytes is not None
            assert partitions or row["memory_used_bytes"] == near(mebibytes * 2**20)
        if last in ("metrics", "temperature"):
            hot = {each["name"]: each["value"] for each in row["temperatures"]}
            assert dcgm(page, "DCGM_FI_DEV_GPU_TEMP", uuid) in hot.values()
            assert row["temperature_celsius"] == max(hot.values())


@of("/accelerators/npus/{npu_id}", "/accelerators/npus/{npu_id}/metrics", "/accelerators/npus/{npu_id}/cores")
async def check_npu(walk: Walk) -> None:
    for uuid, told in walk.devices("npu", None).items():
        path = walk.path.format(npu_id=uuid)
        if walk.path.endswith("cores"):
            row = await walk.data(path, node=told["node"])
            assert len(row["cores"]) == (8 if told["vendor"] == "furiosa" else 0)
            assert [each for each in row["cores"] if not 0 <= each["utilization_percent"] <= 100] == []
            continue
        asked = {"node": told["node"]} if walk.path.endswith("metrics") else {"include_metrics": True}
        assert (await walk.data(path, **asked))["power_watts"] == near(told["power_watts"])


@of("/infrastructure/nodes", "/infrastructure/nodes/summary")
async def check_nodes(walk: Walk) -> None:
    nodes = walk.here["nodes"]
    if walk.path.endswith("summary"):
        told = await walk.data(walk.path, cluster=HERE)
        assert told["total_power_watts"] == near(whole(walk.here["power_watts"]))
        assert told["power_watts_by_component"] == {c: near(w) for c, w in walk.here["power_watts"].items()}
        return
    for role, names in (("worker", {"gpu-1", "gpu-2", "mig-1"}), ("control-plane", {"cp-1"})):
        rows = await walk.data(walk.path, cluster=HERE, role=role, status="measured")
        assert {row["node"]: row["power_watts"] for row in rows} == {
            n: near(whole(nodes[n]["power_watts"])) for n in names
        }


@of(
    "/infrastructure/nodes/{node_name}",
    "/infrastructure/nodes/{node_name}/power",
    "/infrastructure/nodes/{node_name}/metrics",
)
async def check_node(walk: Walk) -> None:
    for name, told in walk.here["nodes"].items():
        path = walk.path.format(node_name=name)
        if walk.path.endswith("power"):
            row = await walk.data(path, cluster=HERE, period="10m")
            assert row["statistics"]["average_power_watts"] == near(whole(told["power_watts"]))
        elif walk.path.endswith("metrics"):
            row = await walk.data(path, cluster=HERE)
        else:
            row = await walk.data(path, cluster=HERE, include_metrics=True, include_power=True)
        assert row["power_watts"] == near(whole(told["power_watts"]))
        assert row["unattributed_power_watts"] == near(whole(told["unattributed_watts"]))


def pods(walk: Walk, keep: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[tuple[str, str], Any]:
    return {(pod["namespace"], pod["pod"]): near(whole(pod["power_watts"])) for pod in walk.here["pods"] if keep(pod)}


def by_pod(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    return {(row["namespace"], row["pod"]): row["power_watts"] for row in rows if row["power_watts"] is not None}


@of("/infrastructure/pods", "/infrastructure/pods/summary")
async def check_pods(walk: Walk) -> None:
    if walk.path.endswith("summary"):
        told = await walk.data(walk.path, cluster=HERE, namespace="ml-team")
        assert told["total_power_watts"] == near(whole(walk.here["namespaces"]["ml-team"]))
        return
    rows = await walk.data(walk.path, cluster=HERE, include_metrics=True, include_power=True)
    assert by_pod(rows) == pods(walk)
    rows = await walk.data(walk.path, cluster=HERE, namespace="serving", node="gpu-1")
    assert by_pod(rows) == pods(walk, lambda pod: (pod["namespace"], pod["node"]) == ("serving", "gpu-1"))
    rows = await walk.data(walk.path, cluster=HERE, min_power=5, max_power=700, period="10m")
    assert by_pod(rows) == pods(walk, lambda pod: 5 <= whole(pod["power_watts"]) <= 700)
    # Which labels a pod has is nowhere to be learnt, so that a selector is refused and never silently passed over.
    walk.asked[walk.path].add("label_selector")
    async with walk.session.get(f"{walk.base}{API}{walk.path}?label_selector=app%3Dx") as response:
        assert (response.status, "label_selector" in await response.text()) == (400, True)


@of("/infrastructure/pods/{namespace}/{pod_name}", "/infrastructure/pods/{namespace}/{pod_name}/power")
async def check_pod(walk: Walk) -> None:
    for (namespace, name), watts in pods(walk).items():
        path = walk.path.format(namespace=namespace, pod_name=name)
        if walk.path.endswith("power"):
            row = await walk.data(path, cluster=HERE, period="10m")
            assert row["statistics"]["average_power_watts"] == watts
        else:
            row = await walk.data(path, cluster=HERE, include_metrics=True, include_power=True)
        assert row["power_watts"] == watts


def containers(walk: Walk) -> dict[tuple[str, str, str], float]:
    found: dict[tuple[str, str, str], float] = defaultdict(float)
    for device in walk.here["accelerators"].values():
        for it in device["holders"]:
            found[it["namespace"], it["pod"], it["container"]] += device["power_watts"] * it["share"]
    return found


@of(
    "/infrastructure/containers",
    "/infrastructure/containers/{container_id}",
    "/infrastructure/containers/{container_id}/metrics",
)
async def check_containers(walk: Walk) -> None:
    truth = containers(walk)
    if "{" in walk.path:
        for key, watts in truth.items():
            asked = {} if walk.path.endswith("metrics") else {"include_metrics": True}
            row = await walk.data(walk.path.format(container_id="/".join(key)), cluster=HERE, **asked)
            assert row["accelerator_power_watts"] == near(watts)
        return

    async def told(**asked: object) -> dict[tuple[str, str, str], Any]:
        rows = await walk.data(walk.path, cluster=HERE, **asked)
        watts = {(r["namespace"], r["pod"], r["container"]): r["accelerator_power_watts"] for r in rows}
        return {key: value for key, value in watts.items() if value is not None}

    assert await told(include_metrics=True, include_terminated=False) == {k: near(w) for k, w in truth.items()}
    (namespace, pod, _), _ = max(truth.items(), key=lambda item: item[1])
    mine = {k: near(w) for k, w in truth.items() if k[:2] == (namespace, pod)}
    node = next(it["node"] for it in walk.here["pods"] if (it["namespace"], it["pod"]) == (namespace, pod))
    assert await told(namespace=namespace, pod=pod, node=node) == mine
    assert await told(min_power=100, max_power=400) == {k: near(w) for k, w in truth.items() if 100 <= w <= 400}


@of(*(f"/infrastructure/vms{tail}" for tail in ("", "/summary", "/{vm_id}", "/{vm_id}/power", "/{vm_id}/metrics")))
async def check_machines(walk: Walk) -> None:
    (cluster, machines), *_ = [(name, seen["vms"]) for name, seen in walk.truth["clusters"].items() if seen["vms"]]
    truth = {vm["vm"]: pytest.approx(whole(vm["power_watts"]), rel=0.25) for vm in machines}
    first = machines[0]
    same = {vm["vm"]: truth[vm["vm"]] for vm in machines if vm["project"] == first["project"]}
    if "{" in walk.path:
        for name, watts in truth.items():
            asked = {"period": "10m"} if walk.path.endswith("power") else {}
            row = await walk.data(walk.path.format(vm_id=name), cluster=cluster, **asked)
            assert row["power_watts"] == watts
    elif walk.path.endswith("summary"):
        told = await walk.data(walk.path, cluster=cluster, project=first["project"])
        exact = [whole(vm["power_watts"]) for vm in machines if vm["vm"] in same]
        assert (told["total_count"], told["total_power_watts"]) == (
            len(same),
            pytest.approx(math.fsum(exact), rel=0.25),
        )
    else:
        rows = await walk.data(walk.path, cluster=cluster, project=first["project"])
        assert {row["vm"]: row["power_watts"] for row in rows} == same
        rows = await walk.data(walk.path, hypervisor=first["node"], status="running", period="10m")
        on_it = {vm["vm"]: truth[vm["vm"]] for vm in machines if vm["node"] == first["node"]}
        assert {row["vm"]: row["power_watts"] for row in rows} == on_it


_QUANTITIES = {
    "temperature": ("temperature_celsius", "ipmi_temperature_celsius"),
    "fan": ("fan_speed_rpm", "ipmi_fan_speed_rpm"),
    "voltage": ("voltage_volts", "ipmi_voltage_volts"),
}


def by_sensor(page: Page, series: str) -> dict[str, float]:
    """Sensors that have a reading."""
    rows = select(page, series).items()
    return {dict(labels)["name"]: value for (_, labels), value in rows if not math.isnan(value)}


@of(*(f"/hardware/ipmi/{tail}" for tail in ("sensors", "sensors/{node_name}", "temperature", "fans", "voltage")))
async def check_sensors(walk: Walk) -> None:
    pages = await walk.exporters("ipmi")
    assert pages
    last = walk.path.rsplit("/", 1)[1].removesuffix("s")
    for node, page in pages.items():
        for kind, (field, series) in _QUANTITIES.items():
            if last in _QUANTITIES and kind != last:
                continue
            path, asked = walk.path.format(node_name=node), {} if "{" in walk.path else {"node": node}
            if last == "sensor":
                asked["sensor_type"] = kind
            rows = await walk.data(path, cluster=HERE, **asked)
            told = {row["sensor"]: row[field] for row in rows if row[field] is not None}
            assert told == by_sensor(page, series)


@of("/hardware/ipmi/power", "/hardware/ipmi/summary")
async def check_servers(walk: Walk) -> None:
    for node, page in (await walk.exporters("ipmi")).items():
        told = await walk.data(walk.path, node=node, cluster=HERE)
        watts = walk.here["nodes"][node]["wall_watts"]
        if walk.path.endswith("power"):
            (row,) = told
            assert row["power_watts"] == watts == next(iter(select(page, "ipmi_dcmi_power_consumption_watts").values()))
        else:
            assert told["total_power_watts"] == watts
            hot = by_sensor(page, "ipmi_temperature_celsius").values()
            assert told["max_temperature_celsius"] == max(hot)
            assert told["total_fans"] == len(by_sensor(page, "ipmi_fan_speed_rpm"))


@of(*(f"/clusters{tail}" for tail in ("", "/{cluster_name}", "/{cluster_name}/summary")))
async def check_clusters(walk: Walk) -> None:
    told = await walk.data(walk.path.format(cluster_name=HERE))
    if walk.path == "/clusters":
        (told,) = [row for row in told if row["cluster"] == HERE]
    elif walk.path.endswith("summary"):
        assert told["nodes"]["total_gpus"] == len(walk.devices())
        told = told["cluster"]
    assert told["power_watts"] == near(whole(walk.here["power_watts"]))
    assert (told["site"], told["nodes_measured"]) == (walk.here["site"], len(walk.here["nodes"]))


@of("/clusters/{cluster_name}/topology")
async def check_topology(walk: Walk) -> None:
    tree = await walk.data(f"/clusters/{HERE}/topology", include_pods=True, namespace="serving")
    watts = {node["node"]: node["power_watts"] for node in tree["nodes"]}
    assert watts == {name: near(whole(told["power_watts"])) for name, told in walk.here["nodes"].items()}
    devices = {it["uuid"]: it["power_watts"] for node in tree["nodes"] for it in node["accelerators"]}
    assert devices == {uuid: near(told["power_watts"]) for uuid, told in walk.devices().items()}
    held = {("serving", pod["pod"]): pod["power_watts"] for node in tree["nodes"] for pod in node["pods"]}
    assert {k: v for k, v in held.items() if v is not None} == pods(walk, lambda pod: pod["namespace"] == "serving")


@of("/clusters/{cluster_name}/power")
async def check_cluster_power(walk: Walk) -> None:
    told = await walk.data(f"/clusters/{HERE}/power", breakdown_by="namespace", include_efficiency=True)
    assert told["total_power_watts"] == near(whole(walk.here["power_watts"]))
    assert told["components"] == {c: near(watts) for c, watts in walk.here["power_watts"].items()}
    parts = {part["name"]: part["power_watts"] for part in told["breakdown"] if part["kind"] == "namespace"}
    assert parts == {name: near(whole(power)) for name, power in walk.here["namespaces"].items() if whole(power)}


@of("/monitoring/power")
async def check_power(walk: Walk) -> None:
    told = await walk.data(walk.path, cluster=HERE, resource_types="gpus,cpu")
    assert told["total_power_watts"] == near(walk.here["power_watts"]["gpu"] + walk.here["power_watts"]["cpu"])
    told = await walk.data(walk.path, cluster=HERE)
    assert told["breakdown"] == {c: near(watts) for c, watts in walk.here["power_watts"].items()}


@of("/monitoring/power/accelerators", "/monitoring/power/infrastructure")
async def check_domains(walk: Walk) -> None:
    told = await walk.data(walk.path, cluster=HERE)
    if walk.path.endswith("accelerators"):
        assert told["total_power_watts"] == near(math.fsum(d["power_watts"] for d in walk.devices().values()))
    else:
        assert told["total_power_watts"] == near(whole(walk.here["power_watts"]))
        assert told["wall_power_watts"] == near(math.fsum(n["wall_watts"] for n in walk.here["nodes"].values()))


@of("/monitoring/power/breakdown")
async def check_breakdown(walk: Walk) -> None:
    told = await walk.data(walk.path, breakdown_by="node", cluster=HERE)
    assert {part["name"]: part["power_watts"] for part in told["breakdown"]} == {
        name: near(whole(node["power_watts"])) for name, node in walk.here["nodes"].items()
    }


@of("/monitoring/power/efficiency")
async def check_efficiency(walk: Walk) -> None:
    told = await walk.data(walk.path, cluster=HERE)
    (site,) = told["sites"]
    expected = walk.truth["sites"][walk.here["site"]]
    assert site["facility_power_watts"] == {"pue2": expected["facility_watts"]}
    assert site["pue"][0]["pue_ratio"] == pytest.approx(expected["pue"], rel=0.1)
    assert told["total_it_power_watts"] == near(whole(walk.here["power_watts"]))


@of("/monitoring/timeseries/power")
async def check_power_over_time(walk: Walk) -> None:
    asked = {"breakdown_by": "resource_type", "cluster": HERE, "step": "1m", "include_efficiency": True}
    begin = walk.runtime.store.current.timestamp if walk.runtime.store.current else 0.0
    for window in ({"period": "10m"}, {"start": int(begin) - 300, "end": int(begin) + 300}):
        told = await walk.data(walk.path, **asked, **window)
        latest = {series["labels"]["component"]: series["latest"] for series in told["series"]}
        assert latest == {c: near(watts) for c, watts in walk.here["power_watts"].items()}


@of("/monitoring/timeseries/metrics", "/monitoring/timeseries/temperature")
async def check_metrics_over_time(walk: Walk) -> None:
    asked: dict[str, object] = {"resource_type": "gpus", "period": "10m", "step": "5m", "cluster": HERE}
    if walk.path.endswith("metrics"):
        told = await walk.data(walk.path, metric_name="power_watts", **asked)
        expected = {uuid: near(device["power_watts"]) for uuid, device in walk.devices().items()}
    else:
        told = await walk.data(walk.path, **asked)
        pages = await walk.exporters("dcgm")
        expected = {
            uuid: dcgm(pages[device["node"]], "DCGM_FI_DEV_GPU_TEMP", uuid) for uuid, device in walk.devices().items()
        }
    latest: dict[str, list[float]] = defaultdict(list)
    for series in told["series"]:
        latest[series["labels"]["uuid"]].append(series["latest"])
    assert latest.keys() == expected.keys()
    assert all(any(value == expected[uuid] for value in values) for uuid, values in latest.items())


@of(*(f"/system/{name}" for name in ("health", "info", "version", "capabilities", "status")), "/auth/verify")
async def check_system(walk: Walk) -> None:
    told = await walk.data(walk.path)
    name = walk.path.rsplit("/", 1)[1]
    exporters = len(walk.fleet.exporters)
    expected: dict[str, Callable[[], bool]] = {
        "health": lambda: told["status"] == "healthy",
        "info": lambda: (told["total_gpus"], told["total_npus"]) == (
            len(walk.devices("gpu", None)), len(walk.devices("npu", None)),
        ),
        "version": lambda: re.fullmatch(r"\d+\.\d+\.\d+", told["version"]) is not None,
        "capabilities": lambda: {r["name"] for r in told if not r["available"]} == {"tpus"},
        "status": lambda: told["sources_total"] == len(told["sources"]) >= exporters,
        "verify": lambda: told == {"valid": True},
    }  # fmt: skip
    assert expected[name](), told


@of("/system/metrics")
async def check_own_page(walk: Walk) -> None:
    async with walk.session.get(f"{walk.base}{API}{walk.path}") as response:
        page = parse_page(await response.text())
    assert len(select(page, "kcloud_exporter_build_info")) == 1


@of("/monitoring/events/power")
async def check_events(walk: Walk) -> None:
    async with walk.session.get(f"{walk.base}{API}{walk.path}?cluster={HERE}&resource_type=gpus") as response:
        async with asyncio.timeout(30):
            while not (line := (await response.content.readline()).decode()).startswith("data: "):
                pass
    assert json.loads(line[6:])["data"]["total_power_watts"] == near(walk.here["power_watts"]["gpu"])


@of("/monitoring/stream/info")
async def check_streams(walk: Walk) -> None:
    told = await walk.data(walk.path)
    paths = set(re.findall(r"/api/v1/monitoring/(?:stream|events)/\w+", json.dumps(told)))
    assert paths == {f"{API}/monitoring/{p}" for p in ("events/power", "stream/power", "stream/metrics")}
    for path in (f"power?cluster={HERE}&resource_type=gpus", f"metrics?cluster={HERE}&metric_name=power"):
        async with walk.session.ws_connect(f"{walk.base}{API}/monitoring/stream/{path}") as socket:
            async with asyncio.timeout(30):
                while "data" not in (said := await socket.receive_json()):
                    pass
        of_all = said["data"] if path.startswith("power") else said["data"]["summary"]
        assert of_all["total_power_watts"] == near(walk.here["power_watts"]["gpu"])


@of("/export/power", "/export/metrics")
async def check_exports(walk: Walk) -> None:
    if walk.path.endswith("power"):
        told = await walk.data(walk.path, cluster=HERE, period="10m", step="10m")
        watts = {row["component"]: row["power_watts"] for row in told}
        assert watts == {c: near(power) for c, power in walk.here["power_watts"].items()}
    else:
        told = await walk.data(
            walk.path, cluster=HERE, period="10m", step="10m", metric_name="power", resource_type="gpus"
        )
        assert {row["uuid"]: row["value"] for row in told} == {
            u: near(d["power_watts"]) for u, d in walk.devices().items()
        }


@of("/export/report")
async def check_report(walk: Walk) -> None:
    today = time.strftime("%Y-%m-%d", time.gmtime())
    async with walk.session.get(f"{walk.base}{API}{walk.path}?tz=UTC&start_date={today}&cluster={HERE}") as response:
        assert response.status == 200
        text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(await response.read())).pages)
    assert f"{whole(walk.here['power_watts']) / 1e3:,.2f} kW" in text, "mean power"


@of("/export/formats", "/export/templates")
async def check_lists(walk: Walk) -> None:
    names = {row.get("format") or row["template"] for row in await walk.data(walk.path)}
    formats = {"json", "csv", "parquet", "excel", "pdf"}
    assert names == (formats if walk.path.endswith("formats") else {"daily", "weekly", "monthly", "custom"})


@pytest.mark.parametrize(
    "old", [old for old in ORIGINAL if old.who in ("api", "stream", "export")], ids=lambda old: old.path
)
async def test_the_numbers_of_every_path_are_the_truth(walk: Walk, old: Old) -> None:
    walk.path = next(path for path in CHECKS if _plain(path) == _plain(old.path))
    await CHECKS[walk.path](walk)
    assert set(old.parameters) <= walk.asked[walk.path], "every parameter of the original was given"


def _plain(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


SUCCESSORS = {
    "/health": "/system/health",
    "/info": "/system/info",
    "/power/gpu": "/accelerators/gpus",
    "/power/gpu/{instance}": "/accelerators/gpus/{instance}/power",
    "/power/timeseries": "/monitoring/timeseries/power",
    "/power/export": "/export/power",
    "/cluster/info": "/clusters",
    "/power/pods": "/infrastructure/pods",
    "/power/pods/{namespace}/{pod_name}": "/infrastructure/pods/{namespace}/{pod_name}/power",
    "/power/cluster/total": "/monitoring/power",
    "/power/cluster/timeseries": "/monitoring/timeseries/power",
    "/gpu/info": "/accelerators/gpus",
    "/gpu/metrics": "/accelerators/gpus",
    "/gpu/summary": "/accelerators/gpus/summary",
    "/gpu/temperature": "/accelerators/gpus",
}


@pytest.mark.parametrize("path", SUCCESSORS)
async def test_an_old_path_leads_to_one_whose_numbers_are_the_truth(walk: Walk, path: str) -> None:
    pod = max(walk.here["pods"], key=lambda it: whole(it["power_watts"]))
    uuid, _ = some(walk.devices())
    parts = {"instance": uuid, "namespace": pod["namespace"], "pod_name": pod["pod"]}
    asked = "" if "info" in path or path == "/health" else f"?cluster={HERE}"
    async with walk.session.get(f"{walk.base}{API}{path.format(**parts)}{asked}") as response:
        assert response.status == 200, await response.text()
        assert [step.status for step in response.history] == [308]
        assert response.url.path == API + SUCCESSORS[path].format(**parts)
        assert (await response.json())["data"]
    assert _plain(SUCCESSORS[path]) in {_plain(known) for known in CHECKS}, "its numbers are compared above"


async def test_nobody_has_been_forgotten() -> None:
    assert set(SUCCESSORS) == {old.path for old in ORIGINAL if old.who == "redirect"}
    elsewhere = [old.path for old in ORIGINAL if old.who in ("gone", "landing")]
    assert elsewhere == ["/auth/login", "/auth/token", "/"], "no tokens are given out; / is the landing page"
    assert len(CHECKS) + len(SUCCESSORS) + len(elsewhere) == len(ORIGINAL) == 82
