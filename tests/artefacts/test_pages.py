"""Pages drawn from tables: every key of the configuration, every exporter, and what the chart carries."""

from __future__ import annotations

from pathlib import Path

import yaml

from kcloud_exporter.artefacts.configuration_page import configuration_page
from kcloud_exporter.artefacts.connect_pages import connect_pages
from kcloud_exporter.artefacts.connecting import connecting
from kcloud_exporter.config.load import json_schema
from kcloud_exporter.config.schema import ExporterConfig
from kcloud_exporter.vendors.loading import load_vendors, table_texts

ROOT = Path(__file__).resolve().parents[2]
VENDORS = load_vendors()
PAGES = connect_pages(VENDORS.tables, table_texts())


def test_every_key_of_the_configuration_is_on_the_page() -> None:
    schema, page = json_schema(), configuration_page(json_schema())
    for section in (schema, *schema["$defs"].values()):
        for key in section.get("properties", {}):
            assert f"| `{key}` |" in page, key


def test_every_table_has_a_page_that_names_all_its_series() -> None:
    assert len(PAGES) == len(VENDORS.tables) + 1
    for name in VENDORS.tables:
        page = PAGES[f"docs/connect/{name}.md"]
        assert all(f"`{series}`" in page for series in VENDORS.names(name)), name


def test_remarks_stand_beside_the_line_that_they_speak_of() -> None:
    (line,) = [line for line in PAGES["docs/connect/dcgm.md"].splitlines() if "never add rows" in line]
    assert line.startswith("| `DCGM_FI_DEV_POWER_USAGE`")


def test_what_is_known_of_exporters_is_of_tables_that_exist_and_can_be_configured() -> None:
    assert connecting().keys() <= VENDORS.tables.keys()
    for name, known in connecting().items():
        ExporterConfig.model_validate({"vendor": name, "targets": (known.target,)})


def test_the_chart_carries_the_rules() -> None:
    chart = ROOT / "deploy/helm/kcloud-exporter/files/rules"
    for rules in (ROOT / "rules").glob("*.yml"):
        assert (chart / rules.name).read_text() == rules.read_text()
        assert yaml.safe_load(rules.read_text())["groups"]
