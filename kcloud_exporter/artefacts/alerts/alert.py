"""What an alert is, and how values become part of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from kcloud_exporter.artefacts.promql import duration
from kcloud_exporter.artefacts.values import AlertValues, Severity, Values

DEVICE: Final = "{{ $labels.cluster }}/{{ $labels.node }}, accelerator {{ $labels.uuid }}"
"""The words with which a description names an accelerator."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. In `expr`, `summary` and `description`, `$threshold` and `$selector` stand for values.

    `for_` is in seconds. `unit` is how the threshold reads: `W`, `°C`, `s`, or empty for a plain number; a
    description that names the threshold writes `$limit`, which is the threshold with its unit.
    """

    name: str
    group: str
    severity: Severity
    for_: float
    expr: str
    summary: str
    description: str
    threshold: float | None = None
    unit: str = ""

    @property
    def limit(self) -> str:
        """The threshold as text, with its unit; empty when there is none."""
        if self.threshold is None:
            return ""
        if self.unit == "%":
            return f"{100 * self.threshold:.10g} %"
        return f"{self.threshold:.10g} {self.unit}".rstrip()

    def with_values(self, values: Values) -> Alert | None:
        """This alert with what the values say; None when they switch it off."""
        said = values.alerts.get(self.name, AlertValues())
        if not said.enabled:
            return None
        changed = replace(
            self,
            severity=said.severity or self.severity,
            for_=self.for_ if said.for_ is None else said.for_,
            threshold=self.threshold if said.threshold is None else said.threshold,
        )
        return replace(
            changed,
            expr=changed.filled(changed.expr, values),
            summary=changed.filled(changed.summary, values),
            description=changed.filled(changed.description, values),
        )

    def filled(self, text: str, values: Values) -> str:
        """A text with the values in their places."""
        number = "" if self.threshold is None else f"{self.threshold:.10g}"
        return text.replace("$threshold", number).replace("$limit", self.limit).replace("$selector", values.selector)

    def rule(self, values: Values) -> dict[str, Any]:
        """The rule as it stands in the file, values filled in before."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": duration(self.for_),
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": values.runbook_url.format(alert=self.name),
            },
        }
