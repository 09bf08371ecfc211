"""Physics is the oracle: whatever is measured, held, missing or wrong, no watt is lost or counted twice."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcloud_exporter.catalogue import COMPONENTS
from kcloud_exporter.derive.attribution import Holdings
from kcloud_exporter.derive.ledger import Inputs, Ledger, Policy, balance

CLUSTERS = int(os.environ.get("KCLOUD_TEST_CLUSTERS", "250"))
"""How many are tried of each policy and law."""
ACCELERATORS = [COMPONENTS.index(c) for c in ("gpu", "npu", "tpu")]
watts = st.floats(0.0, 3_000.0, allow_nan=False)
maybe_watts = st.one_of(st.just(float("nan")), watts)
ratios = st.one_of(st.just(float("nan")), st.floats(0.0, 1.0))


@st.composite
def clusters(draw: st.DrawFn) -> Inputs:
    """A random cluster: nodes with and without meters, devices whole, cut, shared, idle or unread, pods anywhere."""
    nodes = draw(st.integers(1, 4))
    devices = draw(st.integers(0, 6))
    pods = draw(st.integers(0, 6))
    device_node = [draw(st.integers(0, nodes - 1)) for _ in range(devices)]
    pod_node = [draw(st.integers(0, nodes - 1)) for _ in range(pods)]
    partitions: list[tuple[int, int, bool, float]] = []
    for device in range(devices):
        partitions += [
            (device, draw(st.sampled_from((0, 0, 1, 2, 3, 4, 7))), draw(st.booleans()), draw(ratios))
            for _ in range(draw(st.integers(1, 4)))
        ]
    shares: list[tuple[int, int, bool, float, float]] = []
    for at, (device, *_) in enumerate(partitions):
        local = [p for p in range(pods) if pod_node[p] == device_node[device]]
        holders = draw(st.lists(st.sampled_from(local), max_size=3)) if local else []
        shares += [(at, pod, draw(st.booleans()) and partitions[at][2], draw(ratios), draw(ratios)) for pod in holders]

    def column(count: int, strategy: st.SearchStrategy[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([draw(strategy) for _ in range(count)], np.float64)

    def ints(values: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        return np.array(values, np.int32)

    flags = [draw(st.booleans()) for _ in range(devices)]
    return Inputs(
        wall=column(nodes, maybe_watts),
        cpu=column(nodes, maybe_watts),
        memory=column(nodes, maybe_watts),
        node_missing=np.zeros(nodes, bool),
        node_expected=np.ones(nodes, bool),
        device_power=column(devices, maybe_watts),
        device_missing=np.array(flags, bool),
        device_node=ints(device_node),
        device_component=ints([draw(st.sampled_from(ACCELERATORS)) for _ in range(devices)]),
        pod_cpu=column(pods, maybe_watts),
        pod_memory=column(pods, maybe_watts),
        pod_gpu=column(pods, maybe_watts),
        pod_node=ints(pod_node),
        pod_namespace=ints([draw(st.integers(-1, 2)) for _ in range(pods)]),  # -1: a VM
        namespaces=3,
        holdings=Holdings(
            partition_device=ints([p[0] for p in partitions]),
            partition_size=ints([p[1] for p in partitions]),
            partition_live=np.array([p[2] for p in partitions], bool),
            partition_activity=np.array([p[3] for p in partitions], np.float64),
            device_whole=ints([draw(st.sampled_from((0, 7, 7, 8))) for _ in range(devices)]),
            share_partition=ints([s[0] for s in shares]),
            share_pod=ints([s[1] for s in shares]),
            share_live=np.array([s[2] for s in shares], bool),
            share_utilization=np.array([s[3] for s in shares], np.float64),
            share_allocation=np.array([s[4] for s in shares], np.float64),
        ),
    )


def close(left: object, right: object) -> bool:
    return bool(np.allclose(left, right, rtol=1e-9, atol=1e-9, equal_nan=True))  # type: ignore[arg-type]


def check(inputs: Inputs, ledger: Ledger) -> None:
    nodes = len(inputs.wall)
    for component in range(len(COMPONENTS)):
        held = np.bincount(inputs.pod_node, np.nan_to_num(ledger.pod_power[:, component]), nodes)
        node, rest = ledger.node_power[:, component], ledger.node_unattributed[:, component]
        assert close(held + np.nan_to_num(rest), np.nan_to_num(node)), COMPONENTS[component]
        assert (np.isnan(node) == np.isnan(rest)).all()
    assert (np.nan_to_num(ledger.node_unattributed) >= -1e-9).all()
    measured = np.nansum(np.delete(ledger.node_power, COMPONENTS.index("other"), axis=1), axis=1)
    total = np.nansum(ledger.node_power, axis=1)
    assert close(total, np.fmax(np.nan_to_num(inputs.wall), measured))
    assert close(np.nansum(ledger.cluster_power), total.sum())
    vm = inputs.pod_namespace < 0
    assert close(np.nansum(ledger.namespace_power), np.nansum(ledger.pod_power[~vm]))
    assert close(np.nansum(ledger.pod_power[vm]) + np.nansum(ledger.namespace_power), np.nansum(ledger.pod_power))
    accelerators = ledger.node_power[:, ACCELERATORS]
    assert close(np.nansum(accelerators), np.nansum(inputs.device_power))


@pytest.mark.parametrize(
    ("idle", "overhead"),
    [
        ("unattributed", "unattributed"),
        ("proportional", "unattributed"),
        ("unattributed", "proportional"),
        ("proportional", "proportional"),
    ],
)
@settings(max_examples=CLUSTERS, deadline=None)
@given(inputs=clusters())
def test_pods_and_remainder_are_the_node_under_every_policy(inputs: Inputs, idle: Policy, overhead: Policy) -> None:
    check(inputs, balance(inputs, idle=idle, overhead=overhead))


@settings(max_examples=CLUSTERS, deadline=None)
@given(inputs=clusters())
def test_no_device_is_held_beyond_itself(inputs: Inputs) -> None:
    ratio = balance(inputs).share_ratio
    of = inputs.holdings.partition_device[inputs.holdings.share_partition]
    assert (np.bincount(of, ratio, len(inputs.device_power)) <= 1 + 1e-9).all()


@settings(max_examples=CLUSTERS, deadline=None)
@given(inputs=clusters())
def test_every_known_node_has_one_state(inputs: Inputs) -> None:
    ledger = balance(inputs)
    states = ledger.node_measured.astype(int) + ledger.node_partial + ledger.node_lost
    assert (states == 1).all()
    unread = np.isnan(ledger.node_power).all(axis=1)
    assert (ledger.node_lost == unread).all()


@settings(max_examples=CLUSTERS, deadline=None)
@given(inputs=clusters())
def test_policies_move_watts_and_make_none(inputs: Inputs) -> None:
    plain, shared = balance(inputs), balance(inputs, idle="proportional", overhead="proportional")
    assert close(plain.cluster_power, shared.cluster_power)
    assert close(
        np.nansum(plain.pod_power) + np.nansum(plain.node_unattributed),
        np.nansum(shared.pod_power) + np.nansum(shared.node_unattributed),
    )
