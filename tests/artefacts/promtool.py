"""`promtool test rules` over generated files: what a case is, and how it is run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.real.programs import require

Inputs = Mapping[str, str]
"""Series → its values in the notation of promtool, one per interval: `5x10`, `0+60x100`, `_x3 1x5`."""


@dataclass(frozen=True)
class Expected:
    """What an expression gives `at` a time: labels (as `a="b",c="d"`) → value; nothing at all when empty."""

    expr: str
    at: str
    samples: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Firing:
    """An alert `at` a time: its labels and annotations, or that it is silent when `labels` is None."""

    alert: str
    at: str
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)


def case(inputs: Inputs, expected: Sequence[Expected | Firing], *, interval: str = "1m") -> dict[str, Any]:
    """One entry under `tests:` of a promtool test file."""
    entry: dict[str, Any] = {
        "interval": interval,
        "input_series": [{"series": series, "values": values} for series, values in inputs.items()],
    }
    expressions = [e for e in expected if isinstance(e, Expected)]
    if expressions:
        entry["promql_expr_test"] = [
            {
                "expr": each.expr,
                "eval_time": each.at,
                "exp_samples": [
                    {"labels": _labels(each.expr, labels), "value": value} for labels, value in each.samples.items()
                ],
            }
            for each in expressions
        ]
    alerts = [e for e in expected if isinstance(e, Firing)]
    if alerts:
        entry["alert_rule_test"] = [_alert(each) for each in alerts]
    return entry


def _labels(expr: str, labels: str) -> str:
    # A recorded series carries its name; the result of an operation has none.
    name = expr if expr.replace(":", "").replace("_", "").isalnum() else ""
    return f"{name}{{{labels}}}"


def _alert(each: Firing) -> dict[str, Any]:
    entry: dict[str, Any] = {"alertname": each.alert, "eval_time": each.at}
    if each.labels is not None:
        entry["exp_alerts"] = [{"exp_labels": dict(each.labels), "exp_annotations": dict(each.annotations)}]
    return entry


def run(folder: Path, rules: Mapping[str, str], tests: Sequence[Mapping[str, Any]], evaluation_interval: str) -> str:
    """Run the tests over the rule files; empty when all pass, else what promtool says."""
    for name, text in rules.items():
        (folder / name).write_text(text)
    file = folder / "tests.yml"
    # Groups of the same moment would otherwise come in any order, and some read what others have recorded.
    order = [group["name"] for text in rules.values() for group in yaml.safe_load(text)["groups"]]
    content = {
        "rule_files": list(rules),
        "evaluation_interval": evaluation_interval,
        "group_eval_order": order,
        "tests": list(tests),
    }
    file.write_text(json.dumps(content, indent=1))  # JSON is YAML
    done = subprocess.run(
        [require("promtool"), "test", "rules", file], cwd=folder, capture_output=True, text=True, timeout=100
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr
