"""The pages on exporters and meters say what the tables can say, and their recipes give the watts they promise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml

from kcloud_exporter.config.schema import FacilityPower
from kcloud_exporter.derive.inputs import facility_watts
from kcloud_exporter.model import Scrape, SeriesTable
from kcloud_exporter.normalise.engine import ClusterEngine
from kcloud_exporter.vendors.mapping import RowSemantics, SeriesRule, VendorTable
from kcloud_exporter.vendors.quantities import INVENTORIES, METERS
from tests.vendors.book import VENDORS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "vendors.md").read_text(encoding="utf-8")
METER_PAGE = (DOCS / "meters.md").read_text(encoding="utf-8")


def cells(table: str) -> list[list[str]]:
    """The rows of a Markdown table below its head, as texts without backticks."""
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row] for row in rows[2:]]


def explained(heading: str) -> set[str]:
    """The words in the first column of the table with that heading; one cell may hold several."""
    start = PAGE.index(heading)
    return {word for row in cells(PAGE[start:].partition("\n\n")[0]) for word in re.findall(r"\w+", row[0])}


def test_every_key_of_a_table_and_of_a_line_is_explained() -> None:
    assert explained("| key of the table | says |") == VendorTable.model_fields.keys()
    assert explained("| key of a line | says |") == {f.alias or n for n, f in SeriesRule.model_fields.items()}


def test_every_way_to_combine_rows_is_explained_and_every_inventory_named() -> None:
    assert explained("| `rows` | means |") == {*get_args(RowSemantics)}
    assert all(f"`{name}`" in PAGE for name in INVENTORIES)


def test_the_order_of_meters_and_who_tells_them_is_as_written() -> None:
    start = METER_PAGE.index("| `meter` |")
    rows = cells(METER_PAGE[start:].partition("\n\n")[0])
    assert [row[0] for row in rows] == list(METERS)
    for meter, _, tables in rows:
        told = {name for name, table in VENDORS.tables.items() if any(rule.meter == meter for rule in table.series)}
        assert set(re.findall(r"\w+", tables)) == told, meter


RECIPES = cells(METER_PAGE.partition("<!-- recipes -->")[2].partition("<!-- /recipes -->")[0])


@pytest.mark.parametrize(("device", "metric", "labels", "scale", "category", "reading", "watts"), RECIPES)
def test_a_recipe_gives_the_watts_that_it_promises(
    device: str, metric: str, labels: str, scale: str, category: str, reading: str, watts: str
) -> None:
    meter = FacilityPower.model_validate(
        {
            "cluster": "c",
            "metric": metric,
            "labels": yaml.safe_load(labels) or {},
            "scale": float(scale),
            "category": category,
        }
    )
    vendors = VENDORS.with_facility({metric: [(dict(meter.labels), meter.scale, "meter")]})
    engine = ClusterEngine(vendors, aliases={}, pattern=None, meters=METERS, max_staleness=45.0, forget_after=3600.0)
    table = SeriesTable()
    row = table.add(metric, {"instance": "10.0.9.1", "job": "snmp", **meter.labels})
    other = table.add(metric, {"instance": "10.0.9.1", "job": "snmp", "sensorType": "1"})
    values = [float(reading), 7.0] if meter.labels else [float(reading)]
    rows = np.array([row, other][: len(values)], np.int32)
    engine.ingest([Scrape("c", "s", table, rows, np.array(values), None, 0.0, 0.01)], 0.0)
    assert facility_watts(engine.readings(0.0)) == {"meter": float(watts)}, device
