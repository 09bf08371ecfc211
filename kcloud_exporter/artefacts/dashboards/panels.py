"""Panels: what a dashboard is put together from. Each has title, description, unit and the data source variable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Panel: TypeAlias = Builder[model.Panel]
SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
_Some = TypeVar("_Some", timeseries.Panel, stat.Panel, bargauge.Panel, table.Panel)


class Query(NamedTuple):
    """One query and what its series are called: `{{cluster}}`."""

    expr: str
    legend: str


class Column(NamedTuple):
    """One column of values of a table: its query, title and unit."""

    expr: str
    title: str
    unit: str


class Steps(NamedTuple):
    """Colours by value: `base`, and from each given value on another one."""

    base: str
    above: tuple[tuple[float, str], ...] = ()


PLAIN: Final = Steps(BLUE)
_BY_VALUE: Final = boards.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)
BAD_ABOVE_ZERO: Final = Steps(GREEN, ((1, RED),))


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    stacked: bool = False,
    span: int = 12,
    steps: Steps | None = None,
    at_least: float | None = None,
) -> Panel:
    """Lines over time; `stacked` fills them upon each other. `steps` draws thresholds, `at_least` fixes the axis."""
    panel = _common(timeseries.Panel(), title, description, unit).span(span).height(8)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(look.LegendDisplayMode.TABLE)
        .placement(look.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
    panel.tooltip(common.VizTooltipOptions().mode(look.TooltipDisplayMode.MULTI).sort(look.SortOrder.DESCENDING))
    panel.color_scheme(boards.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    panel.line_width(1).fill_opacity(60 if stacked else 8).show_points(look.VisibilityMode.NEVER)
    if stacked:
        panel.stacking(common.StackingConfig().mode(look.StackingMode.NORMAL).group("A"))
    if at_least is not None:
        panel.axis_soft_min(at_least)
    if steps:
        panel.thresholds(_thresholds(steps))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(look.GraphTresholdsStyleMode.DASHED))
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(_target(query.expr, letter).range().legend_format(query.legend))
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    expr: str,
    *,
    legend: str = "",
    span: int = 4,
    steps: Steps = PLAIN,
    decimals: int | None = None,
    no_value: str = "unknown",
) -> Panel:
    """The value of now, large. Several series stand beside each other under their `legend`."""
    panel = _common(stat.Panel(), title, description, unit).span(span).height(4).no_value(no_value)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    panel.graph_mode(look.BigValueGraphMode.NONE).color_mode(look.BigValueColorMode.VALUE)
    panel.color_scheme(_BY_VALUE).thresholds(_thresholds(steps))
    if decimals is not None:
        panel.decimals(decimals)
    return panel.with_target(_target(expr, "A").instant().legend_format(legend or title))


def ranking(
    title: str, description: str, unit: str, query: Query, *, span: int = 12, links: Sequence[Builder[Any]] = ()
) -> Panel:
    """Bars of now, in the order of the query (topk)."""
    panel = _common(bargauge.Panel(), title, description, unit).span(span).height(8)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    panel.orientation(look.VizOrientation.HORIZONTAL).display_mode(look.BarGaugeDisplayMode.GRADIENT)
    panel.color_scheme(_BY_VALUE).thresholds(_thresholds(PLAIN)).min(0)
    if links:
        panel.data_links(list(links))
    return panel.with_target(_target(query.expr, "A").instant().legend_format(query.legend))


def listing(
    title: str,
    description: str,
    columns: Sequence[Column],
    *,
    hidden: Sequence[str] = (),
    span: int = 24,
    height: int = 8,
    links: Mapping[str, Builder[Any]] | None = None,
) -> Panel:
    """A table of now: one row per label set that the queries share, one column per query.

    `hidden` are labels that are not shown, `links` by the name of the label that is clicked.
    """
    panel = _common(table.Panel(), title, description, columns[0].unit).span(span).height(height)
    for letter, column in zip("ABCDEFGH", columns, strict=False):
        panel.with_target(_target(column.expr, letter).instant().format(PromQueryFormat.TABLE))
        value = f"Value #{letter}" if len(columns) > 1 else "Value"
        panel.override_by_name(
            value,
            [
                model.DynamicConfigValue(id_val="displayName", value=column.title),
                model.DynamicConfigValue(id_val="unit", value=column.unit),
            ],
        )
    for label, link in (links or {}).items():
        panel.override_by_name(label, [model.DynamicConfigValue(id_val="links", value=[link.build()])])
    if len(columns) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    excluded = dict.fromkeys(("Time", "__name__", *hidden), True)
    return panel.with_transformation(
        model.DataTransformerConfig(id_val="organize", options={"excludeByName": excluded})
    ).show_header(True)


def link(title: str, uid: str, **variables: str) -> boards.DashboardLink:
    """A link to another dashboard that keeps time and data source; each variable is set from a label of the row."""
    chosen = "".join(f"&var-{name}=${{__data.fields.{label}}}" for name, label in variables.items())
    return boards.DashboardLink(title).url(f"/d/{uid}?${{datasource:queryparam}}{chosen}&${{__url_time_range}}")


def _common(panel: _Some, title: str, description: str, unit: str) -> _Some:
    panel.title(title).description(description).unit(unit).datasource(SOURCE)
    return panel


def _target(expr: str, letter: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).ref_id(letter).datasource(SOURCE)


def _thresholds(steps: Steps) -> boards.ThresholdsConfig:
    first = model.Threshold(value=None, color=steps.base)
    more = [model.Threshold(value=value, color=color) for value, color in steps.above]
    return boards.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps([first, *more])
