"""The running program: reload, defects of one cluster, energy over restarts of nothing but the configuration."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kcloud_exporter.clocks import Clocks
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.config.schema import Config
from kcloud_exporter.derive.energy import Totals
from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.pipeline import Books, ClusterPipeline
from kcloud_exporter.runtime import Runtime


class Time:
    """What all clocks show, the fleet's and ours: it passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def fleet(time: Time) -> AsyncIterator[Fleet]:
    async with Fleet(FleetSpec(frozen=True), clock=time) as running:
        yield running


class Running:
    """A runtime whose configuration can be changed under it, ticking by hand."""

    def __init__(self, fleet: Fleet, storage: Path | None = None, interval: str = "60s") -> None:
        self.data: dict[str, Any] = fleet.kcloud_config("exporter", interval=interval)
        self.runtime = Runtime(self.config(), self.config, storage, Clocks(fleet.clock, fleet.clock))

    def config(self) -> Config:
        return parse_config(self.data, {})

    async def page(self) -> dict[str, float]:
        text = (await self.runtime.page(False, False, frozenset(), frozenset())).decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {series: float(value) for series, value in lines}

    async def close(self) -> None:
        await self.runtime.close()


@pytest.fixture
async def running(fleet: Fleet) -> AsyncIterator[Running]:
    it = Running(fleet)
    await it.runtime.tick()
    yield it
    await it.close()


UP = "kcloud_exporter_config_last_reload_successful"
SEOUL = 'kcloud_cluster_power_watts{cluster="seoul-a",component="gpu"}'
JOULES = 'kcloud_cluster_energy_joules_total{cluster="seoul-a",component="gpu"}'


class TestReload:
    async def test_a_bad_configuration_leaves_the_old_one_running(self, running: Running) -> None:
        before = await running.page()
        running.data = {**running.data, "global": {"intervall": "1s"}}

        assert await running.runtime.reload() == ["global.intervall: unknown key; did you mean 'interval'?"]
        await running.runtime.tick()
        page = await running.page()
        assert page[UP] == 0
        assert page[SEOUL] == before[SEOUL]

    async def test_a_vendor_that_no_table_knows_is_refused_too(self, running: Running) -> None:
        running.data["clusters"][0]["sources"].append({"exporter": {"vendor": "nope", "targets": ["http://h:1"]}})

        (told,) = await running.runtime.reload()
        assert "'nope' is no vendor table" in told

    async def test_a_removed_cluster_leaves_the_page_and_a_new_one_continues_its_counters(
        self, running: Running, time: Time
    ) -> None:
        time.now += 15.0
        await running.runtime.tick()
        joules = (await running.page())[JOULES]
        everything = running.data
        running.data = {**everything, "clusters": everything["clusters"][1:], "sites": []}
        assert await running.runtime.reload() == []
        time.now += 15.0
        await running.runtime.tick()
        page = await running.page()
        assert page[UP] == 1
        assert not [series for series in page if 'cluster="seoul-a"' in series]

        running.data = everything
        assert await running.runtime.reload() == []
        time.now += 15.0
        await running.runtime.tick()
        page = await running.page()
        assert joules > 0
        assert (page[JOULES] - joules) / page[SEOUL] == pytest.approx(30.0, rel=1e-6), "its time away is counted"

    async def test_clusters_that_did_not_change_keep_their_state(self, running: Running) -> None:
        kept = running.runtime.pipeline.clusters["seoul-b"]
        running.data["clusters"][0]["labels"] = {"region": "kr-9"}
        assert await running.runtime.reload() == []

        assert running.runtime.pipeline.clusters["seoul-b"] is kept
        assert running.runtime.pipeline.clusters["seoul-a"].cluster.labels == {"region": "kr-9"}


class _Broken(ClusterPipeline):
    def cycle(self, outcomes: Any, now: float, monotonic: float) -> Books:  # noqa: ARG002
        raise ZeroDivisionError("a defect of ours")


async def test_a_defect_in_one_cluster_costs_no_other_its_cycle(running: Running) -> None:
    clusters = running.runtime.pipeline.clusters
    before = await running.page()
    clusters["seoul-a"].__class__ = _Broken
    await running.runtime.tick()
    page = await running.page()

    others = [
        s for s in before if s.startswith("kcloud_accelerator_") and "joules" not in s and 'cluster="seoul-a"' not in s
    ]
    assert others
    assert {s: page[s] for s in others} == {s: before[s] for s in others}
    assert page[SEOUL] == before[SEOUL], "the last good books stand until they are stale"
    assert clusters["seoul-a"].sources["ledger"].failures["internal"] == 1


async def test_energy_is_conserved_at_every_level(running: Running, time: Time) -> None:
    for _ in range(4):
        time.now += 15.0
        await running.runtime.tick()
    page = await running.page()
    whole: dict[str, float] = {}
    for name, cluster in running.runtime.pipeline.clusters.items():
        books = cluster.energy.totals

        def added(level: str, component: str, books: dict[str, Totals] = books) -> float:
            """Joules of a level in the books; a pod that has just vanished from the page is still in them."""
            totals = books[f"kcloud_{level}_energy_joules_total"]
            return math.fsum(v for k, v in zip(totals.keys, totals.values.tolist(), strict=True) if k[-1] == component)

        for component in ("gpu", "npu", "cpu", "memory", "other"):
            assert added("node", component) == pytest.approx(added("cluster", component), rel=1e-9)
            assert added("pod", component) == pytest.approx(added("namespace", component), rel=1e-9)
        whole[name] = float(books["kcloud_cluster_energy_joules_total"].values.sum())
    assert page[JOULES] > 0
    site = page['kcloud_site_it_energy_joules_total{site="icn1"}']
    assert site == pytest.approx(whole["seoul-a"] + whole["seoul-b"], rel=1e-9)


async def test_counters_continue_in_the_next_process_and_the_time_between_is_counted_like_any_other(
    fleet: Fleet, time: Time, tmp_path: Path
) -> None:
    """The powers are constant, so joules over watts are the seconds that were counted: joule-only meters, too."""
    rapl = 'kcloud_cluster_{}{{cluster="seoul-b",component="cpu"}}'
    site = 'kcloud_site_{}{{site="icn1"}}'
    first = Running(fleet, tmp_path)
    await first.runtime.tick()
    time.now += 15.0
    await first.runtime.tick()
    joules = (await first.page())[JOULES]
    await first.close()
    time.now += 20.0
    second = Running(fleet, tmp_path)
    await second.runtime.tick()
    page = await second.page()
    await second.close()

    assert page[JOULES] > joules > 0
    for watts, energy in (
        (SEOUL, JOULES),
        (rapl.format("power_watts"), rapl.format("energy_joules_total")),
        (site.format("it_power_watts"), site.format("it_energy_joules_total")),
    ):
        assert page[energy] / page[watts] == pytest.approx(35.0, rel=1e-6)
    assert page['kcloud_energy_gap_seconds_total{cluster="seoul-a"}'] == 0


async def test_carbon_and_cost_follow_the_energy_at_the_sites_factors(running: Running, time: Time) -> None:
    for _ in range(3):
        time.now += 15.0
        await running.runtime.tick()
    page = await running.page()
    namespaces = {s.split('namespace="')[1].split('"')[0] for s in page if s.startswith("kcloud_namespace_power_watts")}
    assert namespaces
    for cluster, grams, price in (("seoul-a", 424, 152.1), ("busan-a", 398, 138.4)):
        for namespace in namespaces:
            of = f'cluster="{cluster}",namespace="{namespace}"'
            joules = sum(v for s, v in page.items() if s.startswith("kcloud_namespace_energy_joules_total{" + of))
            if not joules:
                continue
            assert page[f"kcloud_namespace_emissions_grams_total{{{of}}}"] == pytest.approx(joules / 3.6e6 * grams)
            assert page[f'kcloud_namespace_cost_total{{{of},currency="KRW"}}'] == pytest.approx(joules / 3.6e6 * price)
    assert page['kcloud_site_carbon_intensity_grams_per_kwh{site="icn1"}'] == 424
    assert page['kcloud_site_electricity_price_per_kwh{site="icn1",currency="KRW"}'] == 152.1


async def test_a_carbon_intensity_from_a_series_counts_only_while_it_is_known(fleet: Fleet) -> None:
    it = Running(fleet)
    it.data["sites"][0]["carbon_intensity"] = {"cluster": "seoul-a", "metric": "rPDU2DeviceStatusPower", "scale": 0.5}
    it.data["sites"][1]["carbon_intensity"] = {"cluster": "busan-a", "metric": "no_such_series"}
    assert await it.runtime.reload() == []
    await it.runtime.tick()
    page = await it.page()
    await it.close()

    watts = page['kcloud_site_facility_power_watts{site="icn1",category="pue2"}']
    assert page['kcloud_site_carbon_intensity_grams_per_kwh{site="icn1"}'] == watts / 10 * 0.5
    assert not [s for s in page if s.startswith("kcloud_site_carbon") and "pus1" in s]
    assert not [s for s in page if s.startswith("kcloud_namespace_emissions") and "busan-a" in s]


async def test_a_hung_cluster_delays_the_others_once_and_never_again(fleet: Fleet) -> None:
    it = Running(fleet)
    it.data["global"] = {"interval": "10s", "timeout": "3s", "max_staleness": "30s"}

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    it.data["clusters"].append({"name": "hung", "sources": [{"prometheus": {"url": f"http://127.0.0.1:{port}"}}]})
    it.data["clusters"][0]["sources"].append(
        {"exporter": {"vendor": "dcgm", "targets": [f"http://127.0.0.1:{port}/metrics"]}}
    )
    assert await it.runtime.reload() == []
    await it.runtime.tick()
    first = await it.page()
    begun = asyncio.get_running_loop().time()
    await it.runtime.tick()
    took = asyncio.get_running_loop().time() - begun
    page = await it.page()
    server.close()
    await it.close()

    hung = f'kcloud_source_up{{cluster="hung",source="prometheus@127.0.0.1:{port}"}}'
    assert first[hung] == page[hung] == 0
    assert page[f'kcloud_source_up{{cluster="seoul-a",source="dcgm@127.0.0.1:{port}"}}'] == 0
    assert took < 3, "the second cycle did not wait for the time-out"
    assert page[SEOUL] == first[SEOUL] > 0


@pytest.mark.parametrize("inventory", [True, False])
async def test_a_source_that_has_never_answered_may_hide_a_node(fleet: Fleet, inventory: bool) -> None:
    """Without an inventory nobody knows whose power is missing, so there is no PUE; with one the node is known."""
    it = Running(fleet)
    dead = {"exporter": {"vendor": "ipmi", "name": "dead", "targets": ["http://127.0.0.1:9/metrics"]}}
    it.data["clusters"] = [dict(cluster) for cluster in it.data["clusters"]]
    for cluster in it.data["clusters"]:
        sources = [s for s in cluster["sources"] if inventory or s["exporter"]["vendor"] != "kube_state_metrics"]
        cluster["sources"] = [*sources, dead] if cluster["name"] == "seoul-a" else sources
    it.runtime = Runtime(it.config(), it.config)
    try:
        for _ in range(2):  # joule counters tell watts in the second cycle
            await it.runtime.tick()
        page = await it.page()
    finally:
        await it.close()

    assert page['kcloud_site_it_power_watts{site="icn1"}'] > 0
    assert ('kcloud_site_pue_ratio{site="icn1",category="pue2",method="measured"}' in page) == inventory
