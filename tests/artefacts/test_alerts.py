"""Every alert fires when it must, after the time that it must, says what it must, and is silent otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kcloud_exporter.artefacts.alerts import ALERTS
from kcloud_exporter.artefacts.recording import budget_group, power_group
from kcloud_exporter.artefacts.rules import alerts_file, alerts_of, to_yaml
from kcloud_exporter.artefacts.values import parse_values
from tests.artefacts.alert_cases import CASES
from tests.artefacts.promtool import Firing, case, run
from tests.artefacts.test_recording_rules import BUDGETS, only

VALUES = parse_values(BUDGETS, ALERTS)
RECORDING = only([*power_group(VALUES).rules, *budget_group(VALUES).rules])
"""Alerts about energy get the recorded series as their input."""
BY_NAME = {alert.name: alert for alert in alerts_of(VALUES)}


def alerts_of_group(group: str) -> str:
    """The shipped file without the other groups, which nobody asks for here."""
    groups = yaml.safe_load(alerts_file(VALUES))["groups"]
    return to_yaml({"groups": [each for each in groups if each["name"] == group]})


def fires_and_is_silent(name: str) -> list[dict[str, Any]]:
    alert, said = BY_NAME[name], CASES[name]
    minutes = said.begins + round(alert.for_ / 60)
    annotations = {
        "summary": said.summary,
        "description": said.description,
        "runbook_url": VALUES.runbook_url.format(alert=name),
    }
    labels = {**said.labels, "severity": alert.severity}
    fires = [
        Firing(name, f"{minutes - 1}m"),
        Firing(name, f"{minutes + 1}m", labels, annotations),
    ]
    silent = [
        case(inputs, [Firing(name, f"{minutes + 1}m"), Firing(name, f"{minutes + 20}m")]) for inputs in said.silent
    ]
    return [case(said.fires, fires), *silent]


def test_every_alert_has_a_case_that_fires_and_one_that_must_not() -> None:
    assert CASES.keys() == BY_NAME.keys()
    assert all(said.silent for said in CASES.values())


@pytest.mark.parametrize("group", dict.fromkeys(alert.group for alert in ALERTS))
def test_alerts_fire_when_they_must_and_only_then(group: str, tmp_path: Path) -> None:
    tests = [entry for alert in ALERTS if alert.group == group for entry in fires_and_is_silent(alert.name)]
    said = run(tmp_path, {"recording.yml": RECORDING, "alerts.yml": alerts_of_group(group)}, tests, "1m")
    assert not said, said
