"""Sheets: a report as an Excel workbook with native charts, so that its reader can go on calculating."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import IO, Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from openpyxl import Workbook
from openpyxl.chart import AreaChart, BarChart, LineChart, Reference
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter

from kcloud_exporter.export.report.buckets import buckets
from kcloud_exporter.export.report.gather import JOULES_PER_KWH, Report
from kcloud_exporter.export.report.words import Words
from kcloud_exporter.export.safe import cell
from kcloud_exporter.export.workbook import ACCENT, flat, save

_COLOURS: Final = {
    "gpu": "1F6FEB",
    "npu": "8E5BD6",
    "tpu": "3AA0D8",
    "cpu": "12A594",
    "memory": "F2A33A",
    "other": "B0B8C1",
}
_WIDE, _HIGH = 26.0, 9.5


def write(report: Report, about: Mapping[str, Any], out: IO[bytes]) -> None:
    """Write the workbook."""
    words = Words(report.request.language)
    book = Workbook()
    summary: Any = book.active
    summary.title = words("summary")
    _summary(summary, report, words)
    _power(book, report, words)
    _energy(book, report, words)
    _pue(book, report, words)
    _things(book, report, words)
    _about(book.create_sheet("About"), about, words)
    book.properties.creator = f"kcloud-exporter {about['version']}"
    book.properties.title = f"{words(report.request.template)} · {words.window(report.request)}"
    save(book, out)


def _put(sheet: Any, row: int, column: int, value: Any, form: str = "") -> Any:
    """One cell. Text is text, whatever it begins with; unknown is an empty cell."""
    if isinstance(value, float) and math.isnan(value):
        value = None
    it = sheet.cell(row, column, cell(value) if isinstance(value, str) else value)
    if isinstance(value, str):
        it.data_type = "s"
    if form and value is not None:
        it.number_format = form
    return it


def _table(sheet: Any, top: int, head: Sequence[str], rows: Sequence[Sequence[Any]], forms: Sequence[str]) -> None:
    """A head and rows from a row of the sheet on."""
    for column, name in enumerate(head, 1):
        it = _put(sheet, top, column, name)
        it.font, it.fill = Font(bold=True, color="FFFFFF"), PatternFill("solid", fgColor=ACCENT)
        it.alignment = Alignment(wrap_text=True, vertical="center")
        wide = max([len(name), *(len(str(row[column - 1])) for row in rows[:50] if isinstance(row[column - 1], str))])
        letter = get_column_letter(column)
        sheet.column_dimensions[letter].width = max(sheet.column_dimensions[letter].width, min(wide + 4, 48), 14)
    for number, row in enumerate(rows, top + 1):
        for column, value in enumerate(row, 1):
            _put(sheet, number, column, value, forms[column - 1])


def _summary(sheet: Any, report: Report, words: Words) -> None:
    sheet.column_dimensions["A"].width, sheet.column_dimensions["B"].width = 34, 40
    title = _put(sheet, 1, 1, words(report.request.template))
    title.font = Font(bold=True, size=18, color=ACCENT)
    _put(sheet, 2, 1, f"{words.window(report.request)} · {report.request.cluster or words('all clusters')}")
    _put(sheet, 3, 1, report.request.zone)
    row = 5
    warning = Font(bold=True, color="8A5300")
    if not report.is_over:
        now = datetime.fromtimestamp(report.now, ZoneInfo(report.request.zone)).strftime("%Y-%m-%d %H:%M")
        _put(sheet, row, 1, words("not over", now=now)).font = warning
        row += 1
    if report.complete < 0.999:
        lacking = ", ".join(f"{n} {words.percent(r)}" for n, r in sorted(report.completeness.items()) if r < 0.999)
        told = words("incomplete", percent=words.percent(report.complete), clusters=lacking)
        _put(sheet, row, 1, told).font = warning
        row += 1
    watts = report.total_power
    known = watts[~np.isnan(watts)]
    unknown = words("unknown")
    facts: list[tuple[str, Any, str]] = [
        (f"{words('energy')} (kWh)", None if report.joules is None else report.joules / JOULES_PER_KWH, "#,##0.000"),
        (f"{words('mean power')} (kW)", float(known.mean()) / 1e3 if len(known) else None, "#,##0.000"),
        (f"{words('peak power')} (kW)", float(known.max()) / 1e3 if len(known) else None, "#,##0.000"),
    ]
    facts += [(f"{words('pue')} · {s.name} {c}", v, "0.000") for s in report.sites for c, v in s.pue.items()] or [
        (words("pue"), None, "")
    ]
    facts += [
        (f"{words('cost')} ({currency})", float(np.nansum(v)) if (~np.isnan(v)).any() else None, "#,##0.00")
        for currency, v in sorted(report.cost_steps().items())
    ] or [(words("cost"), None, "")]
    grams = report.gram_steps()
    facts += [
        (
            f"{words('emissions')} (kg CO2)",
            float(np.nansum(grams)) / 1e3 if (~np.isnan(grams)).any() else None,
            "#,##0.000",
        ),
        (words("completeness"), report.complete, "0.0%"),
    ]
    for name, value, form in facts:
        row += 1
        _put(sheet, row, 1, name).font = Font(bold=True)
        it = _put(sheet, row, 2, unknown if value is None else value, form)
        it.alignment = Alignment(horizontal="left")
    _put(sheet, row + 2, 1, words("method")).alignment = Alignment(wrap_text=True, vertical="top")
    sheet.merge_cells(start_row=row + 2, start_column=1, end_row=row + 2, end_column=2)
    sheet.row_dimensions[row + 2].height = 110


def _chart(kind: Any, title: str, unit: str, *, stacked: bool = False) -> Any:
    chart = kind()
    chart.title, chart.y_axis.title = title, unit
    chart.width, chart.height = _WIDE, _HIGH
    chart.y_axis.delete = chart.x_axis.delete = False
    chart.display_blanks = "gap"
    if stacked:
        chart.grouping, chart.overlap = "stacked", 100
    chart.legend.position = "b"
    return chart


def _power(book: Workbook, report: Report, words: Words) -> None:
    sheet = book.create_sheet(words("power"))
    zone = ZoneInfo(report.request.zone)
    times = [datetime.fromtimestamp(at, zone).replace(tzinfo=None) for at in report.times.tolist()]
    names = list(report.power)
    total = report.total_power
    rows = [
        [
            at,
            *(float(report.power[n][step]) / 1e3 for n in names),
            float(total[step]) / 1e3,
            float(report.complete_steps[step]),
        ]
        for step, at in enumerate(times)
    ]
    head = [words("time"), *(f"{words(n)} (kW)" for n in names), f"{words('total')} (kW)", words("completeness")]
    _table(sheet, 1, head, rows, ["yyyy-mm-dd hh:mm", *["#,##0.000"] * (len(names) + 1), "0.0%"])
    sheet.freeze_panes = "B2"
    if names:
        chart = _chart(AreaChart, words("power over time"), "kW", stacked=True)
        chart.overlap = None
        chart.add_data(
            Reference(sheet, min_col=2, max_col=1 + len(names), min_row=1, max_row=len(rows) + 1), titles_from_data=True
        )
        chart.set_categories(Reference(sheet, min_col=1, min_row=2, max_row=len(rows) + 1))
        chart.x_axis.number_format = "mm-dd hh:mm"
        chart.x_axis.tickLblSkip = chart.x_axis.tickMarkSkip = max(len(rows) // 8, 1)
        for name, series in zip(names, chart.series, strict=True):
            series.graphicalProperties.solidFill = _COLOURS[name]
            series.graphicalProperties.line.noFill = True
        sheet.add_chart(chart, f"{get_column_letter(len(head) + 2)}2")


def _energy(book: Workbook, report: Report, words: Words) -> None:
    sheet = book.create_sheet(words("energy"))
    of = buckets(report.request, report.times, words)
    clusters = sorted(report.energy_steps)
    cost, grams = report.cost_steps(), report.gram_steps()
    columns = [(f"{name} (kWh)", of.sums(report.energy_steps[name]) / JOULES_PER_KWH) for name in clusters]
    columns += [(f"{words('cost')} ({currency})", of.sums(values)) for currency, values in sorted(cost.items())]
    columns.append((f"{words('emissions')} (kg CO2)", of.sums(grams) / 1e3))
    rows = [[name, *(float(values[n]) for _, values in columns)] for n, name in enumerate(of.names)]
    head = [words("time"), *(name for name, _ in columns)]
    _table(sheet, 1, head, rows, ["", *["#,##0.000"] * len(columns)])
    sheet.freeze_panes = "B2"
    at, place = 2, get_column_letter(len(head) + 2)
    groups = [(2, len(clusters), words(f"energy per {of.kind}"), "kWh")]
    groups += [(2 + len(clusters) + n, 1, words("cost over time"), currency) for n, currency in enumerate(sorted(cost))]
    groups.append((1 + len(columns), 1, words("emissions over time"), "kg CO2"))
    for first, count, title, unit in groups:
        if count and rows:
            chart = _chart(BarChart, title, unit, stacked=True)
            data = Reference(sheet, min_col=first, max_col=first + count - 1, min_row=1, max_row=len(rows) + 1)
            chart.add_data(data, titles_from_data=True)
            chart.set_categories(Reference(sheet, min_col=1, min_row=2, max_row=len(rows) + 1))
            sheet.add_chart(chart, f"{place}{at}")
            at += 21


def _pue(book: Workbook, report: Report, words: Words) -> None:
    lines = [(f"{s.name} {c}", values) for s in report.sites for c, values in s.pue_steps.items()]
    if not lines:
        return
    sheet = book.create_sheet("PUE")
    zone = ZoneInfo(report.request.zone)
    rows = [
        [datetime.fromtimestamp(at, zone).replace(tzinfo=None), *(float(values[n]) for _, values in lines)]
        for n, at in enumerate(report.times.tolist())
    ]
    _table(sheet, 1, [words("time"), *(name for name, _ in lines)], rows, ["yyyy-mm-dd hh:mm", *["0.000"] * len(lines)])
    chart = _chart(LineChart, words("pue over time"), "PUE")
    data = Reference(sheet, min_col=2, max_col=1 + len(lines), min_row=1, max_row=len(rows) + 1)
    chart.add_data(data, titles_from_data=True)
    chart.set_categories(Reference(sheet, min_col=1, min_row=2, max_row=len(rows) + 1))
    chart.x_axis.number_format = "mm-dd hh:mm"
    chart.x_axis.tickLblSkip = chart.x_axis.tickMarkSkip = max(len(rows) // 8, 1)
    chart.y_axis.scaling.min = 1.0
    for series in chart.series:
        series.smooth = False
    sheet.add_chart(chart, f"{get_column_letter(len(lines) + 3)}2")


def _things(book: Workbook, report: Report, words: Words) -> None:
    """Clusters, namespaces, nodes and accelerators, each on a sheet of its own."""
    currencies = sorted({currency for it in report.namespaces for currency in it.cost})
    clusters = [
        [
            name,
            report.origin.site_of(name),
            float(np.nansum(report.energy_steps[name])) / JOULES_PER_KWH if name in report.energy_steps else None,
            ratio,
        ]
        for name, ratio in report.completeness.items()
    ]
    namespaces = [
        [
            it.cluster,
            it.name,
            it.joules / JOULES_PER_KWH,
            *(it.cost.get(currency) for currency in currencies),
            None if it.grams is None else it.grams / 1e3,
        ]
        for it in report.namespaces
    ]
    nodes = [[cluster, node, joules / JOULES_PER_KWH] for cluster, node, joules in report.nodes]
    devices = [
        [
            it.kind,
            it.vendor,
            it.model,
            it.count,
            it.joules / JOULES_PER_KWH,
            float(np.mean(it.utilization)) if it.utilization else None,
        ]
        for it in report.devices
    ]
    kwh = f"{words('energy')} (kWh)"
    money = [f"{words('cost')} ({currency})" for currency in currencies]
    sheets: tuple[tuple[str, Sequence[str], Sequence[Sequence[Any]], Sequence[str]], ...] = (
        (
            "clusters",
            (words("cluster"), words("site"), kwh, words("completeness")),
            clusters,
            ("", "", "#,##0.000", "0.0%"),
        ),
        (
            "namespaces",
            (words("cluster"), words("namespace"), kwh, *money, f"{words('emissions')} (kg CO2)"),
            namespaces,
            ("", "", *["#,##0.000"] * (2 + len(money))),
        ),
        ("nodes", (words("cluster"), words("node"), kwh), nodes, ("", "", "#,##0.000")),
        (
            "accelerators",
            (words("kind"), words("vendor"), words("model"), words("count"), kwh, words("utilization")),
            devices,
            ("", "", "", "0", "#,##0.000", "0.0%"),
        ),
    )
    for name, head, rows, forms in sheets:
        sheet = book.create_sheet(words("namespaces") if name == "namespaces" else words(name)[:31])
        _table(sheet, 1, head, rows, forms)
        sheet.freeze_panes = "A2"
        if name == "namespaces" and rows:
            last = min(len(rows), 10) + 1
            chart = _chart(BarChart, words("top namespaces"), "kWh")
            chart.type, chart.legend = "bar", None
            chart.add_data(Reference(sheet, min_col=3, min_row=1, max_row=last), titles_from_data=True)
            chart.set_categories(Reference(sheet, min_col=2, min_row=2, max_row=last))
            chart.x_axis.scaling.orientation = "maxMin"
            sheet.add_chart(chart, f"{get_column_letter(len(head) + 2)}2")


def _about(sheet: Any, about: Mapping[str, Any], words: Words) -> None:
    sheet.column_dimensions["A"].width, sheet.column_dimensions["B"].width = 34, 72
    _put(sheet, 1, 1, words("about")).font = Font(bold=True, size=14, color=ACCENT)
    for row, (name, value) in enumerate(flat(about), 3):
        _put(sheet, row, 1, name).font = Font(bold=True)
        _put(sheet, row, 2, ("yes" if value else "no") if isinstance(value, bool) else value)
