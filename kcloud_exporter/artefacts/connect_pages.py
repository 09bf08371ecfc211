"""`docs/connect/`: one page per exporter, drawn from its vendor table: how to connect it, and what is read of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from kcloud_exporter.artefacts.connecting import connecting
from kcloud_exporter.vendors.mapping import SeriesRule, VendorTable

_MARK: Final = "<!-- Written by `kcloud-exporter generate`; changes are lost. -->"
_LINE: Final = re.compile(r"^  - \{to: ")
_ROWS: Final[Mapping[str, str]] = {
    "exclusive": "one row per thing",
    "mirrored": "the whole value on every row: counted once",
    "copy_plus_original": "a row and copies of it: counted once",
    "primary_only": "one row has the value, the others print 0",
    "partitioned": "parts: added up",
    "nested_zones": "zones: those that do not lie in another are added up",
    "per_core": "one row per core: their mean",
    "worst": "several verdicts: the worst counts",
    "board": "the value of a board on each of its chips: divided among them",
}


def connect_pages(tables: Mapping[str, VendorTable], texts: Mapping[str, str]) -> dict[str, str]:
    """Path → page of every vendor table, and an index. `texts` are the tables' YAML, whose remarks are shown."""
    pages = {f"docs/connect/{name}.md": _page(table, texts[name]) for name, table in tables.items()}
    rows = [f"| [{name}]({name}.md) | {table.exporter} | {_gives(table)} |" for name, table in tables.items()]
    index = [
        "# Connecting exporters",
        "",
        _MARK,
        "",
        _INDEX,
        "",
        "| table | exporter | gives |",
        "|---|---|---|",
        *rows,
    ]
    return {"docs/connect/README.md": "\n".join(index) + "\n", **pages}


_INDEX: Final = (
    "A `prometheus:` source recognises series by their names and needs no table; an `exporter:` source names one. "
    "Scrape *this* exporter with `honor_labels: true`; how the others are scraped does not matter, for owners are "
    "found under `pod` and under `exported_pod`."
)


def _gives(table: VendorTable) -> str:
    """The kinds of things that a table tells, in plain words."""
    words = {
        "accelerator_power_watts": "accelerator power",
        "accelerator_utilization_ratio": "accelerator use",
        "node_wall_power_watts": "whole-server power",
        "node_cpu_power_watts": "CPU power",
        "pod_cpu_power_watts": "power of pods",
        "node_info": "inventory",
        "hardware_temperature_celsius": "sensors",
    }
    told = {rule.to for rule in table.series}
    return ", ".join(word for quantity, word in words.items() if quantity in told) or "names and identities"


def _page(table: VendorTable, text: str) -> str:
    known = connecting().get(table.vendor)
    target = known.target if known else "http://exporter.example/metrics"
    lines = [f"# {table.exporter}", "", _MARK, ""]
    if table.vendor != "prometheus":
        lines += [
            "Through the Prometheus that scrapes it already, or directly:",
            "",
            "```yaml",
            "sources:",
            '  - prometheus: {url: "http://prometheus.example:9090"}   # recognises its series by name',
            f'  - exporter: {{vendor: {table.vendor}, targets: ["{target}"]}}',
            "```",
            "",
        ]
    if known and known.notes:
        lines += ["## What to know", "", known.notes, ""]
    lines += ["## What is read", "", "| series | becomes | unit | rows | remark |", "|---|---|---|---|---|"]
    lines += [_row(table, rule, remark) for rule, remark in zip(table.series, _remarks(text), strict=True)]
    return "\n".join(lines) + "\n"


def _row(table: VendorTable, rule: SeriesRule, remark: str) -> str:
    names = ", ".join(f"`{name}`" for name in table.names(rule))
    unit = rule.unit if rule.factor == 1.0 else f"{rule.unit} × {rule.factor:g}"
    counter = " (counter)" if rule.counter else ""
    meter = f" ({rule.meter})" if rule.meter else ""
    cells = (names, f"`{rule.to}`{meter}", f"{unit}{counter}", _ROWS[rule.rows], remark)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _remarks(text: str) -> Iterator[str]:
    """The remark above each line of a table's YAML; empty where there is none."""
    remark: list[str] = []
    for line in text.splitlines():
        if line.startswith("  # "):
            remark.append(line[4:])
        elif _LINE.match(line):
            yield " ".join(remark)
            remark = []
