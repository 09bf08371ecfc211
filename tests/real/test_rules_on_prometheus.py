"""Our rules and dashboards on a real Prometheus that scrapes kcloud-exporter over the simulated fleet."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.alerts import ALERTS
from kcloud_exporter.artefacts.dashboards import dashboards
from kcloud_exporter.artefacts.relations import names_in
from kcloud_exporter.artefacts.rules import alerts_file, alerts_of, recording_file, recording_groups
from kcloud_exporter.artefacts.runbook_pages import knowledge
from kcloud_exporter.artefacts.samples import prometheus_sample
from kcloud_exporter.artefacts.values import Values, parse_values
from kcloud_exporter.commands.generate import own_families
from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import KcloudExporter, kcloud_exporter
from tests.real.programs import require
from tests.real.prometheus import QueryServer, prometheus
from tests.real.ruled import PANELS, WITHOUT_DATA, everything, failed_evaluations, ruled_prometheus

pytestmark = pytest.mark.real

BUDGETS = {"sites": {"icn1": 1e6}, "clusters": {"seoul-a": 1e6}, "namespaces": {"seoul-a/serving": 1e6}}
QUICK = parse_values(
    {"energy_interval": "1s", "long_interval": "1s", "power_interval": "1s", "power_budget_watts": BUDGETS}, ALERTS
)
NOT_ON_THE_PAGE = {
    "kcloud_accelerator_power_limit_watts": "the usual counters of dcgm-exporter and of the NPU exporters hold none",
    "kcloud_source_failures_total": "nothing has failed yet",
    **dict.fromkeys(
        [f"kcloud_exporter_remote_write_{what}" for what in ("failures_total", "queue_bytes", "lost_samples_total")],
        "only with remote_write in the configuration",
    ),
}
"""Families that rules and panels use and the simulated fleet does not show."""
RUNBOOKS = {alert.name: re.findall(r"```promql\n(.*?)```", knowledge(alert.name), re.DOTALL) for alert in ALERTS}


@pytest.fixture(scope="module")
def exporter(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KcloudExporter]:
    """One cluster is read through its Prometheus, and the others directly."""
    config = fleet.kcloud_config("exporter", interval="3s")
    with prometheus(fleet.prometheus_config("busan-a"), tmp_path_factory.mktemp("upstream")) as upstream:
        upstream.wait_for_all_targets()
        (busan,) = (cluster for cluster in config["clusters"] if cluster["name"] == "busan-a")
        busan["sources"] = [{"prometheus": {"url": upstream.url, "method": "query"}}]
        with kcloud_exporter(config, tmp_path_factory.mktemp("ruled")) as running:
            yield running


@pytest.fixture(scope="module")
def server(exporter: KcloudExporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServer]:
    with ruled_prometheus(exporter, QUICK, tmp_path_factory.mktemp("rules")) as running:
        yield running


def test_every_rule_evaluates_without_an_error(server: QueryServer) -> None:
    assert failed_evaluations(server) == {}


def test_every_recorded_series_has_data_or_a_reason_not_to(server: QueryServer) -> None:
    recorded = {rule.record for group in recording_groups(QUICK) for rule in group.rules}
    empty = {record for record in recorded if not server.query(record)}
    assert empty == WITHOUT_DATA.keys()


def test_recorded_totals_are_those_of_the_page(server: QueryServer, exporter: KcloudExporter) -> None:
    page = exporter.page()
    watts = sum(value for (name, _), value in page.items() if name == "kcloud_cluster_power_watts")
    assert server.scalar("fleet:kcloud_cluster_power_watts:sum") == pytest.approx(watts, rel=0.02)
    assert server.scalar("sum(site:kcloud_cluster_power_watts:sum)") == pytest.approx(watts, rel=0.02)
    pue = {dict(labels)["site"]: v for labels, v in server.query("site_category:kcloud_site_pue:ratio").items()}
    shown = {dict(labels)["site"]: value for (name, labels), value in page.items() if name == "kcloud_site_pue_ratio"}
    assert pue == pytest.approx(shown, rel=0.02)


@pytest.mark.parametrize(("panel", "expr"), PANELS, ids=[name for name, _ in PANELS])
def test_every_query_of_a_panel_gives_data(panel: str, expr: str, server: QueryServer) -> None:
    if names_in(expr) & WITHOUT_DATA.keys():
        assert "PUE of" in panel  # its panel says what it needs instead of "No data"
        return
    assert server.query(everything(expr)) != {}


VARIABLES = {
    (board["uid"], variable["name"]): variable["query"]["query"]
    for board in dashboards()
    for variable in board["templating"]["list"]
    if variable["type"] == "query"
}


@pytest.mark.parametrize("variable", VARIABLES, ids="-".join)
def test_every_variable_has_values(variable: tuple[str, str], server: QueryServer) -> None:
    asked = re.fullmatch(r"label_values\((.+), (\w+)\)", VARIABLES[variable])
    assert asked
    selector = re.sub(r"\$\w+", ".*", asked[1])
    values = {dict(labels).get(asked[2], "") for labels in server.query(f"group by ({asked[2]}) ({selector})")}
    assert values - {""}


def test_the_queries_of_the_runbooks_can_be_asked(server: QueryServer) -> None:
    for queries in RUNBOOKS.values():
        for query in queries:
            server.query(query)  # fails when Prometheus refuses it; most rightly find nothing on a healthy fleet


def test_a_healthy_fleet_raises_no_alert_but_what_is_true(server: QueryServer) -> None:
    holds = {alert.name for alert in alerts_of(QUICK) if server.query(alert.expr)}
    # A notebook of the simulated fleet holds a GPU and does nothing; one V100 exporter prints sentinels.
    assert holds <= {"KcloudAcceleratorIdleAllocated", "KcloudSamplesRejected"}
    assert "KcloudAcceleratorIdleAllocated" in holds
    assert server.query('ALERTS{alertstate="firing"}') == {}


def test_every_family_that_is_used_is_on_the_page(exporter: KcloudExporter) -> None:
    exprs = [rule.expr for group in recording_groups(QUICK) for rule in group.rules]
    exprs += [alert.expr for alert in alerts_of(Values())] + [expr for _, expr in PANELS]
    exprs += [query for queries in RUNBOOKS.values() for query in queries]
    used = {name for expr in exprs for name in names_in(expr) if name.startswith("kcloud_")}
    shown = {name for name, _ in exporter.page()}
    known = {*catalogue.FAMILIES, *(family.name for family in own_families())}
    assert used - shown <= NOT_ON_THE_PAGE.keys() <= known


def test_the_sample_configuration_is_good(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/kcloud-recording.yml").write_text(recording_file(Values()))
    (tmp_path / "rules/kcloud-alerts.yml").write_text(alerts_file(Values()))
    (tmp_path / "prometheus.yml").write_text(prometheus_sample(Values()))
    done = subprocess.run(
        [require("promtool"), "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
