"""Runbooks: one page per alert. What the rule says is generated, what people know is written by hand in `runbooks/`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kcloud_exporter.artefacts.alerts.alert import Alert
from kcloud_exporter.artefacts.promql import duration

FOLDER: Final = Path(__file__).parent / "runbooks"
SECTIONS: Final = ("Meaning", "Impact", "Diagnosis", "What to do")
"""The sections that every page has, in their order."""


def knowledge(name: str) -> str:
    """What is written by hand about one alert. Raises FileNotFoundError when nothing is."""
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def runbook(alert: Alert) -> str:
    """The page of one alert, its values filled in."""
    limit = alert.limit or "none"
    return (
        f"# {alert.name}\n\n"
        f"<!-- Written by `kcloud-exporter generate`; the text is in kcloud_exporter/artefacts/runbooks. -->\n\n"
        f"> {_readable(alert.summary)}\n\n"
        "| severity | for | threshold |\n|---|---|---|\n"
        f"| {alert.severity} | {duration(alert.for_)} | {limit} |\n\n"
        f"```promql\n{alert.expr}\n```\n\n"
        f"{knowledge(alert.name)}"
    )


def index(alerts: list[Alert]) -> str:
    """`docs/runbooks/README.md`: all alerts by group."""
    lines = ["# Runbooks", "", "<!-- Written by `kcloud-exporter generate`; changes are lost. -->", ""]
    lines += ["| alert | severity | for | says |", "|---|---|---|---|"]
    for alert in alerts:
        row = (f"[{alert.name}]({alert.name}.md)", alert.severity, duration(alert.for_), _readable(alert.summary))
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def _readable(template: str) -> str:
    """A template of Prometheus as people read it: {{ $labels.node }} becomes NODE."""
    words = []
    for part in template.split("{{"):
        inner, closed, rest = part.partition("}}")
        words.append(f"{inner.strip().removeprefix('$labels.').upper()}{rest}" if closed else part)
    return "".join(words)
