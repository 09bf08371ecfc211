"""The payload of power events: it adds up, whatever it is narrowed to and broken down by; the unknown is absent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter import catalogue
from kcloud_exporter.model import Keys, Table
from kcloud_exporter.stream.filters import Filter
from kcloud_exporter.stream.power import PowerView
from kcloud_exporter.stream.sums import Sums
from kcloud_exporter.stream.thresholds import CLEAR_BELOW, Threshold
from tests.stream.ground import Pods, snapshot

LEDGER = {
    ("c1", "n1", "train", "gpu"): 400.0,
    ("c1", "n1", "train", "cpu"): 50.0,
    ("c1", "n1", "", "cpu"): 30.0,
    ("c1", "n2", "serve", "gpu"): 100.0,
    ("c2", "n1", "train", "npu"): 60.0,
    ("c2", "n1", "", "other"): 5.0,
}


def data(wanted: Filter, pods: Pods = LEDGER) -> dict[str, Any]:
    payload, total, _ = PowerView(wanted).payload(snapshot(1, pods))
    assert payload["data"].get("total_power_watts") == (None if total is None else pytest.approx(total))
    found: dict[str, Any] = payload["data"]
    return found


@pytest.mark.parametrize(
    ("wanted", "watts"),
    [
        (Filter(), 645),
        (Filter(cluster=("c1",)), 580),
        (Filter(node=("n1",)), 545),
        (Filter(cluster=("c2",), node=("n1",)), 65),
        (Filter(namespace=("train",)), 510),
        (Filter(namespace=("train",), node=("n1",), cluster=("c1",)), 450),
        (Filter(resource_type="accelerators"), 560),
        (Filter(resource_type="gpus", namespace=("train", "serve")), 500),
        (Filter(resource_type="infrastructure"), 85),
        (Filter(resource_type="cpu", node=("n1",)), 80),
    ],
)
def test_a_filter_takes_its_part_and_the_breakdown_does_not_change_it(wanted: Filter, watts: float) -> None:
    for breakdown in ("cluster", "node", "namespace"):
        found = data(Filter(**{**{n: getattr(wanted, n) for n in Filter.__slots__}, "breakdown_by": breakdown}))
        assert found["total_power_watts"] == watts
        assert math.fsum(found["components"].values()) == pytest.approx(watts)
        parts = math.fsum(row["power_watts"] for row in found["breakdown"])
        assert parts + found.get("unattributed_power_watts", 0) == pytest.approx(watts), breakdown


def test_rows_beyond_the_limit_are_added_up() -> None:
    found = data(Filter(breakdown_by="node", limit=1))

    assert [(row["cluster"], row["node"], row["power_watts"]) for row in found["breakdown"]] == [("c1", "n1", 480)]
    assert found["others"] == {"count": 2, "power_watts": 165}


def test_what_is_not_known_has_no_key() -> None:
    found = data(Filter(), {("c1", "n1", "train", "gpu"): math.nan})
    assert found == {"components": {}, "breakdown": []}

    found = data(Filter(node=("nobody",)))
    assert "total_power_watts" not in found

    found = data(Filter(), {**LEDGER, ("c3", "n1", "train", "gpu"): math.nan})
    assert found["total_power_watts"] == 645


def test_an_incomplete_fleet_says_so() -> None:
    payload, _, completeness = PowerView(Filter()).payload(snapshot(1, LEDGER, nodes={"c1": (1, 1, 2)}))

    assert completeness == 0.4
    assert payload["metadata"]["completeness_ratio"] == 0.4
    assert payload["metadata"]["nodes"] == {"measured": 2, "partial": 1, "missing": 2}


@given(st.lists(st.floats(0, 1e6) | st.just(math.nan), min_size=1, max_size=30), st.integers(1, 5))
def test_sums_follow_keys_that_grow_and_are_replaced(values: list[float], groups: int) -> None:
    keys = Keys([(str(n % groups),) for n in range(len(values))])
    sums: Sums[str] = Sums(lambda row: row[0] if row[0] != "0" else None)
    for count in [*range(1, len(values) + 1), 1]:
        found = sums.of(Table(keys, np.array(values[:count])))
        for group in range(groups):
            known = [v for n, v in enumerate(values[:count]) if n % groups == group and not math.isnan(v)]
            assert found.get(str(group)) == (pytest.approx(math.fsum(known)) if known and group else None)
    assert sums.of(Table(Keys([("7",)]), np.array([1.0]))) == {"7": 1.0}


class TestThreshold:
    @given(st.lists(st.floats(0, 200) | st.none(), max_size=50))
    def test_exceeded_and_resolved_take_turns(self, totals: list[float | None]) -> None:
        threshold = Threshold(100)
        states = [c.state for total in totals if (c := threshold.look(total, 1.0)) is not None]

        assert states == (["exceeded", "resolved"] * len(states))[: len(states)]

    @given(st.lists(st.floats(100 * CLEAR_BELOW, 200), min_size=1, max_size=50))
    def test_a_total_that_swings_about_the_threshold_rings_once(self, totals: list[float]) -> None:
        threshold = Threshold(100)
        heard = [c for total in totals if (c := threshold.look(total, 1.0)) is not None]

        assert len(heard) == (1 if max(totals) >= 100 else 0)

    def test_a_total_that_lost_a_part_of_the_fleet_has_not_fallen(self) -> None:
        threshold = Threshold(100)
        assert threshold.look(120, 0.9) is not None
        assert threshold.look(60, 0.5) is None
        assert threshold.look(None, 0.0) is None
        resolved = threshold.look(60, 0.9)
        assert resolved is not None
        assert resolved.state == "resolved"


def test_the_families_have_the_labels_that_filters_name() -> None:
    for family in (catalogue.CLUSTER_POWER, catalogue.NODE_POWER, catalogue.NAMESPACE_POWER, catalogue.POD_POWER):
        assert family.labels[0] == "cluster"
        assert family.labels[-1] == "component"
