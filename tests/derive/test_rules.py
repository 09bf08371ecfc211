"""Single rules of the books on numbers made by hand: each would be broken by one small mistake in the code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kcloud_exporter.derive.attribution import Holdings, scale_to_node, share_ratios
from kcloud_exporter.derive.ledger import CPU, GPU, Inputs, balance

NAN = float("nan")


def floats(*values: float) -> Any:
    return np.array(values, np.float64)


def rows(*values: int) -> Any:
    return np.array(values, np.int32)


def masks(*values: bool) -> Any:
    return np.array(values, bool)


def holding(
    sizes: list[int],
    shares: list[tuple[int, float, float]],
    *,
    whole: int = 0,
    activity: list[float] | None = None,
    live: list[bool] | None = None,
) -> Holdings:
    """One device: sizes of its parts (0: not cut), and of each share the part, its utilisation and its grant."""
    return Holdings(
        partition_device=rows(*[0] * len(sizes)),
        partition_size=rows(*sizes),
        partition_live=masks(*(live or [True] * len(sizes))),
        partition_activity=floats(*(activity or [NAN] * len(sizes))),
        device_whole=rows(whole),
        share_partition=rows(*(part for part, _, _ in shares)),
        share_pod=rows(*range(len(shares))),
        share_live=masks(*[True] * len(shares)),
        share_utilization=floats(*(use for _, use, _ in shares)),
        share_allocation=floats(*(grant for _, _, grant in shares)),
    )


def test_a_share_that_is_not_there_any_more_counts_for_nobody() -> None:
    """Its last figures are still in their columns."""
    used = holding([0], [(0, 0.6, NAN), (0, 0.2, NAN), (0, 0.5, NAN)])
    granted = holding([0], [(0, NAN, 0.3), (0, NAN, 0.5), (0, NAN, 0.9)])
    gone = masks(True, True, False)
    assert share_ratios(replace(used, share_live=gone)).tolist() == pytest.approx([0.75, 0.25, 0.0])
    assert share_ratios(replace(granted, share_live=gone)).tolist() == pytest.approx([0.3, 0.5, 0.0])


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (holding([0], [(0, NAN, NAN)]), [1.0]),
        (holding([0], [(0, NAN, NAN), (0, NAN, NAN)]), [0.5, 0.5]),
        (holding([0], [(0, 0.6, NAN), (0, 0.2, NAN)]), [0.75, 0.25]),
        (holding([0], [(0, 0.6, NAN), (0, NAN, NAN)]), [0.5, 0.5]),  # one that does not report: nobody's use counts
        (holding([0], [(0, 0.0, NAN), (0, 0.0, NAN)]), [0.5, 0.5]),  # nobody uses it: nothing to go by
        (holding([0], [(0, NAN, 0.3), (0, NAN, 0.5)]), [0.3, 0.5]),  # what was not granted belongs to nobody
        (holding([0], [(0, NAN, 0.9), (0, NAN, 0.9)]), [0.5, 0.5]),  # granted more than there is: scaled down
        (holding([0], [(0, NAN, 1.5), (0, NAN, 0.5)]), [2 / 3, 1 / 3]),  # a grant is at most of the whole device
        (holding([0], [(0, NAN, 0.3), (0, NAN, NAN)]), [0.5, 0.5]),
        (holding([0], [(0, 0.1, 0.9), (0, 0.3, 0.1)]), [0.25, 0.75]),  # use before grants
        (holding([1, 2, 4], [(0, NAN, NAN), (1, NAN, NAN), (2, NAN, NAN)], whole=8), [1 / 8, 2 / 8, 4 / 8]),
        (holding([1, 3], [(0, NAN, NAN), (1, NAN, NAN)]), [1 / 4, 3 / 4]),  # all parts are printed: they are the whole
        (holding([3, 4], [(0, NAN, NAN), (1, NAN, NAN)], whole=5), [3 / 7, 4 / 7]),  # held beyond the whole
        (holding([4, 4], [(0, NAN, NAN), (1, NAN, NAN)], whole=8, activity=[0.5, 0.0]), [0.25 + 0.75 / 2, 0.75 / 2]),
        # held beyond the whole: of 7 slices 3 are active, and the idle 4/7 of the device go by size
        (holding([3, 4], [(0, NAN, NAN), (1, NAN, NAN)], whole=5, activity=[1.0, 0.0]), [33 / 49, 16 / 49]),
        (holding([4, 4], [(0, NAN, NAN), (1, NAN, NAN)], whole=8, activity=[0.5, NAN]), [0.5, 0.5]),
        (holding([4, 4], [(0, NAN, NAN), (1, NAN, NAN)], whole=8, activity=[0.0, 0.0]), [0.5, 0.5]),
        (holding([4, 4], [(0, NAN, NAN), (1, NAN, NAN)], whole=8, activity=[9.0, 1.0]), [0.5, 0.5]),  # at most wholly
        (holding([0, 4], [(0, NAN, NAN), (1, NAN, NAN)], whole=8), [0.0, 0.5]),  # a row for the whole beside its part
        (holding([4], [(0, NAN, NAN), (0, NAN, NAN)], whole=8), [0.25, 0.25]),
        (holding([4, 4], [(0, NAN, NAN)], whole=8, live=[True, False]), [0.5]),
        # granted more than there is of a part: at the expense of nobody beside it
        (holding([4, 4], [(0, NAN, 0.9), (0, NAN, 0.9), (1, NAN, NAN)], whole=8), [0.25, 0.25, 0.5]),
    ],
)
def test_who_holds_which_part_of_a_device(held: Holdings, expected: list[float]) -> None:
    assert share_ratios(held).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("pods", "node", "shown", "of_node", "scaled"),
    [
        ([30.0, 10.0], 50.0, [30.0, 10.0], 50.0, 0),
        ([30.0, 30.0], 50.0, [25.0, 25.0], 50.0, 1),
        ([30.0, 20.0], 50.0, [30.0, 20.0], 50.0, 0),
        ([30.0, 20.0 + 1e-9], 50.0, [30.0, 20.0], 50.0, 0),  # dust is not told as somebody's mistake
        ([0.0, NAN], 0.0, [0.0, NAN], 0.0, 0),  # nothing of nothing is nothing, and not unknown
        ([30.0, NAN], NAN, [30.0, NAN], 30.0, 0),  # its pods are all that is known of it
        ([NAN, NAN], NAN, [NAN, NAN], NAN, 0),
        ([NAN, NAN], 50.0, [NAN, NAN], 50.0, 0),
    ],
)
def test_pods_never_claim_more_than_their_node(
    pods: list[float], node: float, shown: list[float], of_node: float, scaled: int
) -> None:
    power, whole, over = scale_to_node(floats(*pods), rows(0, 0), floats(node))
    assert power.tolist() == pytest.approx(shown, nan_ok=True)
    assert whole.tolist() == pytest.approx([of_node], nan_ok=True)
    assert over == scaled


def one_node(**changes: Any) -> Inputs:
    """A node of 500 W: CPU 100, memory 20, a GPU of 200 that pod 0 holds; two pods with CPU claims."""
    inputs = Inputs(
        wall=floats(500),
        cpu=floats(100),
        memory=floats(20),
        node_missing=masks(False),
        node_expected=masks(True),
        device_power=floats(200),
        device_missing=masks(False),
        device_node=rows(0),
        device_component=rows(GPU),
        pod_cpu=floats(30, 10),
        pod_memory=floats(5, NAN),
        pod_gpu=floats(NAN, NAN),
        pod_node=rows(0, 0),
        pod_namespace=rows(0, 1),
        namespaces=2,
        holdings=holding([0], [(0, NAN, NAN)]),
    )
    return replace(inputs, **changes)


def states(inputs: Inputs) -> tuple[bool, bool, bool]:
    """Measured, partial, lost."""
    ledger = balance(inputs)
    return bool(ledger.node_measured[0]), bool(ledger.node_partial[0]), bool(ledger.node_lost[0])


def test_a_node_that_is_all_there() -> None:
    ledger = balance(one_node())
    assert ledger.scaled_down == 0
    assert ledger.node_residual.tolist() == [180]
    assert states(one_node()) == (True, False, False)
    assert ledger.completeness == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"cpu": floats(NAN)},  # borrowed from its pods: at least that much, and perhaps more
        {"node_missing": masks(True)},
        {"device_missing": masks(True)},
        {"wall": floats(NAN), "cpu": floats(NAN)},
    ],
)
def test_a_node_of_which_something_is_not_known_is_partial(changes: dict[str, Any]) -> None:
    assert states(one_node(**changes)) == (False, True, False)


def test_the_meter_of_the_whole_server_is_enough_for_a_node_to_be_measured_and_its_gpus_alone_are_not() -> None:
    unmetered = {"cpu": floats(NAN), "pod_cpu": floats(NAN, NAN)}
    assert states(one_node(**unmetered)) == (True, False, False)
    assert states(one_node(**unmetered, wall=floats(NAN))) == (False, True, False)


def test_a_node_of_which_nothing_is_known_is_lost() -> None:
    nothing = {name: floats(NAN) for name in ("wall", "cpu", "memory", "device_power")}
    pods = {"pod_cpu": floats(NAN, NAN), "pod_memory": floats(NAN, NAN)}
    assert states(one_node(**nothing, **pods)) == (False, False, True)


def test_completeness_is_the_part_of_the_known_nodes_that_is_measured() -> None:
    measured, partial, lost, unknown = np.eye(4, dtype=bool)[[0, 1, 2, 2, 3]].T
    ledger = replace(balance(one_node()), node_measured=measured, node_partial=partial, node_lost=lost)
    assert unknown.sum() == 1
    assert ledger.completeness == 1 / 4
    nothing = masks(False)
    assert np.isnan(replace(ledger, node_measured=nothing, node_partial=nothing, node_lost=nothing).completeness)


def test_components_beyond_the_wall_leave_a_negative_residual_and_no_negative_power() -> None:
    ledger = balance(one_node(wall=floats(300)))
    assert ledger.node_residual.tolist() == [-20]
    assert ledger.node_power[0].tolist()[CPU] == 100
    assert np.nanmin(ledger.node_power) == 0


def test_a_meter_of_processes_counts_only_where_nobody_says_who_holds_the_device() -> None:
    told = one_node(pod_gpu=floats(NAN, 150))
    assert balance(told).pod_power[:, GPU].tolist() == pytest.approx([200, NAN], nan_ok=True)
    alone = replace(told, holdings=replace(told.holdings, share_live=masks(False)))
    assert balance(alone).pod_power[:, GPU].tolist() == pytest.approx([NAN, 150], nan_ok=True)
    beyond = replace(alone, pod_gpu=floats(NAN, 250))
    assert balance(beyond).pod_power[:, GPU].tolist() == pytest.approx([NAN, 200], nan_ok=True)
    assert balance(beyond).scaled_down == 1
