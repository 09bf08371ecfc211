"""A site whose building draws a known curve for hours: its PUE is the truth, or it is not there at all."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from aiohttp import web

from kcloud_exporter.clocks import Clocks
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.model import Snapshot
from kcloud_exporter.pipeline import Pipeline
from kcloud_exporter.pipeline.building import build_sources
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.telemetry import Telemetry
from kcloud_exporter.vendors.loading import load_vendors

BEGIN, STEP, HOURS, NODES = 1_800_000_000.0, 30.0, 2, 4
NODE = 'kepler_node_cpu_watts{{node_name="n{0}",path="p",zone="package"}} {1!r}\n'
POD = 'kepler_pod_cpu_watts{{node_name="n{0}",pod_id="p{0}",pod_name="p{0}",pod_namespace="a",state="running",'
POD += 'zone="package"}} 500\n'


def it_watts(at: float, node: int) -> float:
    """What a node draws: up and down within an hour or so, each at its own time."""
    return 3000 + 800 * math.sin(2 * math.pi * (at - BEGIN) / (2900 + 250 * node) + node)


def it_joules(at: float, node: int) -> float:
    period = (2900 + 250 * node) / (2 * math.pi)
    return 3000 * (at - BEGIN) - 800 * period * (math.cos((at - BEGIN) / period + node) - math.cos(node))


def cooling(at: float) -> float:
    """What the building draws besides: the weather of the day, and a fixed part."""
    return 2200 + 900 * math.sin(2 * math.pi * (at - BEGIN) / 7200)


def cooling_joules(at: float) -> float:
    return 2200 * (at - BEGIN) + 900 * 7200 / (2 * math.pi) * (1 - math.cos(2 * math.pi * (at - BEGIN) / 7200))


def facility(at: float) -> float:
    return cooling(at) + sum(it_watts(at, node) for node in range(NODES))


def true_pue(at: float) -> float:
    return facility(at) / (facility(at) - cooling(at))


class Building:
    """Simulated time, the meters of a site over HTTP, and the pipeline that reads them."""

    def __init__(self) -> None:
        self.url, self.now, self.lag = "", BEGIN, 0.0
        self.lost: set[int] = set()
        self.stalled = False

    async def nodes(self, _: web.Request) -> web.Response:
        here = [node for node in range(NODES) if node not in self.lost]
        pages = (NODE.format(node, it_watts(self.now, node)) + POD.format(node) for node in here)
        return web.Response(text="".join(pages))

    async def meter(self, _: web.Request) -> web.Response:
        if self.stalled:
            return web.Response(status=500)
        return web.Response(text=f"upsOutputWatts {facility(self.now - self.lag)!r}\n")

    def config(self, site: dict[str, Any]) -> dict[str, Any]:
        sources = [
            {"exporter": {"vendor": vendor, "targets": [f"{self.url}/{page}"]}}
            for vendor, page in (("kepler", "nodes"), ("generic", "meter"))
        ]
        settings = {"interval": f"{STEP:.0f}s", "max_staleness": "90s"}
        clusters = [{"name": "c", "site": "icn1", "sources": sources}]
        return {"global": settings, "clusters": clusters, "sites": [{"name": "icn1", **site}]}

    def pipeline(self, **site: Any) -> Pipeline:
        config, vendors = parse_config(self.config(site), {}), load_vendors()
        return Pipeline(
            config,
            vendors,
            build_sources(config, vendors),
            Telemetry(),
            counters=Counters(None, BEGIN),
            clocks=Clocks(lambda: self.now, lambda: self.now - BEGIN),
        )

    async def run(self, pipeline: Pipeline, seconds: float, look: Callable[[Snapshot], None]) -> Snapshot:
        """Tick for some simulated seconds, and look at each snapshot."""
        end = self.now + seconds
        while True:
            snapshot = await pipeline.tick()
            look(snapshot)
            if self.now >= end:
                return snapshot
            self.now += STEP


METER = {"facility_power": [{"cluster": "c", "metric": "upsOutputWatts", "category": "pue1"}]}


@pytest.fixture
async def building() -> AsyncIterator[Building]:
    it, app = Building(), web.Application()
    app.router.add_get("/nodes", it.nodes)
    app.router.add_get("/meter", it.meter)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield it
    await runner.cleanup()


def shown(snapshot: Snapshot, family: str) -> dict[tuple[str, ...], float]:
    table = snapshot.fleet.get(family)
    rows = zip(table.keys.rows, table.values.tolist(), strict=False) if table else ()
    return {key: value for key, value in rows if not math.isnan(value)}


def pue(snapshot: Snapshot) -> dict[tuple[str, ...], float]:
    return shown(snapshot, "kcloud_site_pue_ratio")


def joules(snapshot: Snapshot) -> tuple[float, float]:
    (of_facility,) = shown(snapshot, "kcloud_site_facility_energy_joules_total").values()
    (of_it,) = shown(snapshot, "kcloud_site_it_energy_joules_total").values()
    return of_facility, of_it


async def test_pue_at_each_instant_and_over_hours_is_the_truth(building: Building) -> None:
    pipeline, ratios = building.pipeline(**METER), []

    def look(snapshot: Snapshot) -> None:
        assert pue(snapshot) == {("icn1", "pue1", "measured"): pytest.approx(true_pue(building.now), rel=0.005)}
        ratios.append(pue(snapshot).popitem()[1])

    last = await building.run(pipeline, HOURS * 3600, look)
    await pipeline.close()
    of_facility, of_it = joules(last)
    it_true = sum(it_joules(building.now, node) for node in range(NODES))

    assert max(ratios) - min(ratios) > 0.1, "the curve is one"
    assert of_it == pytest.approx(it_true, rel=0.005)
    assert of_facility == pytest.approx(it_true + cooling_joules(building.now), rel=0.005)
    assert of_facility / of_it == pytest.approx(1 + cooling_joules(building.now) / it_true, rel=0.005)


async def test_a_meter_that_is_sampled_at_another_time_errs_by_what_the_power_has_moved_since(
    building: Building,
) -> None:
    """At an instant by (dF/dt) * lag; over a window the lag moves its edges only, so the error vanishes with time."""
    building.lag = 40.0
    pipeline = building.pipeline(**METER)
    steepest = max(abs(facility(BEGIN + t + 40) - facility(BEGIN + t)) for t in range(0, HOURS * 3600, 10))
    errors: list[float] = []

    def look(snapshot: Snapshot) -> None:
        (ratio,) = pue(snapshot).values()
        errors.append(ratio - true_pue(building.now))
        it = facility(building.now) - cooling(building.now)
        assert abs(errors[-1]) <= steepest / it * (1 + 1e-9)

    last = await building.run(pipeline, HOURS * 3600, look)
    await pipeline.close()
    of_facility, of_it = joules(last)
    it_true = sum(it_joules(building.now, node) for node in range(NODES))

    assert max(map(abs, errors)) > 0.005, "at an instant it shows"
    assert of_facility / of_it == pytest.approx(1 + cooling_joules(building.now) / it_true, rel=0.005)


async def test_a_lost_node_takes_pue_away_and_never_up(building: Building) -> None:
    pipeline = building.pipeline(**METER)
    await building.run(pipeline, 600, lambda _: None)
    building.lost = {2}
    seen: list[float | None] = []

    def look(snapshot: Snapshot) -> None:
        (ratio,) = pue(snapshot).values() or (None,)
        seen.append(ratio)
        # For max_staleness its last watts are carried, which are as old as that.
        assert ratio is None or ratio == pytest.approx(true_pue(building.now), rel=0.02)

    last = await building.run(pipeline, 900, look)
    assert seen[-1] is None
    assert seen.count(None) > 20
    assert shown(last, "kcloud_site_facility_power_watts"), "the meter itself goes on"
    building.lost = set()
    await building.run(pipeline, 60, look)
    await pipeline.close()
    assert seen[-1] == pytest.approx(true_pue(building.now), rel=0.005)


async def test_a_facility_meter_that_stalls_takes_pue_away_and_its_energy_is_not_filled_in(building: Building) -> None:
    pipeline = building.pipeline(**METER)
    before = await building.run(pipeline, 600, lambda _: None)
    building.stalled = True
    ratios: list[dict[tuple[str, ...], float]] = []
    last = await building.run(pipeline, 600, lambda snapshot: ratios.append(pue(snapshot)))
    assert ratios[-1] == {}
    assert not shown(last, "kcloud_site_facility_power_watts")
    assert shown(last, "kcloud_site_it_power_watts")
    building.stalled = False
    building.now += STEP
    after = await building.run(pipeline, 2 * STEP, lambda _: None)
    await pipeline.close()

    counted = joules(after)[0] - joules(before)[0]
    assert counted < 6 * STEP * facility(building.now) * 1.2, "carried for max_staleness, and no longer"


async def test_without_a_facility_meter_there_is_no_pue_at_all(building: Building) -> None:
    pipeline, seen = building.pipeline(), list[Snapshot]()
    await building.run(pipeline, 120, seen.append)
    await pipeline.close()

    for snapshot in seen:
        assert not [family for family in snapshot.fleet if "pue" in family or "facility" in family]
        assert shown(snapshot, "kcloud_site_it_power_watts")


async def test_a_constant_is_shown_only_when_configured_and_says_that_it_is_one(building: Building) -> None:
    alone = building.pipeline(static_pue=1.4)
    assert pue(await alone.tick()) == {("icn1", "", "static"): 1.4}
    await alone.close()
    beside = building.pipeline(static_pue=1.4, **METER)
    both = pue(await beside.tick())
    await beside.close()

    assert both == {("icn1", "", "static"): 1.4, ("icn1", "pue1", "measured"): pytest.approx(true_pue(building.now))}


async def test_cost_over_a_boundary_in_the_hour_that_comes_twice(building: Building) -> None:
    """Paris, 25 October 2026: 02:30 comes at 00:30 UTC, and once more an hour later."""
    periods = [{"from": "02:30", "to": "03:00", "price_per_kwh": 500.0}]
    tariff = {"currency": "EUR", "price_per_kwh": 100.0, "timezone": "Europe/Paris", "periods": periods}
    pipeline, chance = building.pipeline(tariff=tariff), np.random.default_rng(1)
    building.now = datetime(2026, 10, 25, 2, 0, 10, tzinfo=ZoneInfo("Europe/Paris")).timestamp()
    begin = building.now
    await pipeline.tick()
    while building.now < begin + 2 * 3600:
        building.now += chance.uniform(15.0, 60.0)
        snapshot = await pipeline.tick()
    await pipeline.close()
    tables = snapshot.clusters["c"].tables
    (cost,), (energy,) = (
        [v for k, v in zip(t.keys.rows, t.values.tolist(), strict=False) if k[1] == "a" and not math.isnan(v)]
        for t in (tables["kcloud_namespace_cost_total"], tables["kcloud_namespace_energy_joules_total"])
    )
    watts = NODES * 500.0
    dear = 2 * 30 * 60  # 02:30 to 03:00, twice

    assert energy == pytest.approx(watts * (building.now - begin), rel=1e-9)
    assert cost == pytest.approx(watts / 3.6e6 * (100.0 * (building.now - begin) + 400.0 * dear), rel=1e-9)
