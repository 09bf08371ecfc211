"""Sample configurations: Prometheus, Alertmanager, and the values file with every default."""

from __future__ import annotations

from typing import Any, Final

from kcloud_exporter.artefacts.alerts import ALERTS
from kcloud_exporter.artefacts.promql import duration
from kcloud_exporter.artefacts.rules import to_yaml
from kcloud_exporter.artefacts.values import Budgets, Values

_WRITTEN: Final = "Written by `kcloud-exporter generate`; copy it and change the copy."
INHIBITED: Final = (
    ("KcloudExporterAbsent", ("KcloudClusterAbsent", "KcloudFacilityMeterLost", "KcloudAcceleratorsMissing"), ()),
    ("KcloudExporterDown", ("KcloudClusterAbsent", "KcloudFacilityMeterLost", "KcloudAcceleratorsMissing"), ()),
    (
        "KcloudClusterUnreachable",
        (
            *("KcloudSourceDown", "KcloudSourceStale", "KcloudClusterIncomplete", "KcloudNodesMissing"),
            *("KcloudAcceleratorsMissing", "KcloudNegativeResidual", "KcloudEnergyGap"),
        ),
        ("cluster",),
    ),
    (
        "KcloudSourceDown",
        ("KcloudClusterIncomplete", "KcloudNodesMissing", "KcloudAcceleratorsMissing", "KcloudNegativeResidual"),
        ("cluster",),
    ),
    ("KcloudFacilityMeterLost", ("KcloudPueUnknown",), ("site",)),
    ("KcloudSitePowerOverBudget", ("KcloudSitePowerNearBudget",), ("site",)),
    ("KcloudHardwareSensorCritical", ("KcloudHardwareSensorWarning",), ("cluster", "node", "sensor")),
)
"""What follows from what: an alert, those that it silences, and the labels that they must share."""


def alertmanager_sample() -> str:
    """`config/alertmanager.example.yml`."""
    config: dict[str, Any] = {
        "route": {
            "receiver": "team",
            "group_by": ["alertname", "cluster", "site"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [
                {"matchers": ['severity="critical"'], "receiver": "on-call", "repeat_interval": "1h"},
                {"matchers": ['severity="info"'], "receiver": "daily", "group_wait": "1h", "repeat_interval": "1d"},
            ],
        },
        "receivers": [
            {"name": name, "webhook_configs": [{"url": f"http://127.0.0.1:9095/{name}", "send_resolved": True}]}
            for name in ("on-call", "team", "daily")
        ],
        "inhibit_rules": [
            {
                "source_matchers": [f'alertname="{source}"'],
                "target_matchers": [f'alertname=~"{"|".join(targets)}"'],
                **({"equal": list(equal)} if equal else {}),
            }
            for source, targets, equal in INHIBITED
        ],
    }
    return to_yaml(
        config,
        f"# Alertmanager for the alerts of kcloud-exporter. {_WRITTEN}\n"
        "# critical: somebody is woken; warning: in working hours; info: once a day.\n"
        "# An alert that follows from another one is inhibited by it.\n",
    )


def prometheus_sample(values: Values) -> str:
    """`config/prometheus.example.yml`."""
    config: dict[str, Any] = {
        "global": {"scrape_interval": "15s", "evaluation_interval": "30s"},
        "rule_files": ["rules/kcloud-recording.yml", "rules/kcloud-alerts.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["127.0.0.1:9093"]}]}]},
        "scrape_configs": [
            {
                "job_name": "kcloud",
                "honor_labels": True,
                "static_configs": [{"targets": ["127.0.0.1:28283"]}],
            }
        ],
    }
    return to_yaml(
        config,
        f"# Prometheus with the rules of kcloud-exporter. {_WRITTEN}\n"
        f"# The alerts look for {{{values.selector}}}. PUE of 365 days needs --storage.tsdb.retention.time=400d or a\n"
        "# long-term store. Put the folder rules/ beside this file.\n",
    )


def values_sample() -> str:
    """`config/rules-values.example.yaml`: every value with its default and what it does, all commented out."""
    lines = [
        "# Values of the generated rules: kcloud-exporter generate --values FILE",
        f"# {_WRITTEN}",
        "# Every value shows its default.",
        "",
    ]
    defaults = Values()
    for name, field in Values.model_fields.items():
        if name in ("alerts", "power_budget_watts"):
            continue
        value = getattr(defaults, name)
        shown = duration(value) if name.endswith("_interval") and value else "" if value is None else value
        lines += [f"# {field.description}", f"# {name}: {_scalar(shown)}".rstrip(), ""]
    lines += [f"# {Values.model_fields['power_budget_watts'].description} For example:", "# power_budget_watts:"]
    for name, example in (("sites", "icn1: 8000"), ("clusters", "seoul-a: 5000"), ("namespaces", "seoul-a/ml: 1500")):
        lines += [f"#   # {Budgets.model_fields[name].description}", f"#   {name}: {{{example}}}"]
    lines += ["", f"# {Values.model_fields['alerts'].description}", "# alerts:"]
    for alert in ALERTS:
        said = f"enabled: true, for: {duration(alert.for_)}, severity: {alert.severity}"
        if alert.threshold is not None:
            said += f", threshold: {alert.threshold:.10g}"
        unit = f"  # {alert.limit}" if alert.unit and alert.threshold is not None else ""
        lines.append(f"#   {alert.name}: {{{said}}}{unit}")
    return "\n".join(lines) + "\n"


def _scalar(value: Any) -> str:
    text = str(value)
    return f"'{text}'" if any(c in text for c in '"{}:') else text
