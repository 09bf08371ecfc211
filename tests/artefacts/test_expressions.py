"""Every expression of rules, alerts, dashboards and runbooks speaks of series and labels that exist."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.alerts import ALERTS
from kcloud_exporter.artefacts.dashboards import dashboards
from kcloud_exporter.artefacts.rules import alerts_of, recording_groups
from kcloud_exporter.artefacts.runbook_pages import knowledge
from kcloud_exporter.artefacts.values import parse_values
from tests.artefacts.labels import MistakeError, check, full_schema, page_schema
from tests.artefacts.test_recording_rules import BUDGETS

VALUES = parse_values(BUDGETS, ALERTS)
SCHEMA = full_schema(VALUES)
FILLED = {alert.name: alert for alert in alerts_of(VALUES)}
GRAFANA = {"$__rate_interval": "5m", "$__range": "1h"}


def without_grafana(expr: str) -> str:
    for variable, value in GRAFANA.items():
        expr = expr.replace(variable, value)
    return expr


def test_the_level_of_a_recorded_name_is_its_labels() -> None:
    for group in recording_groups(VALUES):
        for rule in group.rules:
            level = rule.record.split(":")[0]
            expected = set() if level == "fleet" else set(level.split("_"))
            assert SCHEMA[rule.record] == expected, rule.record


@pytest.mark.parametrize("name", FILLED)
def test_an_alert_and_its_texts_use_what_the_expression_gives(name: str) -> None:
    alert = FILLED[name]
    labels = check(alert.expr, SCHEMA)
    used = set(re.findall(r"\$labels\.(\w+)", alert.summary + alert.description))
    assert used <= labels


PANELS = [
    (f"{board['uid']}: {panel['title']}: {target['refId']}", target["expr"])
    for board in dashboards()
    for panel in board["panels"]
    for target in panel.get("targets") or ()
]


@pytest.mark.parametrize("expr", [expr for _, expr in PANELS], ids=[name for name, _ in PANELS])
def test_a_panel_uses_what_exists(expr: str) -> None:
    check(without_grafana(expr), SCHEMA)


@pytest.mark.parametrize("board", dashboards(), ids=lambda board: board["uid"])
def test_a_legend_uses_labels_that_the_query_gives(board: dict[str, Any]) -> None:
    for panel in board["panels"]:
        for target in panel.get("targets") or ():
            labels = check(without_grafana(target["expr"]), SCHEMA)
            used = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat") or ""))
            assert used <= labels, f"{panel['title']}: {used - labels}"


@pytest.mark.parametrize("name", FILLED)
def test_the_queries_of_a_runbook_can_be_asked(name: str) -> None:
    for block in re.findall(r"```promql\n(.*?)```", knowledge(name), re.DOTALL):
        check(block, SCHEMA)


def test_every_family_is_used_by_a_rule_an_alert_or_a_panel() -> None:
    exprs = [rule.expr for group in recording_groups(VALUES) for rule in group.rules]
    exprs += [alert.expr for alert in FILLED.values()] + [expr for _, expr in PANELS]
    everything = "\n".join(exprs)
    unused = {name for name in catalogue.FAMILIES if not re.search(rf"(?<![\w:]){name}(?![\w:])", everything)}
    assert unused == {
        "kcloud_accelerator_energy_joules_total",  # a series per device: asked for one by one
        "kcloud_vm_energy_joules_total",  # the same
        "kcloud_pod_energy_joules_total",  # as many series as pods ever were: asked for one by one
        "kcloud_site_it_power_watts",  # only this shard's clusters; totals of sites are made of all shards' clusters
        "kcloud_snapshot_timestamp_seconds",  # the age is the better number: it needs no agreement of clocks
    }


@pytest.mark.parametrize(
    ("expr", "mistake"),
    [
        ("kcloud_nothing", "there is no series kcloud_nothing"),
        ('kcloud_cluster_power_watts{node="a"}', "no label node"),
        ("sum by (node) (kcloud_cluster_power_watts)", "no label node"),
        ("kcloud_cluster_power_watts / on (node) kcloud_node_wall_power_watts", "no label node"),
        ("kcloud_cluster_power_watts + kcloud_node_wall_power_watts", "say on which labels"),
        ("rate(kcloud_cluster_power_watts)", "expected type"),
        ("sum by (site) (kcloud_cluster_power_watts * on (cluster) kcloud_cluster_info)", "no label site"),
    ],
)
def test_the_checker_finds(expr: str, mistake: str) -> None:
    with pytest.raises(MistakeError, match=re.escape(mistake)):
        check(expr, page_schema())
