"""Dashboards: variables, rows, links and everything else that all of them share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from kcloud_exporter.artefacts.dashboards.panels import SOURCE, Panel

TAG: Final = "kcloud"
_SCHEMA_VERSION: Final = 39


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable whose values are those of a label; queries say `label=~"$name"`."""

    name: str
    metric: str
    label: str = ""

    @property
    def query(self) -> str:
        """The query of its values."""
        return f"label_values({self.metric}, {self.label or self.name})"


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels under it."""

    title: str
    panels: tuple[Panel, ...]


CLUSTER: Final = Variable("cluster", "kcloud_cluster_info")
NODE: Final = Variable("node", 'kcloud_node_power_watts{cluster=~"$cluster"}')
NAMESPACE: Final = Variable("namespace", 'kcloud_namespace_power_watts{cluster=~"$cluster"}')
KIND: Final = Variable("kind", 'kcloud_accelerator_info{cluster=~"$cluster"}')
SITE: Final = Variable("site", 'kcloud_cluster_info{cluster=~"$cluster"}')
JOB: Final = Variable("job", "kcloud_exporter_build_info")
INSTANCE: Final = Variable("instance", 'kcloud_exporter_build_info{job=~"$job"}')


def board(uid: str, title: str, description: str, variables: Iterable[Variable], rows: Iterable[Row]) -> dict[str, Any]:
    """One dashboard as the JSON that Grafana reads."""
    made = (
        boards.Dashboard(f"kcloud / {title}")
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .refresh("30s")
        .time("now-1h", "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(
            boards.DashboardLink("kcloud")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(boards.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for variable in variables:
        made.with_variable(_variable(variable))
    for row in rows:
        made.with_row(boards.Row(row.title))
        for panel in row.panels:
            made.with_panel(panel)
    data: dict[str, Any] = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    data["schemaVersion"] = _SCHEMA_VERSION
    for number, panel in enumerate(data["panels"], 1):
        panel["id"] = number
    return data


def _variable(variable: Variable) -> boards.QueryVariable:
    return (
        boards.QueryVariable(variable.name)
        .label(variable.name.capitalize())
        .query({"query": variable.query, "refId": variable.name})
        .datasource(SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )
