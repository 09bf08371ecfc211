"""A Prometheus that evaluates our rules every second over a running kcloud-exporter, and what is asked of it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kcloud_exporter.artefacts.dashboards import dashboards
from kcloud_exporter.artefacts.rules import alerts_file, recording_file
from kcloud_exporter.artefacts.values import Values
from tests.real.kcloud import KcloudExporter
from tests.real.programs import wait_until
from tests.real.prometheus import QueryServer, prometheus, scrape_config

GRAFANA: Final = {"$__rate_interval": "10s", "$__range": "1m"}
"""What Grafana puts into a query by itself. Its other variables stand for everything here."""
NEEDS_TIME: Final = "needs a window of that length"
WITHOUT_DATA: Final = {
    **{f"site_category:kcloud_site_pue:ratio_rate{name}": NEEDS_TIME for name in ("1h", "24h", "30d", "365d")},
}
"""Recorded series that a test of a minute cannot have; promtool tests them over the whole window."""
PANELS: Final = [
    (f"{board['uid']}: {panel['title']}: {target['refId']}", target["expr"])
    for board in dashboards()
    for panel in board["panels"]
    for target in panel.get("targets") or ()
]
"""(dashboard, panel and letter, expression) of every query."""


def everything(expr: str) -> str:
    """A panel's query as Grafana asks it when all of every variable is chosen."""
    for variable, value in GRAFANA.items():
        expr = expr.replace(variable, value)
    return re.sub(r"\$\w+", ".*", expr)


@contextlib.contextmanager
def ruled_prometheus(exporter: KcloudExporter, values: Values, folder: Path) -> Iterator[QueryServer]:
    """Run it until the slowest of the rules has a value."""
    (folder / "recording.yml").write_text(recording_file(values))
    (folder / "alerts.yml").write_text(alerts_file(values))
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["recording.yml", "alerts.yml"],
        "scrape_configs": [scrape_config("kcloud", exporter.address, honor_labels=True)],
    }
    with prometheus(config, folder) as running:
        slowest = "cluster_namespace_unit:kcloud_namespace_energy_joules_per_kcloud_work_units:ratio_rate1h"
        wait_until(lambda: bool(running.query(slowest)), f"{slowest} is recorded", 60.0, running.program)
        wait_until(lambda: bool(running.query("site_category:kcloud_site_pue:coverage1h")), "PUE is covered", 30.0)
        yield running


def failed_evaluations(server: QueryServer) -> dict[frozenset[tuple[str, str]], float]:
    """Groups of rules that could not be evaluated, and how often."""
    return server.query("sum by (rule_group) (prometheus_rule_evaluation_failures_total) > 0")
