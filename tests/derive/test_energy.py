"""Energy over hours in which everything goes wrong that can: what is counted is what was drawn while it was seen."""

from __future__ import annotations

import math
import os
import random
from typing import Any

import numpy as np
import pytest

from kcloud_exporter import catalogue
from kcloud_exporter.derive.cycle import close_books
from kcloud_exporter.derive.energy import LEVELS, EnergyBook, Interval, Totals, interval
from kcloud_exporter.derive.tables import ClusterTables
from kcloud_exporter.derive.work import WorkBook
from kcloud_exporter.model import Keys, Table
from kcloud_exporter.normalise.engine import ClusterEngine
from kcloud_exporter.readings import Work, WorkTable
from kcloud_exporter.vendors.loading import load_vendors
from kcloud_exporter.vendors.quantities import METERS
from tests.normalise.cluster import Prometheus

STEP, STALE = 15.0, 45.0
TRACES = int(os.environ.get("KCLOUD_TEST_TRACES", "4"))
HOURS = 10 if TRACES < 100 else 1
SWING = 420.0
"""Watts between the least and the most that the device draws."""
GPU = 'DCGM_FI_DEV_{}{{gpu="0",UUID="GPU-0",modelName="H100",Hostname="n1",exported_pod="p",exported_namespace="a",'
GPU += 'exported_container="c"}} {} {}\n'
RAPL = 'node_rapl_package_joules_total{{index="0",path="/p",instance="n1"}} {} {}\n'
WALL = 'ipmi_dcmi_power_consumption_watts{{instance="n1"}} {} {}\n'


def gpu_watts(at: float) -> float:
    return 350 + 150 * math.sin(at / 97.0) + 60 * math.sin(at / 11.0)


def gpu_joules(at: float) -> float:
    return 350 * at - 150 * 97.0 * math.cos(at / 97.0) - 60 * 11.0 * math.cos(at / 11.0)


class TestTotals:
    def test_nothing_is_added_for_what_is_unknown_and_a_vanished_thing_keeps_its_total(self) -> None:
        keys, totals = Keys([("a",), ("b",)]), Totals()
        totals.add(Table(keys, np.array([10.0, np.nan])), 5.0, 1.0)
        totals.add(Table(keys, np.array([np.nan, 2.0])), 5.0, 2.0)

        assert totals.values.tolist() == [50.0, 10.0]
        shown = totals.table(Table(keys, np.array([np.nan, 2.0])))
        assert np.isnan(shown.values[0])
        assert shown.values[1] == 10.0

    def test_the_same_thing_under_new_keys_goes_on(self) -> None:
        totals = Totals([("a",)], [100.0])
        totals.add(Table(Keys([("b",), ("a",)]), np.array([1.0, 2.0])), 10.0, 1.0)

        assert dict(zip(totals.keys, totals.values.tolist(), strict=True)) == {("a",): 120.0, ("b",): 10.0}

    def test_ended_pods_are_bounded_in_time_and_number(self) -> None:
        family = "kcloud_pod_energy_joules_total"
        book = EnergyBook({family: Totals()})
        for at in range(10):
            book.totals[family].add(Table(Keys([(f"p{at}",)]), np.array([1.0])), 1.0, float(at))
        book.forget_ended_pods(9.0, 5.0, 1000)
        assert [key for (key,) in book.totals[family].keys] == ["p4", "p5", "p6", "p7", "p8", "p9"]
        book.forget_ended_pods(9.0, 1000.0, 2)
        assert [key for (key,) in book.totals[family].keys] == ["p7", "p8", "p9"]


class TestEnergyBook:
    def test_a_cluster_that_has_had_no_cycle_adds_nothing_to_its_site(self) -> None:
        book = EnergyBook()
        assert (book.joules, book.gap_seconds, book.totals) == (0.0, 0.0, {})

    def test_with_the_ended_pods_go_the_marks_of_work_that_nobody_sees_any_more(self) -> None:
        book = EnergyBook(work=WorkBook({("source", "tokens"): 100.0}))
        for now in (10.0, 11.0 + STALE):
            book.work.count(Work(WorkTable(), np.empty(0), np.empty(0)), "c", now, STALE)
        assert book.work.marks()[0] == [("source", "tokens")]
        book.forget_ended_pods(11.0 + STALE, 3600.0, 1000)
        assert book.work.marks()[0] == []

    def test_what_a_site_adds_is_what_its_cluster_drew_in_this_cycle(self) -> None:
        nothing, keys = Table(Keys([]), np.empty(0)), Keys([("c", "cpu"), ("c", "gpu"), ("c", "npu")])
        book = EnergyBook()
        for watts, seconds in (([100.0, 20.0, np.nan], 15.0), ([50.0, np.nan, np.nan], 10.0)):
            power = {family.name: nothing for family in LEVELS}
            power[catalogue.CLUSTER_POWER.name] = Table(keys, np.array(watts))
            shown = book.integrate(power, power, Interval(seconds, 3.0), 0.0)
            assert book.joules == np.nansum(watts) * seconds

        energy = catalogue.CLUSTER_ENERGY.name
        assert dict(zip(book.totals[energy].keys, book.totals[energy].values.tolist(), strict=True)) == {
            ("c", "cpu"): 2000.0,
            ("c", "gpu"): 300.0,
        }
        assert shown[energy].values.tolist() == pytest.approx([2000.0, np.nan, np.nan], nan_ok=True)
        assert book.gap_seconds == 6.0

    def test_a_cycle_in_which_nothing_of_the_cluster_is_known_is_a_gap(self) -> None:
        unknown = Table(Keys([("c", "cpu")]), np.array([np.nan]))
        power = {family.name: unknown for family in LEVELS}
        book = EnergyBook()
        book.integrate(power, power, Interval(15.0, 2.0), 0.0)
        assert (book.joules, book.gap_seconds) == (0.0, 17.0)

    def test_units_of_work_are_counted_as_they_are_done(self) -> None:
        keys, book = Keys([("c", "ml", "chat", "token"), ("c", "ml", "silent", "token")]), EnergyBook()
        book.add_work(Table(keys, np.array([40.0, np.nan])), 1.0)
        shown = book.add_work(Table(keys, np.array([2.0, np.nan])), 2.0)
        assert shown.values.tolist() == pytest.approx([42.0, np.nan], nan_ok=True)

    def test_counters_of_which_nobody_knows_when_they_were_last_added_to_are_the_oldest(self) -> None:
        family = catalogue.POD_ENERGY.name
        book = EnergyBook({family: Totals([("unknown",)], [5.0])})
        book.totals[family].add(Table(Keys([("p",)]), np.array([1.0])), 1.0, 9.0)
        book.forget_ended_pods(9.0, 3600.0, 1000)
        assert book.totals[family].keys == [("p",)]


@pytest.mark.parametrize(
    ("previous", "now", "seconds", "gap"),
    [
        (None, 5.0, 0.0, 0.0),
        (5.0, 20.0, 15.0, 0.0),
        (5.0, 50.0, 45.0, 0.0),
        (5.0, 51.0, 0.0, 46.0),
        (5.0, 4.0, 0.0, 0.0),
    ],
)
def test_a_gap_is_told_and_not_filled(previous: float | None, now: float, seconds: float, gap: float) -> None:
    found = interval(previous, now, STALE)

    assert (found.seconds, found.gap) == (seconds, gap)


@pytest.mark.parametrize("seed", range(TRACES))
def test_hours_of_resets_wraps_gaps_duplicates_and_reordered_samples(seed: int) -> None:
    chance, source = random.Random(seed), Prometheus()
    engine = ClusterEngine(
        load_vendors(), aliases={}, pattern=None, meters=METERS, max_staleness=STALE, forget_after=3600.0
    )
    tables, energy = ClusterTables("c"), EnergyBook()
    previous, text, base, wrapped = None, "", 0.0, 262_143.328
    now, seen, clock, told = 0.0, 0.0, 1_800_000_000.0, 0.0
    last: dict[str, dict[tuple[str, ...], float]] = {}
    truth, events = 0.0, 0
    for _ in range(int(HOURS * 3600 / STEP)):
        event = chance.random()
        events += event < 0.060
        now += 600.0 if event < 0.002 else STEP
        clock += 3600.0 if 0.002 <= event < 0.004 else 0.0  # the upstream's wall clock steps
        if 0.004 <= event < 0.010:
            base = gpu_joules(now - chance.uniform(1, STEP))  # the driver is reloaded: the counter begins anew
        stamp = int((clock + now) * 1000) / 1000
        answer = (
            GPU.format("POWER_USAGE", gpu_watts(now), stamp)
            + GPU.format("TOTAL_ENERGY_CONSUMPTION", round((gpu_joules(now) - base) * 1000), stamp)
            + RAPL.format((200.0 * now) % wrapped, stamp)
            + WALL.format(1200, stamp)
        )
        if 0.010 <= event < 0.030:
            answer = text or answer  # the same samples once more
        scrapes = [] if 0.030 <= event < 0.060 else [source.scrape(answer, now, timestamps=True)]
        text = answer
        engine.ingest(scrapes, now)
        span = interval(previous, now, STALE)
        if previous is not None and span.seconds:
            truth += gpu_joules(now) - gpu_joules(previous)
            seen += span.seconds
        _, shown, _ = close_books(engine.readings(now), tables, energy, span, now)
        for name, totals in energy.totals.items():
            values = dict(zip(totals.keys, totals.values.tolist(), strict=True))
            assert all(values[key] >= before for key, before in last.get(name, {}).items()), "a counter fell"
            last[name] = values
        assert shown
        told = energy.gap_seconds
        previous = now

    def total(family: str, *having: str) -> float:
        return math.fsum(v for k, v in last[family].items() if set(having) <= set(k))

    # In a short time one event weighs more: by no more than what may be drawn in one interval.
    allowed: dict[str, Any] = {"rel": 0.005} if HOURS == 10 else {"rel": 0.0, "abs": events * STEP * SWING}
    assert total("kcloud_accelerator_energy_joules_total") == pytest.approx(truth, **allowed)
    assert total("kcloud_node_energy_joules_total", "cpu") == pytest.approx(200.0 * seen, **allowed)
    assert total("kcloud_node_energy_joules_total", "gpu") == pytest.approx(
        total("kcloud_accelerator_energy_joules_total"), rel=1e-9
    )
    for component in ("cpu", "gpu", "other"):
        assert total("kcloud_cluster_energy_joules_total", component) == pytest.approx(
            total("kcloud_node_energy_joules_total", component), rel=1e-9
        )
    assert total("kcloud_namespace_energy_joules_total") == pytest.approx(
        total("kcloud_pod_energy_joules_total"), rel=1e-9
    )
    assert seen + told == pytest.approx(now - STEP, abs=STEP)


def test_nobody_can_change_an_energy_table_that_was_handed_out() -> None:
    totals, shown = Totals(), Table(Keys([("c", "cpu")]), np.array([5.0]))
    totals.add(shown, 2.0, 0.0)
    table = totals.table(shown)
    assert table.values.tolist() == [10.0]
    with pytest.raises(ValueError, match="read-only"):
        table.values[0] = 0.0
