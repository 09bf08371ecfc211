"""Dashboards by the rules of grafana/dashboard-linter, written anew here, and what else a user expects of them.

Not applied, with the reason: `template-job-rule`, `template-instance-rule`, `target-job-rule` and
`target-instance-rule` on all dashboards but the exporter's own. The page says whose power it shows (cluster, node,
namespace); which exporter showed it is no dimension of power, and a pair of exporters is counted once.
"""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import promql_parser as promql
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.dashboards import dashboards
from tests.artefacts.test_expressions import without_grafana

BOARDS = {board["uid"]: board for board in dashboards()}
OWN = "kcloud-exporter"
UNITS = {
    *("watt", "joule", "kwatth", "percentunit", "celsius", "rotrpm", "volt", "amp", "bytes", "hertz"),
    *("s", "massg", "cps", "reqps", "short", "none"),
}
"""Units of Grafana that are used; `none` is a plain number."""
COUNTERS = {f.name for f in catalogue.FAMILIES.values() if f.type == "counter"}
Board = dict[str, Any]

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())


def panels(board: Board) -> list[Board]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def targets(board: Board) -> list[tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in panels(board) for target in panel["targets"]]


def variables(board: Board) -> dict[str, Board]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


@each_board
def test_template_datasource_rule(board: Board) -> None:
    (first, *_) = board["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    assert first["label"] == "Data source"


@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_job_and_instance_rules(name: str) -> None:
    variable = variables(BOARDS[OWN])[name]
    assert variable["type"] == "query"
    assert variable["multi"]
    assert variable["allValue"] == ".*"
    assert variable["label"] == name.capitalize()


@each_board
def test_template_label_promql_and_time_change_reload_rules(board: Board) -> None:
    for name, variable in variables(board).items():
        if name == "datasource":
            continue
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert asked, variable["query"]
        promql.parse(asked[1])
        assert variable["refresh"] == 2
        assert variable["datasource"]["uid"] == "${datasource}"
        assert variable["includeAll"]


@each_board
def test_panel_datasource_rule(board: Board) -> None:
    for panel in panels(board):
        for used in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert used == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]


@each_board
def test_panel_title_description_and_units_rules(board: Board) -> None:
    for panel in panels(board):
        assert panel["title"]
        assert re.fullmatch(r"[A-Z0-9].*\.", panel["description"]), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]


@each_board
def test_panel_no_targets_rule(board: Board) -> None:
    assert panels(board)
    for panel in panels(board):
        assert panel["targets"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@each_board
def test_target_promql_rule(board: Board) -> None:
    for _, expr in targets(board):
        promql.parse(without_grafana(expr))


@each_board
def test_target_rate_interval_rule(board: Board) -> None:
    for title, expr in targets(board):
        for function, window in re.findall(r"\b(\w+)\([^()\[]*\[([^\]]+)\]", expr):
            allowed = {"$__rate_interval"} if function in ("rate", "irate") else {"$__range", "1h"}
            assert window in allowed, f"{title}: {function} over {window}"


@each_board
def test_target_counter_agg_rule(board: Board) -> None:
    for title, expr in targets(board):
        for name in COUNTERS:
            bare = re.findall(rf"(\w+)\({name}\b", expr)
            assert all(function in ("rate", "increase") for function in bare), f"{title}: {name}"


def test_target_job_and_instance_rules() -> None:
    for title, expr in targets(BOARDS[OWN]):
        for selector in re.findall(r"\w+\{([^}]*)\}", expr):
            assert 'job=~"$job"' in selector, title
            assert 'instance=~"$instance"' in selector, title


@each_board
def test_uneditable_dashboard_rule(board: Board) -> None:
    assert board["editable"] is False


@each_board
def test_every_query_follows_the_variables_of_its_dashboard(board: Board) -> None:
    chosen = [name for name in variables(board) if name != "datasource"]
    for title, expr in targets(board):
        for selector in re.findall(r"[\w:]+\{([^}]*)\}", expr):
            assert any(f'{name}=~"${name}' in selector for name in chosen), f"{title}: {expr}"
        assert "$" in expr, title
    used = "".join(expr for _, expr in targets(board)) + "".join(
        variable["query"]["query"] for name, variable in variables(board).items() if name != "datasource"
    )
    for name in chosen:
        assert f"${name}" in used, f"the variable {name} does nothing"
    assert set(re.findall(r"\$([a-z]\w*)", used)) <= set(chosen)


@each_board
def test_a_dashboard_has_a_stable_identity_and_the_common_look(board: Board) -> None:
    assert re.fullmatch(r"kcloud-[a-z]+", board["uid"])
    assert len(board["uid"]) <= 40
    assert board["title"].startswith("kcloud / ")
    assert board["tags"] == ["kcloud"]
    assert board["schemaVersion"] >= 39
    assert board["timezone"] == "browser"
    assert board["description"]
    assert "id" not in board
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles)


@each_board
def test_colours_do_not_depend_on_the_version_of_grafana(board: Board) -> None:
    # Without a mode some versions colour lines by thresholds, and those below the first would be invisible.
    wanted = {"timeseries": "palette-classic", "stat": "thresholds", "bargauge": "thresholds"}
    for panel in panels(board):
        if panel["type"] in wanted:
            assert panel["fieldConfig"]["defaults"]["color"]["mode"] == wanted[panel["type"]], panel["title"]


@each_board
def test_panels_fit_the_grid_and_do_not_overlap(board: Board) -> None:
    places = [(p["title"], p["gridPos"]) for p in board["panels"]]
    for title, at in places:
        assert at["x"] + at["w"] <= 24, title
    for (one, a), (other, b) in combinations(places, 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, f"{one} and {other} overlap"


@each_board
def test_dashboards_lead_to_each_other_with_time_and_variables(board: Board) -> None:
    (dropdown,) = board["links"]
    assert dropdown["type"] == "dashboards"
    assert dropdown["tags"] == ["kcloud"]
    assert dropdown["includeVars"]
    assert dropdown["keepTime"]
    for panel in panels(board):
        for override in panel["fieldConfig"]["overrides"]:
            for link in (link for p in override["properties"] if p["id"] == "links" for link in p["value"]):
                target = re.match(r"/d/([\w-]+)\?", link["url"])
                assert target
                assert target[1] in BOARDS
                assert "${datasource:queryparam}" in link["url"]
                assert "${__url_time_range}" in link["url"]
                asked = re.findall(r"var-(\w+)=\$\{__data\.fields\.(\w+)\}", link["url"])
                assert {name for name, _ in asked} <= variables(BOARDS[target[1]]).keys()


@each_board
def test_the_model_of_grafana_knows_every_key(board: Board) -> None:
    again = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    assert again == board
