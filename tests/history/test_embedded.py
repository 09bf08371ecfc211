"""Embedded history: what is written is what is read, before and after it is on disk, merged or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from kcloud_exporter.history.embedded import EmbeddedHistory, FileReader
from kcloud_exporter.history.state import HistoryState
from kcloud_exporter.model import Snapshot
from tests.history.snapshots import T0, busy, snapshot, watts

NODE_POWER = "kcloud_node_power_watts"
NODE_ENERGY = "kcloud_node_energy_joules_total"


@dataclass
class Kept:
    """Histories in one folder, opened one after the other."""

    root: Path
    now: float = T0
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.state = HistoryState(self.registry)

    def open(self, retention: float = 30 * 86400.0) -> EmbeddedHistory:
        return EmbeddedHistory(self.root, retention, self.state, clock=lambda: self.now)

    def count(self, name: str) -> float:
        return self.registry.get_sample_value(f"kcloud_exporter_history_{name}") or 0.0

    def files(self) -> list[Path]:
        return sorted(self.root.rglob("*.parquet"))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "history")


async def record(history: EmbeddedHistory, begin: float, end: float, of: Callable[[float], Snapshot] = busy) -> None:
    """Cycles every 15 s in (begin, end]."""
    for at in np.arange(begin + 15, end + 1, 15):
        history._queue.put(of(float(at)))
    await history.flush()


def mean(series: int, end: float, step: float = 60.0) -> float:
    return float(np.mean([watts(series, at) for at in np.arange(end - step + 15, end + 1, 15)]))


async def test_a_gauge_is_the_mean_of_its_minute_and_a_counter_its_last_reading(kept: Kept) -> None:
    history = kept.open()
    await record(history, T0, T0 + 600)
    power = await history.series(NODE_POWER, {"node": "node-1"}, T0, T0 + 600, 60)
    energy = await history.series(NODE_ENERGY, {"node": "node-1"}, T0, T0 + 600, 300)
    await history.close()

    assert power.label_names == ("cluster", "node", "component")
    assert power.labels == [("seoul-a", "node-1", "gpu")]
    np.testing.assert_allclose(power.values[0], [mean(1, T0 + 60 * k) for k in range(1, 11)], rtol=1e-6)
    assert energy.values.tolist() == [[200.0 * (3600 + 300), 200.0 * (3600 + 600)]]


async def test_what_is_not_on_disk_yet_is_read_too_the_running_minute_included(kept: Kept) -> None:
    history = kept.open()
    await record(history, T0, T0 + 45)
    power = await history.series(NODE_POWER, {"node": "node-0"}, T0 - 15, T0 + 45, 60)
    pods = await history.series("kcloud_pod_power_watts", {}, T0 - 255, T0 + 45, 300)

    assert all(path.stat().st_size and "cluster=seoul-a" in str(path) for path in kept.files()), "first readings only"
    assert power.values[0, 0] == pytest.approx(np.mean([watts(0, T0 + k) for k in (15, 30, 45)]))
    assert len(pods.labels) == 3
    await history.close()
    again = await FileReader(kept.root).series(NODE_POWER, {"node": "node-0"}, T0 - 15, T0 + 45, 60)
    np.testing.assert_array_equal(again.values, power.values)


async def test_answers_stay_the_same_when_rows_reach_the_disk_and_files_are_merged(kept: Kept) -> None:
    history = kept.open()
    for part in range(8):
        await record(history, T0 + part * 900, T0 + (part + 1) * 900)
    window = T0 + 300, T0 + 7200

    async def answers() -> list[object]:
        power = await history.series(NODE_POWER, {}, *window, 300)
        energy = await history.series(NODE_ENERGY, {"node": "node-2"}, *window, 900)
        joules = await history.increase(NODE_ENERGY, {}, *window)
        pue = await history.series("kcloud_site_pue_ratio", {}, *window, 3600)
        return [
            power.labels, power.values.tolist(), energy.values.tolist(), joules.labels, joules.values.tolist(),
            pue.labels, pue.values.tolist(),
        ]  # fmt: skip

    before, many = await answers(), len(kept.files())
    await history.close()
    kept.now = T0 + 3 * 3600
    history = kept.open()
    await history.flush()
    by_hour, hours = await answers(), kept.files()
    await history.close()
    kept.now = T0 + 2 * 86400
    history = kept.open()
    await history.flush()
    by_day, day = await answers(), kept.files()
    await history.close()

    assert before == by_hour == by_day
    assert many == 16
    assert len(hours) == 4, "two hours of the cluster and of the fleet"
    assert len(day) == 2, "one day of each"
    assert by_day[4] == [100.0 * 6900, 200.0 * 6900, 300.0 * 6900], "joules, exactly"


async def test_unknown_is_a_gap_and_never_nought(kept: Kept) -> None:
    history = kept.open()
    await record(history, T0, T0 + 120)
    await record(history, T0 + 240, T0 + 300)
    power = await history.series(NODE_POWER, {"node": "node-0"}, T0, T0 + 300, 60)
    nothing = await history.series(NODE_POWER, {"node": "no-such-node"}, T0, T0 + 300, 60)
    await history.close()

    assert np.isnan(power.values[0]).tolist() == [False, False, True, True, False]
    assert nothing.labels == []
    assert nothing.values.shape == (0, 5)


async def test_a_reading_that_is_absent_in_a_cycle_does_not_count_as_nought_in_the_mean(kept: Kept) -> None:
    def sometimes(at: float) -> Snapshot:
        value = 100.0 if at % 30 == 0 else np.nan
        return snapshot(at, {"a": {NODE_POWER: {("a", "n", "gpu"): value, ("a", "never", "gpu"): np.nan}}})

    history = kept.open()
    await record(history, T0, T0 + 60, sometimes)
    power = await history.series(NODE_POWER, {}, T0, T0 + 60, 60)
    await history.close()

    assert power.labels == [("a", "n", "gpu")]
    assert power.values.tolist() == [[100.0]]


async def test_the_energy_of_what_begins_and_ends_inside_the_window_counts(kept: Kept) -> None:
    def short(at: float) -> Snapshot:
        lives = T0 + 105 <= at <= T0 + 405
        joules = 50.0 * (at - T0 - 105)
        pods: dict[tuple[str, ...], float] = {("a", "n", "ml", "job", "gpu"): joules} if lives else {}
        return snapshot(at, {"a": {"kcloud_pod_energy_joules_total": pods}})

    history = kept.open()
    await record(history, T0, T0 + 1200, short)
    joules = await history.increase("kcloud_pod_energy_joules_total", {"namespace": "ml"}, T0, T0 + 1200)
    await history.close()

    assert joules.labels == [("a", "n", "ml", "job", "gpu")]
    assert joules.values.tolist() == [50.0 * 300]


async def test_a_counter_that_began_anew_counts_both_parts(kept: Kept) -> None:
    def lost(at: float) -> Snapshot:
        joules = 1e6 + at - T0 if at <= T0 + 600 else at - T0 - 600
        return snapshot(at, {"a": {"kcloud_cluster_energy_joules_total": {("a", "gpu"): joules}}})

    history = kept.open()
    await record(history, T0 - 60, T0 + 1200, lost)
    joules = await history.increase("kcloud_cluster_energy_joules_total", {}, T0, T0 + 1200)
    await history.close()

    assert joules.values.tolist() == [600.0 + 600.0]


async def test_steps_of_an_increase_add_up_to_it_and_a_step_without_a_reading_is_unknown(kept: Kept) -> None:
    history = kept.open()
    await record(history, T0, T0 + 1200)
    await record(history, T0 + 2400, T0 + 3600)
    whole = await history.increase(NODE_ENERGY, {}, T0 + 600, T0 + 3600)
    steps = await history.increments(NODE_ENERGY, {}, T0 + 600, T0 + 3600, 600)
    await history.close()

    assert steps.labels == whole.labels
    assert steps.values[0].tolist()[:1] == [100.0 * 600]
    assert np.isnan(steps.values[0]).tolist() == [False, True, True, False, False]
    np.testing.assert_allclose(np.nansum(steps.values, axis=1), whole.values, rtol=1e-12)
    assert whole.values[0] == 100.0 * 3000, "the counter went on meanwhile, and its next reading tells it"


async def test_rows_of_a_restart_within_a_minute_are_one_minute(kept: Kept) -> None:
    first = kept.open()
    await record(first, T0, T0 + 30)
    await first.close()
    second = kept.open()
    await record(second, T0 + 30, T0 + 60)
    power = await second.series(NODE_POWER, {"node": "node-0"}, T0, T0 + 60, 60)
    await second.close()

    assert power.values[0, 0] == pytest.approx(mean(0, T0 + 60), rel=1e-6)


async def test_days_older_than_the_retention_go_and_younger_ones_stay(kept: Kept) -> None:
    history = kept.open()
    for day in range(4):
        await record(history, T0 + day * 86400, T0 + day * 86400 + 60)
    await history.close()
    kept.now = T0 + 3 * 86400
    history = kept.open(retention=1.5 * 86400)
    await history.flush()
    days = sorted(folder.name for folder in kept.root.iterdir())
    power = await history.series(NODE_POWER, {"node": "node-0"}, T0, T0 + 4 * 86400, 3600)
    await history.close()

    assert len(days) == 3, "a day goes when its last moment is too old"
    assert np.count_nonzero(~np.isnan(power.values)) == 3


async def test_names_that_would_be_paths_or_too_long_for_one_are_kept_and_found(kept: Kept) -> None:
    names = ["../../etc/passwd", "a/b c=d%2F", "서울" * 100, "x" * 200, ".", "cluster=a"]

    def all_of_them(at: float) -> Snapshot:
        return snapshot(at, {name: {"kcloud_cluster_power_watts": {(name, "gpu"): 7.0}} for name in names})

    history = kept.open()
    await record(history, T0, T0 + 60, all_of_them)
    await history.close()
    reader = FileReader(kept.root)
    everything = await reader.series("kcloud_cluster_power_watts", {}, T0, T0 + 60, 60)

    assert sorted(label[0] for label in everything.labels) == sorted(names)
    for name in names:
        one = await reader.series("kcloud_cluster_power_watts", {"cluster": name}, T0, T0 + 60, 60)
        assert one.labels == [(name, "gpu")]
    assert {path.parent.parent.parent for path in kept.files()} == {kept.root}


async def test_a_snapshot_is_taken_without_waiting_even_while_the_thread_is_busy(kept: Kept) -> None:
    history = kept.open()
    await history.flush()
    with history.gate:  # the thread cannot go on while somebody holds this
        for k in range(20):
            history.record(busy(T0 + 15 * (k + 1)))
    await history.flush()
    await history.close()

    assert kept.count("skipped_cycles_total") >= 10


async def test_readers_on_many_threads_see_whole_answers_while_files_are_written_and_merged(kept: Kept) -> None:
    history = kept.open()
    for part in range(6):
        await record(history, T0 + part * 600, T0 + (part + 1) * 600)
    expected = (await history.series(NODE_POWER, {}, T0, T0 + 3000, 600)).values
    kept.now = T0 + 3 * 86400
    stop = asyncio.Event()
    seen = 0

    async def read() -> None:
        nonlocal seen
        while not stop.is_set():
            answer = await history.series(NODE_POWER, {}, T0, T0 + 3000, 600)
            np.testing.assert_array_equal(answer.values, expected)
            seen += 1

    readers = [asyncio.create_task(read()) for _ in range(3)]
    other = FileReader(kept.root)
    for _ in range(5):
        await asyncio.to_thread(history._write_and_tidy)
        np.testing.assert_array_equal((await other.series(NODE_POWER, {}, T0, T0 + 3000, 600)).values, expected)
    stop.set()
    await asyncio.gather(*readers)
    merged = kept.files()
    await history.close()

    assert seen
    assert len(merged) == 2
