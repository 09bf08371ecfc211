"""Values are step functions, and counters are exactly their integrals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter.fleet import FleetSpec, build_world, places, render
from kcloud_exporter.fleet.signals import Clock, Signal
from tests.fleet.conftest import START, samples


def by_hand(levels: list[int], step: float, elapsed: float) -> float:
    """The integral, one step after the other."""
    summed, index = 0.0, 0
    while elapsed > step:
        summed += levels[index % len(levels)] * step
        elapsed -= step
        index += 1
    return summed + levels[index % len(levels)] * elapsed


@given(
    levels=st.lists(st.integers(0, 10**6), min_size=1, max_size=7),
    step=st.sampled_from([0.5, 1.0, 5.0]),
    elapsed=st.integers(0, 400).map(lambda n: n / 4),
)
def test_the_integral_is_the_sum_over_the_steps(levels: list[int], step: float, elapsed: float) -> None:
    signal = Signal(Clock(START, step, len(levels)), np.array(levels, dtype=np.int64))
    assert math.isclose(signal.integral(START + elapsed), by_hand(levels, step, elapsed), abs_tol=1e-6)


def test_a_value_holds_during_its_step_and_the_levels_repeat() -> None:
    signal = Signal(Clock(START, 5.0, 3), np.array([10, 20, 30], dtype=np.int64))
    assert [signal.at(START + t) for t in (0, 4.9, 5, 9.9, 10, 14.9, 15, 20)] == [10, 10, 20, 20, 30, 30, 10, 20]


def test_before_the_start_nothing_has_been_consumed() -> None:
    signal = Signal(Clock(START, 5.0, 2), np.array([10, 20], dtype=np.int64))
    assert signal.integral(START - 100) == 0
    assert signal.at(START - 100) == 10


@pytest.mark.parametrize(
    ("cluster", "node", "vendor", "gauge", "counter", "joules"),
    [
        ("seoul-a", "gpu-1", "dcgm", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 1e-3),
        ("seoul-a", "gpu-1", "kepler", "kepler_node_cpu_watts", "kepler_node_cpu_joules_total", 1.0),
        ("seoul-a", "cp-1", "kepler", "kepler_pod_cpu_watts", "kepler_pod_cpu_joules_total", 1.0),
    ],
)
def test_a_counter_grows_by_its_gauge_times_the_time(
    cluster: str, node: str, vendor: str, gauge: str, counter: str, joules: float
) -> None:
    world = build_world(FleetSpec(), START)
    place = next(p for p in places(world) if (p.cluster, p.node, p.vendor) == (cluster, node, vendor))
    early, late = START + 7200, START + 7204  # inside one step of five seconds
    first, second = samples(render(world, place, early)), samples(render(world, place, late))

    def column(page: list[tuple[str, dict[str, str], float]], name: str) -> dict[str, float]:
        return {str(labels): value for n, labels, value in page if n == name and labels.get("state") != "terminated"}

    power, before, after = column(first, gauge), column(first, counter), column(second, counter)
    assert power
    assert power.keys() == before.keys() == after.keys()
    for series, watts in power.items():
        grown = (after[series] - before[series]) * joules
        assert math.isclose(grown, watts * 4, abs_tol=2e-3), series


def test_a_frozen_fleet_never_changes_its_power_while_its_counters_run() -> None:
    world = build_world(FleetSpec(frozen=True), START)
    node = world.node("seoul-a", "gpu-1")
    assert {node.cpu.at(START + t) for t in range(0, 4000, 7)} == {node.cpu.at(START)}
    assert node.cpu.integral(START + 100) == node.cpu.at(START) * 100


def test_a_living_fleet_changes_with_every_step_or_nearly() -> None:
    node = build_world(FleetSpec(), START).node("seoul-a", "gpu-1")
    levels = [device.power.at(START + 5 * step) for device in node.accelerators for step in range(100)]
    assert len(set(levels)) > 300


def test_the_step_is_configurable() -> None:
    world = build_world(FleetSpec(step_seconds=1.0), START)
    power = world.node("seoul-a", "gpu-1").accelerators[0].power
    assert len({power.at(START + t) for t in range(20)}) > 10
