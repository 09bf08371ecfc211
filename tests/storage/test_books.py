"""Counters over restarts: time is counted once, or told as a gap, or never; no joule is invented."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcloud_exporter.derive.energy import EnergyBook, Interval, Totals
from kcloud_exporter.derive.work import WorkBook
from kcloud_exporter.model import Keys, Table
from kcloud_exporter.readings import Work, WorkTable
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.storage.boot import boot_identity
from kcloud_exporter.storage.counters import CounterStore

ENERGY, LONGEST = "kcloud_cluster_energy_joules_total", 45.0
WATT = Table(Keys([("c", "cpu")]), np.array([1.0]))


def opened(folder: Path, wall: float = 0.0, boot: str = "this boot") -> Counters:
    return Counters(CounterStore(folder), wall, boot)


def cycle(counters: Counters, wall: float, monotonic: float) -> Interval:
    """One cycle of a cluster and a site that draw a watt each, so that joules are the seconds that were counted."""
    book, site = counters.cluster("c"), counters.site("s")
    span = book.progress.step(wall, monotonic, LONGEST)
    book.gap_seconds += span.gap
    assert site.progress.step(wall, monotonic, LONGEST) == span, "sites go by the same rule"
    for totals in (book.totals, site.totals):
        totals.setdefault(ENERGY, Totals()).add(WATT, span.seconds, wall)
    return span


def counted(book: EnergyBook) -> float:
    totals = book.totals.get(ENERGY)
    return float(totals.values.sum()) if totals is not None else 0.0


def save(counters: Counters) -> None:
    counters.save({"c": counters.cluster("c")}, {"s": counters.site("s")})


@pytest.mark.parametrize(
    ("boot", "wall", "monotonic", "seconds", "gap"),
    [
        pytest.param("this boot", 1030.0, 530.0, 30.0, 0.0, id="soon"),
        pytest.param("this boot", 5.0, 530.0, 30.0, 0.0, id="the wall clock was set back meanwhile"),
        pytest.param("this boot", 9e9, 530.0, 30.0, 0.0, id="the wall clock was set forward meanwhile"),
        pytest.param("this boot", 1545.0, 545.0, 45.0, 0.0, id="just in time"),
        pytest.param("this boot", 1046.0, 546.0, 0.0, 46.0, id="too late"),
        pytest.param("this boot", 1030.0, 400.0, 0.0, 30.0, id="a time that has not come yet: a machine restored"),
        pytest.param("this boot", 1000.0, 500.0, 0.0, 0.0, id="at once"),
        pytest.param("another boot", 1030.0, 530.0, 0.0, 30.0, id="the machine was restarted"),
        pytest.param("another boot", 990.0, 530.0, 0.0, 0.0, id="the machine was restarted, its clock is behind"),
        pytest.param("", 1030.0, 530.0, 0.0, 30.0, id="who knows which boot"),
    ],
)
def test_the_first_cycle_of_a_process_goes_on_where_the_last_one_stopped(
    tmp_path: Path, boot: str, wall: float, monotonic: float, seconds: float, gap: float
) -> None:
    first = opened(tmp_path)
    cycle(first, 985.0, 485.0)
    cycle(first, 1000.0, 500.0)
    save(first)
    first.close()
    second = opened(tmp_path, wall, boot)

    assert cycle(second, wall, monotonic) == Interval(seconds, gap)
    assert counted(second.cluster("c")) == 15.0 + seconds
    assert second.site("s").totals[ENERGY].values.tolist() == [15.0 + seconds]
    assert second.cluster("c").gap_seconds == gap
    second.close()


def test_who_does_not_know_the_boot_believes_nobody_who_did_not_either(tmp_path: Path) -> None:
    first = opened(tmp_path, boot="")
    cycle(first, 1000.0, 500.0)
    save(first)
    first.close()
    second = opened(tmp_path, 1010.0, boot="")

    assert cycle(second, 1010.0, 510.0) == Interval(0.0, 10.0)
    second.close()


def test_a_cycle_that_was_not_committed_is_counted_by_the_next_process(tmp_path: Path) -> None:
    first = opened(tmp_path)
    cycle(first, 1000.0, 500.0)
    save(first)
    cycle(first, 1015.0, 515.0)  # and killed before it was on disk
    first.close()
    second = opened(tmp_path)
    cycle(second, 1020.0, 520.0)

    assert counted(second.cluster("c")) == 20.0
    second.close()


def test_a_cycle_that_was_committed_and_not_published_is_not_counted_twice(tmp_path: Path) -> None:
    first = opened(tmp_path)
    cycle(first, 1000.0, 500.0)
    cycle(first, 1015.0, 515.0)
    save(first)
    first.close()
    second = opened(tmp_path)
    cycle(second, 1015.0, 515.0)
    cycle(second, 1020.0, 520.0)

    assert counted(second.cluster("c")) == 20.0
    second.close()


def test_a_cluster_that_is_away_for_a_process_and_comes_back_by_a_reload_continues(tmp_path: Path) -> None:
    first = opened(tmp_path)
    cycle(first, 1000.0, 500.0)
    cycle(first, 1015.0, 515.0)
    save(first)
    first.close()
    second = opened(tmp_path, 1020.0)
    second.save({"other": second.cluster("other")}, {})
    second.close()
    third = opened(tmp_path, 1500.0)

    assert cycle(third, 2000.0, 1500.0) == Interval(0.0, 985.0)
    assert counted(third.cluster("c")) == 15.0
    assert cycle(third, 2010.0, 1510.0) == Interval(10.0, 0.0)
    third.close()


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("cycle", "cycle", "cycle", "killed before", "killed after", "failed write", "reboot")),
        st.floats(0.0, 60.0),
        st.floats(-4000.0, 4000.0),
    ),
    max_size=25,
)


@given(EVENTS)
@settings(max_examples=60)
def test_whatever_happens_no_second_is_counted_twice_and_none_is_lost_unless_it_is_told(
    events: list[tuple[str, float, float]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, boot, booted, clock = Path(name), 0, 0.0, 1e9
        now = 10.0
        counters = opened(folder, clock + now, "0")
        cycle(counters, clock + now, now - booted)
        save(counters)
        begun, reboots, told = now, False, 0.0
        for event, seconds, set_clock in events:
            now += seconds
            clock += set_clock
            if event == "reboot":
                counters.close()
                boot, booted, reboots = boot + 1, now, True
                counters = opened(folder, clock + now, str(boot))
            cycle(counters, clock + now, now - booted)
            told = counters.cluster("c").gap_seconds
            if event in ("cycle", "killed after"):
                save(counters)
            if event.startswith("killed"):
                counters.close()
                counters = opened(folder, clock + now, str(boot))
        cycle(counters, clock + now, now - booted)
        joules, told = counted(counters.cluster("c")), counters.cluster("c").gap_seconds
        counters.close()

    assert joules <= now - begun + 1e-6, "no joule is invented"
    if not reboots:
        assert joules + told == pytest.approx(now - begun, abs=1e-6), "what is not counted is told"


def test_the_boot_is_the_same_in_every_process_and_is_no_guess() -> None:
    assert boot_identity() == boot_identity() != ""


def test_of_pods_that_ended_at_the_same_time_only_so_many_are_kept_either() -> None:
    """After a restart all counters look as old as the process: the bound must hold there, too."""
    pods = Totals([("c", f"p{row}") for row in range(1000)], np.arange(1000.0), 50.0)
    book = EnergyBook({"kcloud_pod_energy_joules_total": pods})
    book.forget_ended_pods(60.0, 3600.0, 100)
    kept = book.totals["kcloud_pod_energy_joules_total"]

    assert kept.keys == [("c", f"p{row}") for row in range(900, 1000)]
    assert kept.values.tolist() == np.arange(900.0, 1000.0).tolist()


def work_of(counters: Counters) -> WorkBook:
    return counters.cluster("c").work


def one_series(value: float, time: float) -> Work:
    table = WorkTable()
    table.jobs.row(("ml", "chat", "token"))
    table.things.row((0, 0, ""))
    table.thing_job.append(0)
    table.thing_scale.append(1.0)
    table.views.row((0, 0))
    table.view_thing.append(0)
    table.series.row(("source", "tokens", ""))
    table.series_view.append(0)
    return Work(table, np.array([value]), np.array([time]))


@pytest.mark.parametrize(("away", "units"), [(30.0, 40.0), (46.0, 0.0), (-30.0, 40.0)])
def test_work_that_was_done_while_nobody_looked_counts_as_long_as_that_was_short(
    tmp_path: Path, away: float, units: float
) -> None:
    """The mark is that of the process before; how long ago it was, the wall clock tells."""
    first = opened(tmp_path, 1000.0)
    work_of(first).count(one_series(100.0, 500.0), "c", 500.0, LONGEST)
    cycle(first, 1000.0, 500.0)
    save(first)
    first.close()
    second = opened(tmp_path, 1000.0 + away, "another boot")

    done = work_of(second).count(one_series(140.0, 20.0), "c", 20.0, LONGEST)
    assert float(np.nansum(done.values)) == units
    second.close()


@pytest.mark.parametrize("dated", [True, False], ids=["at the same time", "nobody knows when"])
def test_no_absence_is_made_up_however_short_one_may_be(tmp_path: Path, dated: bool) -> None:
    first = opened(tmp_path, 1000.0)
    work_of(first).count(one_series(100.0, 500.0), "c", 500.0, 0.5)
    if dated:
        cycle(first, 1000.0, 500.0)
    save(first)
    first.close()
    second = opened(tmp_path, 1000.0, "another boot")

    done = work_of(second).count(one_series(140.0, 20.0), "c", 20.0, 0.5)
    assert float(np.nansum(done.values)) == 40.0
    second.close()


def test_the_last_samples_count_in_their_own_boot_and_in_no_other(tmp_path: Path) -> None:
    first = opened(tmp_path)
    cycle(first, 1000.0, 500.0)
    first.save({"c": first.cluster("c")}, {"s": first.site("s")}, {"c": np.arange(6.0)})
    assert first.last_samples("c").tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    first.close()
    for boot, known in (("another boot", []), ("", []), ("this boot", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])):
        again = opened(tmp_path, 1030.0, boot)
        assert again.last_samples("c").tolist() == known, boot
        assert again.last_samples("nobody").tolist() == []
        again.close()
