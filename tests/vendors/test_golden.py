"""Every table against its exporter's page: what goes in, and the whole page that comes out, as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from kcloud_exporter.vendors import mapping
from kcloud_exporter.vendors.mapping import COMBINE, SeriesRule, VendorIndex
from tests.vendors.book import FIXTURES, VENDORS, cycles, fixtures, read_fixture

DUPLICATED = [
    pytest.param(name, at, id=f"{name}-{at}-{rule.to}")
    for name, table in VENDORS.tables.items()
    for at, rule in enumerate(table.series)
    if rule.rows != "exclusive"
]


def changed(vendor: str, at: int, **fields: object) -> VendorIndex:
    """All tables, with some fields of one line of one table replaced."""
    table = VENDORS.tables[vendor]
    series = list(table.series)
    series[at] = SeriesRule.model_validate({**series[at].model_dump(by_alias=True), **fields})
    return VendorIndex([*VENDORS.tables.values(), table.model_copy(update={"series": series})])


def test_every_table_has_a_fixture_and_every_fixture_a_table() -> None:
    tables = sorted(path.stem for path in Path(mapping.__file__).parent.glob("*.yaml"))
    assert fixtures() == tables == sorted(VENDORS.tables)
    assert fixtures() == sorted(path.parent.name for path in FIXTURES.glob("*/expected.prom"))


@pytest.mark.parametrize("vendor", fixtures())
def test_the_page_is_the_expected_one(vendor: str, update_golden: bool) -> None:
    expected, page = FIXTURES / vendor / "expected.prom", read_fixture(vendor).page()
    if update_golden:
        expected.write_text(page, encoding="utf-8")
    assert page == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("vendor", fixtures())
def test_every_series_that_the_table_names_stands_in_the_fixture(vendor: str) -> None:
    text = "\n".join(cycles(vendor))
    assert [name for name in VENDORS.names(vendor) if f"\n{name}" not in text] == []


@pytest.mark.parametrize(("vendor", "at"), DUPLICATED)
def test_the_fixture_notices_another_way_to_combine_rows(vendor: str, at: int) -> None:
    rule = VENDORS.tables[vendor].series[at]
    wrong: dict[str, object] = {"rows": "mirrored", "parts": [], "every": {}}
    if rule.rows == "primary_only":  # the zeros of the others taken for parts of a mean
        wrong = {"rows": "per_core", "parts": ["*"], "zero": "value"}
    elif COMBINE[rule.rows] in ("max", "min"):
        wrong = {"rows": "partitioned", "parts": ["*"]}
    page = read_fixture(vendor, changed(vendor, at, **wrong)).page()
    assert page != (FIXTURES / vendor / "expected.prom").read_text(encoding="utf-8")
