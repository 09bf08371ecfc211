"""Every recording rule, by `promtool test rules`: totals, roll-ups over shards and twins, energy, PUE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from kcloud_exporter.artefacts.alerts import ALERTS
from kcloud_exporter.artefacts.recording import Recording
from kcloud_exporter.artefacts.recording_energy import (
    COVERAGE,
    FACILITY_HOURS,
    IT_HOURS,
    IT_SIDE,
    WORK_DONE,
    WORK_ENERGY,
    energy_groups,
)
from kcloud_exporter.artefacts.rules import recording, recording_file, recording_groups, to_yaml
from kcloud_exporter.artefacts.values import parse_values
from tests.artefacts.fleet_of_three import MINUTES, world
from tests.artefacts.promtool import Expected, Inputs, case, run

BUDGETS = {
    "power_budget_watts": {"sites": {"s1": 800}, "clusters": {"c1": 500}, "namespaces": {"c1/ml": 250}},
}
VALUES = parse_values(BUDGETS, ALERTS)
RULES = {"recording.yml": recording_file(VALUES)}

C1_ML, N1, POD = (
    'cluster="c1",namespace="ml"',
    'cluster="c1",node="n1"',
    'cluster="c1",namespace="ml",node="n1",pod="p"',
)
H100 = 'cluster="c1",kind="gpu",model="H100",vendor="nvidia"'
NODES = {N1: 260.0, 'cluster="c1",node="n2"': 40.0}
NAMESPACES = {C1_ML: 240.0, 'cluster="c2",namespace="ml"': 10.0}
CLUSTERS = {'cluster="c1"': 400.0, 'cluster="c2"': 200.0, 'cluster="c3"': 50.0}

MOMENT: Mapping[str, Mapping[str, float]] = {
    "cluster_node:kcloud_node_power_watts:sum": NODES,
    "cluster_node:kcloud_node_power_watts:topk_sum": NODES,
    "cluster_node:kcloud_node_unattributed_power_watts:sum": {N1: 20, 'cluster="c1",node="n2"': 40},
    "cluster_node_namespace_pod:kcloud_pod_power_watts:sum": {POD: 240},
    "cluster_node_namespace_pod:kcloud_pod_power_watts:topk_sum": {POD: 240},
    "cluster_node_project_vm:kcloud_vm_power_watts:sum": {'cluster="c1",node="n2",project="demo",vm="web"': 15},
    "cluster_namespace:kcloud_namespace_power_watts:sum": NAMESPACES,
    "cluster_namespace:kcloud_namespace_power_watts:topk_sum": NAMESPACES,
    "namespace:kcloud_namespace_power_watts:sum": {'namespace="ml"': 250},
    "cluster:kcloud_cluster_power_watts:sum": CLUSTERS,
    "site:kcloud_cluster_power_watts:sum": {'site="s1"': 600, 'site="s2"': 50},
    "fleet:kcloud_cluster_power_watts:sum": {"": 650},
    "component:kcloud_cluster_power_watts:sum": {'component="cpu"': 300, 'component="gpu"': 300, 'component="npu"': 50},
    "cluster:kcloud_node_unattributed_power_watts:sum": {'cluster="c1"': 60},
    "cluster:kcloud_node_unattributed_power_watts:ratio": {'cluster="c1"': 0.15},
    "cluster_kind_vendor_model:kcloud_accelerator_power_watts:sum": {H100: 200},
    "cluster_vendor_model:kcloud_accelerator_power_watts:count": {'cluster="c1",model="H100",vendor="nvidia"': 2},
    "cluster_kind:kcloud_accelerator_utilization_ratio:avg": {'cluster="c1",kind="gpu"': 0.5},
    "cluster_kind:kcloud_accelerator_allocation_ratio:sum": {'cluster="c1",kind="gpu"': 1},
    "cluster_namespace:kcloud_accelerator_idle_power_watts:sum": {C1_ML: 80},
    "site_category:kcloud_site_facility_power_watts:max": {
        'category="pue2",site="s1"': 750,
        'category="pue2",site="s2"': 100,
    },
    "site:kcloud_cluster_info:count": {'site="s1"': 2, 'site="s2"': 1},
    "site:kcloud_cluster_nodes:ratio": {'site="s1"': 1, 'site="s2"': 0.5},
    # s2 has a facility meter and IT power, but only half of its nodes are measured.
    "site_category:kcloud_site_pue:ratio": {'category="pue2",site="s1"': 1.25},
    "site:kcloud_power_budget_watts:constant": {'site="s1"': 800},
    "cluster:kcloud_power_budget_watts:constant": {'cluster="c1"': 500},
    "cluster_namespace:kcloud_power_budget_watts:constant": {C1_ML: 250},
}
DAY = 86_400.0
TOKENS = 'cluster="c1",namespace="ml",unit="token"'
ENERGY: Mapping[str, Mapping[str, float]] = {
    "cluster_node_component:kcloud_node_energy_joules:rate5m": {
        'cluster="c1",component="cpu",node="n1"': 60,
        'cluster="c1",component="gpu",node="n1"': 200,
        'cluster="c1",component="cpu",node="n2"': 40,
    },
    "cluster_namespace_component:kcloud_namespace_energy_joules:rate5m": {
        'cluster="c1",component="cpu",namespace="ml"': 40,
        'cluster="c1",component="gpu",namespace="ml"': 200,
        'cluster="c2",component="cpu",namespace="ml"': 10,
    },
    "cluster_component:kcloud_cluster_energy_joules:rate5m": {
        'cluster="c1",component="cpu"': 100,
        'cluster="c1",component="gpu"': 300,
        'cluster="c2",component="cpu"': 200,
        'cluster="c3",component="npu"': 50,
    },
    "cluster:kcloud_cluster_energy_joules:sum_rate5m": CLUSTERS,
    "site:kcloud_cluster_energy_joules:sum_rate5m": {'site="s1"': 600, 'site="s2"': 50},
    "site_category:kcloud_site_facility_energy_joules:rate5m": {
        'category="pue2",site="s1"': 750,
        'category="pue2",site="s2"': 100,
    },
    "site:kcloud_site_it_energy_joules:rate5m": {'site="s1"': 400, 'site="s2"': 400},
    "cluster:kcloud_cluster_energy_joules:increase1d": {k: v * DAY for k, v in CLUSTERS.items()},
    "cluster_namespace:kcloud_namespace_energy_joules:increase1d": {k: v * DAY for k, v in NAMESPACES.items()},
    "site:kcloud_cluster_energy_joules:increase1d": {'site="s1"': 600 * DAY, 'site="s2"': 50 * DAY},
    "fleet:kcloud_cluster_energy_joules:increase1d": {"": 650 * DAY},
    "cluster_namespace:kcloud_namespace_emissions_grams:rate5m": {C1_ML: 0.5, 'cluster="c2",namespace="ml"': 0.25},
    "cluster:kcloud_namespace_emissions_grams:sum_rate5m": {'cluster="c1"': 0.5, 'cluster="c2"': 0.25},
    "cluster_namespace:kcloud_namespace_emissions_grams:increase1d": {
        C1_ML: 0.5 * DAY,
        'cluster="c2",namespace="ml"': 0.25 * DAY,
    },
    "fleet:kcloud_namespace_emissions_grams:increase1d": {"": 0.75 * DAY},
    "cluster_namespace_currency:kcloud_namespace_cost:rate5m": {
        'cluster="c1",currency="KRW",namespace="ml"': 1,
        'cluster="c2",currency="KRW",namespace="ml"': 0.5,
    },
    "cluster_currency:kcloud_namespace_cost:sum_rate5m": {
        'cluster="c1",currency="KRW"': 1,
        'cluster="c2",currency="KRW"': 0.5,
    },
    "cluster_namespace_currency:kcloud_namespace_cost:increase1d": {
        'cluster="c1",currency="KRW",namespace="ml"': DAY,
        'cluster="c2",currency="KRW",namespace="ml"': 0.5 * DAY,
    },
    "currency:kcloud_namespace_cost:increase1d": {'currency="KRW"': 1.5 * DAY},
    # The page shows no figure for requests, so none is recorded.
    WORK_DONE: {TOKENS: 60},
    WORK_ENERGY: {TOKENS: 240},
    "cluster_namespace_unit:kcloud_namespace_energy_joules_per_kcloud_work_units:ratio_rate1h": {TOKENS: 4},
    "cluster_namespace_unit:kcloud_namespace_energy_joules_per_kcloud_work_units:ratio_rate1d": {TOKENS: 4},
    "site_category:kcloud_site_facility_energy_joules:guarded_rate5m": {'category="pue2",site="s1"': 750},
    "site_category:kcloud_cluster_energy_joules:guarded_rate5m": {'category="pue2",site="s1"': 600},
    "site_category:kcloud_site_pue:ratio_rate1h": {'category="pue2",site="s1"': 1.25},
    "site_category:kcloud_site_pue:ratio_rate24h": {'category="pue2",site="s1"': 1.25},
}
HOURS: Mapping[str, float] = {FACILITY_HOURS: 750 * 3600, IT_HOURS: 600 * 3600, COVERAGE: 1}
LONG = {f"site_category:kcloud_site_pue:ratio_rate{days}d": 24 * days for days in (30, 365)}
"""The long windows of PUE, and how many hours they hold."""
PUE_1H = "site_category:kcloud_site_pue:ratio_rate1h"


def test_every_recording_rule_has_a_case() -> None:
    recorded = {rule.record for group in recording_groups(VALUES) for rule in group.rules}
    assert recorded == MOMENT.keys() | ENERGY.keys() | HOURS.keys() | LONG.keys()


def test_totals_of_the_moment_count_twins_once_and_add_shards(tmp_path: Path) -> None:
    expected = [Expected(record, "10m", samples) for record, samples in MOMENT.items()]
    said = run(tmp_path, RULES, [case(world(), expected)], "1m")
    assert not said, said


def test_rates_and_energy_of_a_day_are_exact(tmp_path: Path) -> None:
    expected = [Expected(f"round({record}, 0.001)", "1d", samples) for record, samples in ENERGY.items()]
    said = run(tmp_path, RULES, [case(world(), expected)], "5m")
    assert not said, said


def test_hours_of_both_sides_of_pue_are_exact(tmp_path: Path) -> None:
    expected = [
        Expected(f"round({record}, 0.001)", "1d", {'category="pue2",site="s1"': value})
        for record, value in HOURS.items()
    ]
    said = run(tmp_path, RULES, [case(world(), expected)], "5m")
    assert not said, said


@pytest.mark.parametrize("record", LONG)
def test_pue_of_a_long_window_is_known_when_the_window_is(record: str, tmp_path: Path) -> None:
    hours, site = LONG[record], 'category="pue2",site="s1"'
    # As long as the window at PUE 1.25, then as long at PUE 1.75.
    inputs = {
        f"{FACILITY_HOURS}{{{site}}}": f"1000x{hours} 1400x{hours}",
        f"{IT_HOURS}{{{site}}}": f"800x{hours} 800x{hours}",
        f"{COVERAGE}{{{site}}}": f"1x{hours} 1x{hours}",
    }
    expected = [
        Expected(record, f"{hours * 9 // 10}h"),
        Expected(record, f"{hours}h", {site: 1.25}),
        Expected(record, f"{2 * hours}h", {site: 1.75}),
    ]
    _, group = energy_groups(VALUES)
    windows = [rule for rule in group.rules if rule.record == record]
    tests = [case(inputs, expected, interval="1h")]
    # Few evaluations: a year by the hour is long even for promtool.
    said = run(tmp_path, {"long.yml": only(windows)}, tests, f"{hours // 10}h")
    assert not said, said


def only(rules: Iterable[Recording]) -> str:
    return to_yaml({"groups": [{"name": "only", "rules": [recording(r) for r in rules]}]})


def changed(pattern: str, values: str) -> Inputs:
    """The world, in which every series that begins so has these values."""
    found = {series: values for series in world() if series.startswith(pattern)}
    assert found, f"no series begins with {pattern}"
    return {**world(), **found}


SUMS = ("kcloud_cluster_", "kcloud_namespace_", "kcloud_energy_gap_seconds_total")


def divided(second: str = "") -> Inputs:
    """The world, in which c1 is two parts of equal sums, each of a pair; `second` are values of all of the second.

    Nodes, pods and devices are in the first part alone.
    """
    rows: dict[str, str] = {}
    for series, values in world().items():
        if 'cluster="c1"' not in series:
            more = "1300x" if series.startswith("kcloud_site_facility_power_watts") and 's1"' in series else ""
            more = "0+78000x" if series.startswith("kcloud_site_facility_energy") and 's1"' in series else more
            rows[series] = f"{more}{MINUTES}" if more else values
            continue
        rows[series.replace("}", ',shard="0"}')] = values
        if series.startswith(SUMS):
            other = series.replace('instance="a', 'instance="d').replace("}", ',shard="1"}')
            rows[other] = values.replace(f"x{MINUTES}", second) if second else values
    return rows


def test_parts_of_a_cluster_are_added_up_and_their_twins_are_not(tmp_path: Path) -> None:
    by_cluster = {'cluster="c1"': 800.0, 'cluster="c2"': 200.0, 'cluster="c3"': 50.0}
    now: Mapping[str, Mapping[str, float]] = {
        "cluster:kcloud_cluster_power_watts:sum": by_cluster,
        "site:kcloud_cluster_power_watts:sum": {'site="s1"': 1000, 'site="s2"': 50},
        "fleet:kcloud_cluster_power_watts:sum": {"": 1050},
        "component:kcloud_cluster_power_watts:sum": {
            'component="cpu"': 400, 'component="gpu"': 600, 'component="npu"': 50
        },
        "cluster_namespace:kcloud_namespace_power_watts:sum": {C1_ML: 480.0, 'cluster="c2",namespace="ml"': 10.0},
        "cluster_node:kcloud_node_power_watts:sum": NODES,
        "site:kcloud_cluster_info:count": {'site="s1"': 3, 'site="s2"': 1},
        "site:kcloud_cluster_nodes:ratio": {'site="s1"': 1, 'site="s2"': 0.5},
        "site_category:kcloud_site_pue:ratio": {'category="pue2",site="s1"': 1.3},
    }  # fmt: skip
    rates: Mapping[str, Mapping[str, float]] = {
        "cluster:kcloud_cluster_energy_joules:sum_rate5m": by_cluster,
        "cluster:kcloud_cluster_energy_joules:increase1d": {k: v * DAY for k, v in by_cluster.items()},
        "cluster_namespace:kcloud_namespace_emissions_grams:rate5m": {C1_ML: 1, 'cluster="c2",namespace="ml"': 0.25},
        "cluster_currency:kcloud_namespace_cost:sum_rate5m": {
            'cluster="c1",currency="KRW"': 2, 'cluster="c2",currency="KRW"': 0.5
        },
        PUE_1H: {'category="pue2",site="s1"': 1.3},
    }  # fmt: skip
    expected = [Expected(record, "10m", samples) for record, samples in now.items()]
    said = run(tmp_path, RULES, [case(divided(), expected)], "1m")
    assert not said, said
    expected = [Expected(f"round({record}, 0.001)", "1d", samples) for record, samples in rates.items()]
    said = run(tmp_path, RULES, [case(divided(), expected)], "5m")
    assert not said, said


def without_shard_b_after_an_hour() -> Inputs:
    return {
        series: values.replace(f"x{MINUTES}", "x60 _x60") if 'instance="b"' in series else values
        for series, values in world().items()
    }


SPOILED: Mapping[str, Inputs] = {
    "a node is not measured": changed('kcloud_cluster_nodes{cluster="c2",state="missing"', "0x60 1x60"),
    "a shard is down and takes a cluster with it": without_shard_b_after_an_hour(),
    "a part of a cluster is down": divided("x60 _x60"),
    "nobody saw what was drawn": changed('kcloud_energy_gap_seconds_total{cluster="c2"', "0x60 0+10x60"),
    "the facility meter is lost": changed("kcloud_site_facility_energy_joules_total", "0+45000x60 _x60"),
    "IT power is not known": changed("kcloud_cluster_energy_joules_total", "0+6000x60 _x60"),
}
"""An hour of good data, then an hour of what the key says."""


@pytest.mark.parametrize("what", SPOILED)
def test_pue_becomes_absent_and_never_wrong_when(what: str, tmp_path: Path) -> None:
    expected = [
        Expected(f"count({IT_SIDE})", "1h", {"": 1}),
        Expected(f'{IT_SIDE}{{site="s1"}}', "70m"),
        Expected(PUE_1H, "2h"),
    ]
    said = run(tmp_path, RULES, [case(SPOILED[what], expected)], "5m")
    assert not said, said


def test_pue_below_one_is_not_shown(tmp_path: Path) -> None:
    inputs = changed("kcloud_site_facility_energy_joules_total", "0+45000x60 2700000+600x60")
    site = 'category="pue2",site="s1"'
    expected = [
        Expected(f"round({PUE_1H}, 0.001)", "1h", {site: 1.25}),
        Expected(f'round({IT_SIDE}{{site="s1"}}, 0.001)', "2h", {site: 600}),
        Expected(PUE_1H, "2h"),
    ]
    said = run(tmp_path, RULES, [case(inputs, expected)], "5m")
    assert not said, said


def test_no_budget_no_rule_about_it() -> None:
    assert "budget" not in recording_file(parse_values({}, ALERTS))
