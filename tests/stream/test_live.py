"""The live view: what it tells adds up, is bounded for the largest fleet, and leaves out what is not known."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import COMPONENTS, Family
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.model import Snapshot
from kcloud_exporter.runtime import Runtime
from kcloud_exporter.stream.devices import DEVICE_COLUMNS, MOST_DEVICES, MOST_SOURCES
from kcloud_exporter.stream.flow import MOST_OWNERS
from kcloud_exporter.stream.live import LiveEvents, Trend
from tests.stream.ground import START, Rows, listening, one_node, snapshot, streaming


def live(of: Snapshot, *, cluster: tuple[str, ...] = (), trend: Trend | None = None) -> dict[str, Any]:
    (draft,) = LiveEvents(cluster, trend or Trend(), lambda: 10.0).drafts(of)
    assert draft.type == "live"
    return draft.payload


def balance(flow: dict[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Node → watts that enter it, and watts that leave it."""
    into: dict[str, float] = defaultdict(float)
    out: dict[str, float] = defaultdict(float)
    for link in flow["links"]:
        out[link["from"]] += link["power_watts"]
        into[link["to"]] += link["power_watts"]
    return into, out


OWNERS = st.tuples(
    st.sampled_from(["c1", "c2", "c3"]),
    st.sampled_from(["n1", "n2"]),
    st.sampled_from(["", *(f"ns-{n}" for n in range(25))]),
    st.sampled_from(COMPONENTS),
)


@settings(max_examples=40)
@given(st.dictionaries(OWNERS, st.floats(1, 1e5) | st.just(math.nan), min_size=1, max_size=120))
def test_what_enters_a_node_of_the_flow_leaves_it_and_few_are_drawn(pods: dict[Any, float]) -> None:
    flow = live(snapshot(1, pods))["flow"]
    into, out = balance(flow)

    layer = {node["id"]: node["layer"] for node in flow["nodes"]}
    assert layer.keys() == into.keys() | out.keys()
    known = math.fsum(value for value in pods.values() if not math.isnan(value))
    assert math.fsum(w for n, w in into.items() if layer[n] == 3) == pytest.approx(known, abs=0.06 * len(pods) + 1)
    for node in into.keys() & out.keys():
        assert into[node] == pytest.approx(out[node], abs=0.06 * len(pods) + 1), node
    assert sum(place == 3 for place in layer.values()) <= MOST_OWNERS + 3


def test_what_is_beyond_the_it_flows_to_the_facility_only_where_pue_is_measured() -> None:
    pods = {("c1", "n1", "a", "gpu"): 100.0, ("c2", "n1", "a", "gpu"): 50.0}
    fleet: dict[Family, Rows] = {
        catalogue.SITE_IT_POWER: {("s1",): 100.0, ("s2",): 50.0},
        catalogue.SITE_FACILITY_POWER: {("s1", "pue2"): 130.0, ("s2", "pue2"): 90.0},
        catalogue.SITE_PUE: {("s1", "pue2", "measured"): 1.3},
    }
    told = live(snapshot(1, pods, sites={"c1": "s1", "c2": "s2"}, fleet=fleet))
    into, _ = balance(told["flow"])

    assert into["overhead:s1"] == 30
    assert "overhead:s2" not in into
    assert "pue" not in told["total"], "one site's ratio is not that of all"
    assert live(snapshot(1, pods, sites={"c1": "s1", "c2": "s1"}, fleet=fleet))["total"]["pue"]["ratio"] == 1.3


def test_pue_of_several_sites_is_weighted_and_of_one_category_only() -> None:
    pods = {("c1", "n1", "a", "gpu"): 100.0, ("c2", "n1", "a", "gpu"): 300.0}
    it: Rows = {("s1",): 100.0, ("s2",): 300.0}
    sites = {"c1": "s1", "c2": "s2"}

    def total(pue: dict[tuple[str, ...], float]) -> dict[str, Any]:
        of = snapshot(1, pods, sites=sites, fleet={catalogue.SITE_IT_POWER: it, catalogue.SITE_PUE: pue})
        found: dict[str, Any] = live(of)["total"]
        return found

    same = total({("s1", "pue2", "measured"): 1.2, ("s2", "pue2", "measured"): 1.6})
    assert same["pue"] == {"ratio": 1.5, "category": "pue2", "method": "measured"}
    assert "pue" not in total({("s1", "pue1", "measured"): 1.2, ("s2", "pue2", "measured"): 1.6})
    assert "pue" not in total({("s1", "pue2", "measured"): 1.2, ("s2", "", "static"): 1.6})


def test_unknown_is_absent_at_every_place() -> None:
    told = live(snapshot(1, {("c1", "n1", "a", "gpu"): math.nan}, nodes={"c1": (0, 0, 3)}))

    assert {"power_watts", "energy_joules", "pue", "energy_since"}.isdisjoint(told["total"])
    assert told["total"]["completeness_ratio"] == 0
    assert "power_watts" not in told["clusters"][0]
    assert told["flow"] == {"nodes": [], "links": []}
    assert told["accelerators"]["nodes"] == []


def test_devices_and_sources_of_a_large_fleet_are_bounded_and_the_rest_is_counted() -> None:
    devices: dict[tuple[str, ...], float] = {
        ("c1", f"n{node:04d}", f"u{node}-{n}", str(n), "gpu", "nvidia", "H100", "", ""): 1.0
        for node in range(500)
        for n in range(8)
    }
    power: Rows = {row[:3] + row[4:7]: 100.0 + int(row[1][1:]) for row in devices}
    up: Rows = {("c1", f"source-{n:04d}"): float(n != 777) for n in range(1000)}
    tables: dict[Family, Rows] = {
        catalogue.ACCELERATOR_INFO: devices,
        catalogue.ACCELERATOR_POWER: power,
        catalogue.SOURCE_UP: up,
    }
    told = live(snapshot(1, {("c1", "n1", "a", "gpu"): 1.0}, more={"c1": tables}))

    shown = told["accelerators"]["nodes"]
    assert sum(len(node["devices"]) for node in shown) == MOST_DEVICES
    assert shown[0]["node"] == "n0372", "those that draw the most, by name"
    assert shown[-1]["node"] == "n0499"
    others = told["accelerators"]["others"]
    assert others["count"] == 4000 - MOST_DEVICES
    assert others["power_watts"] == pytest.approx(math.fsum(power.values()) - 8 * sum(100 + n for n in range(372, 500)))
    sources = told["sources"]
    assert (sources["up"], sources["down"], len(sources["list"])) == (999, 1, MOST_SOURCES)
    assert sources["list"][0] == {"cluster": "c1", "source": "source-0777", "up": False}


class TestTrend:
    def test_a_cluster_that_was_lost_is_a_gap_and_no_fall(self) -> None:
        trend = Trend()
        both = {("c1", "n1", "a", "gpu"): 100.0, ("c2", "n1", "a", "gpu"): 50.0}
        lost = {**both, ("c2", "n1", "a", "gpu"): math.nan}
        for cycle, pods in enumerate([both, lost, both]):
            trend.add(snapshot(cycle, pods))
        told = live(snapshot(2, both), trend=trend)
        assert told["trend"] == [(START, 150.0), (START + 10, None), (START + 20, 150.0)]
        assert [w for _, w in live(snapshot(2, both), cluster=("c1",), trend=trend)["trend"]] == [100, 100, 100]

    def test_energy_since_the_start_is_what_the_counters_grew(self) -> None:
        def counted(cycle: int, joules: float) -> Snapshot:
            counters: Rows = {("c1", "gpu"): joules, ("c1", "cpu"): 5.0}
            return snapshot(cycle, {("c1", "n1", "a", "gpu"): 1.0}, more={"c1": {catalogue.CLUSTER_ENERGY: counters}})

        trend = Trend()
        trend.add(counted(0, 1000.0))
        trend.add(counted(1, 1600.0))
        total = live(counted(1, 1600.0), trend=trend)["total"]
        assert total["energy_joules"] == 1605
        assert total["energy_since"]["joules"] == 600


async def test_a_new_page_has_the_minutes_before_it() -> None:
    async with streaming() as server:
        async with listening(server) as other:
            for cycle in range(5):
                server.store.publish(one_node(cycle, 10.0 * cycle))
                await other.take(1)
        async with listening(server, "view=live") as page:
            (event,) = await page.take(1)
    assert [watts for _, watts in event.data["trend"]] == [0, 10, 20, 30, 40]


async def test_of_the_simulated_fleet_it_tells_what_the_ledger_holds() -> None:
    async with Fleet(FleetSpec(frozen=True)) as fleet:
        config = parse_config(fleet.kcloud_config("exporter", interval="15s"), {})
        runtime = Runtime(config, lambda: config)
        await runtime.tick()
        await runtime.tick()
        of = runtime.store.current
        await runtime.close()
    assert of is not None
    told = live(of)

    into, out = balance(told["flow"])
    for cluster in told["clusters"]:
        rows = of.clusters[cluster["cluster"]].tables[catalogue.CLUSTER_POWER.name].values
        assert cluster["power_watts"] == pytest.approx(float(sum(v for v in rows if not math.isnan(v))))
        assert into[f"cluster:{cluster['cluster']}"] == pytest.approx(cluster["power_watts"], abs=1)
        assert out[f"cluster:{cluster['cluster']}"] == pytest.approx(cluster["power_watts"], abs=1)
    named = [dict(zip(DEVICE_COLUMNS, row, strict=True)) for n in told["accelerators"]["nodes"] for row in n["devices"]]
    assert len(named) == 28
    assert {told["accelerators"]["models"][device["model"]].split()[0] for device in named} > {"nvidia"}
    assert told["sources"]["down"] == 0
