"""Pages: a report as a PDF."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import IO, Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from reportlab.lib.colors import Color
from reportlab.platypus import Flowable, KeepTogether, PageBreak, Spacer, Table

from kcloud_exporter.export.charts import (
    ACCENT,
    COMPONENT_COLOURS,
    MISSING,
    PALETTE,
    Axis,
    Layer,
    Plot,
    apart,
    legend,
    ranking,
    scale_of,
    strip,
)
from kcloud_exporter.export.document import Paper
from kcloud_exporter.export.fonts import fonts
from kcloud_exporter.export.report.buckets import Buckets, buckets, thin
from kcloud_exporter.export.report.gather import JOULES_PER_KWH, Report, added
from kcloud_exporter.export.report.words import Words
from kcloud_exporter.model import Floats

_DRAWN: Final = 400
"""Steps of a curve that a page can show."""
_MOST: Final = 10


def write(report: Report, about: Mapping[str, Any], out: IO[bytes]) -> None:
    """Lay out the pages and write them."""
    request, words = report.request, Words(report.request.language)
    face = fonts(request.language)
    paper = Paper(
        title=words(request.template),
        subtitle=f"{words.window(request)} · {request.cluster or words('all clusters')} · {request.zone}",
        foot=f"kcloud-exporter {about['version']} · {about['generated_at']}",
        fonts=face,
    )
    of = buckets(request, report.times, words)
    story: list[Flowable] = [*_banners(paper, report, words), paper.cards(_cards(report, words)), Spacer(1, 8)]
    story += _power(paper, report, words)
    story += _energy(paper, report, words, of)
    story += [PageBreak(), *_namespaces(paper, report, words)]
    story += _pue(paper, report, words)
    story += _money_and_carbon(paper, report, words, of)
    story += [PageBreak(), *_tables(paper, report, words)]
    story += [Spacer(1, 12), KeepTogether([paper.text(words("method"), 8)]), Spacer(1, 12)]
    story += paper.about(words("about"), about)
    if face.note:
        story.append(paper.text(face.note, 7))
    metadata = {"subject": words.window(request), "creator": f"kcloud-exporter {about['version']}"}
    paper.build(story, out, {**metadata, "lang": request.language})


def _banners(paper: Paper, report: Report, words: Words) -> list[Flowable]:
    zone, said = ZoneInfo(report.request.zone), []
    if not report.is_over:
        said.append(words("not over", now=datetime.fromtimestamp(report.now, zone).strftime("%Y-%m-%d %H:%M")))
    if report.complete < 0.999:
        lacking = [f"{n} {words.percent(r)}" for n, r in sorted(report.completeness.items()) if r < 0.999]
        more = "" if len(lacking) <= 6 else " …"
        said.append(words("incomplete", percent=words.percent(report.complete), clusters=", ".join(lacking[:6]) + more))
    gap = sum(report.gap_seconds.values())
    if gap >= 1:
        told = ", ".join(f"{n} {timedelta(seconds=round(g))}" for n, g in sorted(report.gap_seconds.items()) if g >= 1)
        said.append(words("gap", time=told))
    return [flow for text in said for flow in (paper.note(text), Spacer(1, 5))]


def _cards(report: Report, words: Words) -> list[tuple[str, str, str]]:
    watts = report.total_power
    known = watts[~np.isnan(watts)]
    step = "15 min" if report.request.step < 3600 else "1 h"
    pue = [f"{value:.3f}" for site in report.sites for value in site.pue.values()]
    of_site = [f"{site.name} {category}" for site in report.sites for category in site.pue]
    cost = {currency: float(np.nansum(values)) for currency, values in report.cost_steps().items() if known_any(values)}
    grams = report.gram_steps()
    change = (
        (report.joules - report.before) / report.before
        if report.joules is not None and report.before and report.is_over and report.complete >= 0.99
        else None
    )
    return [
        (words("energy"), words.kwh(report.joules), words("from counters")),
        (words("mean power"), words.watts(float(known.mean()) if len(known) else None), words("mean of steps")),
        (words("peak power"), words.watts(float(known.max()) if len(known) else None), words("step mean", step=step)),
        (
            words("pue"),
            " · ".join(pue[:2]) if pue else words("unknown"),
            ", ".join(of_site[:2]) if pue else words("facility over it"),
        ),
        (
            words("cost"),
            " · ".join(words.money(v, c) for c, v in sorted(cost.items())) or words("unknown"),
            words("of IT energy"),
        ),
        (
            f"{words('emissions')} (CO2)",
            words.grams(float(np.nansum(grams)) if known_any(grams) else None),
            words("co2"),
        ),
        (words("completeness"), words.percent(report.complete), words("measured part")),
        (
            words("change"),
            f"{change:+.1%}" if change is not None else words("unknown"),
            words("against"),
        ),
    ]


def known_any(values: Floats) -> bool:
    """Whether anything is known."""
    return bool((~np.isnan(values)).any())


def _ticks(report: Report, factor: int) -> list[tuple[float, str]]:
    """About eight labelled moments of the curve."""
    request, zone = report.request, ZoneInfo(report.request.zone)
    days = (request.after - request.first).days
    steps = len(report.times) / factor
    marks: list[tuple[float, str]] = []
    if days <= 2:
        every = 3 * days * 3600 / request.step / factor
        for n in range(9):
            at = request.start + n * 3 * days * 3600
            marks.append((n * every, datetime.fromtimestamp(at, zone).strftime("%H:%M")))
    else:
        gap = max(1, math.ceil(days / 8))
        for n in range(0, days + 1, gap):
            day = request.first + timedelta(days=n)
            midnight = datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
            marks.append(((midnight - request.start) / request.step / factor, f"{day.month}/{day.day}"))
    return [(at, name) for at, name in marks if at <= steps + 1e-6]


def _power(paper: Paper, report: Report, words: Words) -> list[Flowable]:
    factor = math.ceil(len(report.times) / _DRAWN)
    layers = [
        Layer(words(name), thin(values, factor) / 1e3, COMPONENT_COLOURS[name]) for name, values in report.power.items()
    ]
    total = thin(report.total_power, factor) / 1e3
    head = paper.heading(words("power over time"))
    if not layers or not known_any(total):
        return [head, paper.text(words("nothing")), Spacer(1, 8)]
    top = float(np.nanmax(np.nansum([layer.values for layer in layers], axis=0)))
    plot = Plot(paper.width, 200, len(total), Axis(_ticks(report, factor), "kW", _plain), scale_of(top), paper.fonts)
    complete = thin(report.complete_steps, factor)
    plot.missing(np.isnan(total))
    plot.missing(~np.isnan(total) & (complete < 0.999), 0.3)
    plot.areas(layers)
    names = [(layer.name, layer.colour) for layer in layers]
    return [
        KeepTogether(
            [
                head,
                plot.drawing,
                strip(complete, paper.width),
                paper.text(words("complete strip"), 6.5, colour=PALETTE[5]),
                legend([*names, *_missing(total, words)], paper.width, paper.fonts),
            ]
        ),
        Spacer(1, 8),
    ]


def _missing(values: Floats, words: Words) -> list[tuple[str, Color]]:
    return [(words("unknown"), MISSING)] if np.isnan(values).any() else []


def _bars(
    paper: Paper, of: Buckets, layers: Sequence[tuple[str, Floats, Color]], unit: str, size: tuple[float, float]
) -> Flowable:
    """Stacked bars, one per bucket."""
    drawn = [Layer(name, of.sums(values), colour) for name, values, colour in layers]
    total = added([layer.values for layer in drawn], len(of.names))
    every = apart(of.names, size[0], paper.fonts)
    ticks = [(n + 0.5, name) for n, name in enumerate(of.names) if n % every == 0]
    top = float(np.nanmax(total)) if known_any(total) else 1.0
    plot = Plot(size[0], size[1], len(of.names), Axis(ticks, unit, _plain), scale_of(top), paper.fonts)
    plot.missing(np.isnan(total))
    plot.bars(drawn)
    return plot.drawing


def _energy(paper: Paper, report: Report, words: Words, of: Buckets) -> list[Flowable]:
    head = paper.heading(words(f"energy per {of.kind}"))
    rows = sorted(report.energy_steps.items(), key=lambda row: -float(np.nansum(row[1])))
    layers = [(name, values / JOULES_PER_KWH, PALETTE[n % len(PALETTE)]) for n, (name, values) in enumerate(rows[:9])]
    if len(rows) > 9:
        rest = added([values for _, values in rows[9:]], len(report.times)) / JOULES_PER_KWH
        layers.append((words("other"), rest, PALETTE[9]))
    if not layers:
        return [head, paper.text(words("nothing"))]
    names = [(name, colour) for name, _, colour in layers]
    chart = _bars(paper, of, layers, "kWh", (paper.width, 160))
    return [KeepTogether([head, chart, legend(names, paper.width, paper.fonts)])]


def _namespaces(paper: Paper, report: Report, words: Words) -> list[Flowable]:
    head = paper.heading(words("top namespaces"))
    if not report.namespaces or report.joules is None:
        return [head, paper.text(words("nothing")), Spacer(1, 8)]
    several = len({it.cluster for it in report.namespaces}) > 1
    rows = [
        (
            f"{it.name or '–'}" + (f" · {it.cluster}" if several else ""),
            it.joules,
            words.kwh(it.joules),
            ACCENT,
        )
        for it in report.namespaces[:_MOST]
    ]
    held = sum(it.joules for it in report.namespaces)
    rest = max(report.joules - held, 0.0)
    rows.append((words("not attributed"), rest, words.kwh(rest), PALETTE[9]))
    return [KeepTogether([head, Spacer(1, 3), ranking(rows, paper.width, paper.fonts)]), Spacer(1, 10)]


def _pue(paper: Paper, report: Report, words: Words) -> list[Flowable]:
    factor = math.ceil(len(report.times) / _DRAWN)
    lines = [
        (f"{site.name} {category}", thin(values, factor))
        for site in report.sites
        for category, values in site.pue_steps.items()
        if known_any(values)
    ]
    head = paper.heading(words("pue over time"))
    if not lines:
        return [head, paper.text(words("nothing")), Spacer(1, 10)]
    top = max(float(np.nanmax(values)) for _, values in lines)
    grid = scale_of(max(top, 1.2), 1.0)
    plot = Plot(
        paper.width, 130, len(lines[0][1]), Axis(_ticks(report, factor), "PUE", lambda v: f"{v:.2f}"), grid, paper.fonts
    )
    plot.missing(np.logical_and.reduce([np.isnan(values) for _, values in lines]))
    for n, (name, values) in enumerate(lines):
        plot.line(Layer(name, values, PALETTE[n % len(PALETTE)]))
    names = [(name, PALETTE[n % len(PALETTE)]) for n, (name, _) in enumerate(lines)]
    return [KeepTogether([head, plot.drawing, legend(names, paper.width, paper.fonts)]), Spacer(1, 10)]


def _money_and_carbon(paper: Paper, report: Report, words: Words, of: Buckets) -> list[Flowable]:
    half = (paper.width - 14) / 2
    charts: list[list[Flowable]] = []
    for currency, values in sorted(report.cost_steps().items()):
        if known_any(values):
            chart = _bars(paper, of, [(currency, values, PALETTE[2])], currency, (half, 120))
            charts.append([paper.heading(words("cost over time")), chart])
    grams = report.gram_steps()
    if known_any(grams):
        chart = _bars(paper, of, [("CO2", grams / 1e3, PALETTE[1])], "kg CO2", (half, 120))
        charts.append([paper.heading(words("emissions over time")), chart])
    if not charts:
        return []
    charts += [[Spacer(1, 1)]] * (len(charts) % 2)
    table = Table([charts[at : at + 2] for at in range(0, len(charts), 2)], colWidths=[half + 7, half + 7])
    table.setStyle(
        [
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (-1, -1), 0),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
    )
    return [table]


def _tables(paper: Paper, report: Report, words: Words) -> list[Flowable]:
    story: list[Flowable] = []

    def section(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float]) -> None:
        flow = paper.table([words(key) for key in head], rows, widths) if rows else paper.text(words("nothing"))
        story.extend([KeepTogether([paper.heading(words(title)), Spacer(1, 3), flow]), Spacer(1, 10)])

    whole = report.joules or math.nan
    clusters = []
    for name in report.completeness:
        joules = float(np.nansum(report.energy_steps[name])) if name in report.energy_steps else None
        clusters.append(
            (
                name,
                report.origin.site_of(name),
                words.kwh(joules),
                words.percent(joules / whole if joules is not None else None),
                words.percent(report.completeness[name]),
            )
        )
    section("clusters", ("cluster", "site", "energy", "share", "completeness"), clusters, (3, 2, 2, 1, 1.4))
    section(
        "namespaces",
        ("cluster", "namespace", "energy", "share", "cost", "emissions"),
        [
            (
                it.cluster,
                it.name,
                words.kwh(it.joules),
                words.percent(it.joules / whole),
                " · ".join(words.money(v, c) for c, v in sorted(it.cost.items())) or words("unknown"),
                words.grams(it.grams),
            )
            for it in report.namespaces[:15]
        ],
        (2, 2.4, 1.6, 1, 1.8, 1.6),
    )
    section(
        "nodes",
        ("cluster", "node", "energy", "share"),
        [(c, n, words.kwh(j), words.percent(j / whole)) for c, n, j in report.nodes[:_MOST]],
        (2, 3, 2, 1),
    )
    section(
        "accelerators",
        ("kind", "vendor", "model", "count", "energy", "utilization"),
        [
            (
                it.kind,
                it.vendor,
                it.model,
                str(it.count),
                words.kwh(it.joules),
                words.percent(float(np.mean(it.utilization)) if it.utilization else None),
            )
            for it in report.devices[:_MOST]
        ],
        (1, 1.4, 3, 1, 1.8, 1.4),
    )
    return story


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:g}"
