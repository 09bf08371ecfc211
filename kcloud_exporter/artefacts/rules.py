"""The rule files: recording rules and alerts as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

import yaml

from kcloud_exporter.artefacts.alerts import ALERTS
from kcloud_exporter.artefacts.alerts.alert import Alert
from kcloud_exporter.artefacts.promql import duration
from kcloud_exporter.artefacts.recording import Group, Recording, budget_group, power_group
from kcloud_exporter.artefacts.recording_energy import energy_groups
from kcloud_exporter.artefacts.values import Values

HEADER: Final = "# Written by `kcloud-exporter generate`; changes are lost. Thresholds: `generate --values FILE`.\n"


class _Dumper(yaml.SafeDumper):
    """SafeDumper that writes texts of several lines as blocks, and lists as people indent them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's names
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def to_yaml(data: Any, header: str = HEADER) -> str:
    """Data as YAML, keys in their order, under a header of comments."""
    return header + yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def recording_groups(values: Values) -> list[Group]:
    """All groups of recording rules that hold a rule."""
    groups = (power_group(values), budget_group(values), *energy_groups(values))
    return [group for group in groups if group.rules]


def alerts_of(values: Values) -> list[Alert]:
    """The alerts that are on, with their values."""
    filled = (alert.with_values(values) for alert in ALERTS)
    return [alert for alert in filled if alert]


def recording_file(values: Values) -> str:
    """`rules/kcloud-recording.yml`."""
    return to_yaml(_groups((g.name, g.interval, map(recording, g.rules)) for g in recording_groups(values)))


def alerts_file(values: Values) -> str:
    """`rules/kcloud-alerts.yml`."""
    groups = groupby(alerts_of(values), key=lambda alert: alert.group)
    return to_yaml(_groups((name, None, (alert.rule(values) for alert in alerts)) for name, alerts in groups))


def _groups(groups: Iterable[tuple[str, float | None, Iterable[Mapping[str, Any]]]]) -> dict[str, Any]:
    return {
        "groups": [
            {"name": name, **({"interval": duration(interval)} if interval else {}), "rules": list(rules)}
            for name, interval, rules in groups
        ]
    }


def recording(rule: Recording) -> dict[str, Any]:
    """One recording rule as it stands in the file."""
    return {"record": rule.record, "expr": rule.expr, **({"labels": dict(rule.labels)} if rule.labels else {})}
