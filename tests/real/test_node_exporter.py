"""A real node_exporter (of the machine that runs the tests) as a source."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from tests.real.kcloud import kcloud_exporter
from tests.real.page import group, select, total
from tests.real.programs import get, wait_until
from tests.real.prometheus import node_exporter

pytestmark = pytest.mark.real


def test_node_exporter_is_understood_and_names_its_node(tmp_path: Path) -> None:
    with node_exporter(tmp_path) as page_url:
        config = {
            "global": {"interval": "1s", "timeout": "900ms"},
            "clusters": [
                {
                    "name": "lab",
                    "sources": [{"exporter": {"vendor": "node_exporter", "targets": [page_url]}}],
                }
            ],
        }
        with kcloud_exporter(config, tmp_path) as exporter:
            wait_until(
                lambda: total(exporter.page(), "kcloud_source_up", cluster="lab") == 1.0,
                "the source is up",
                20.0,
                exporter.program,
            )
            page = exporter.page()
            assert total(page, "kcloud_source_samples", cluster="lab") > 0
            assert total(page, "kcloud_source_failures_total", cluster="lab") == 0.0
            # What hardware this machine shows differs; whatever it is, it belongs to the node by its name.
            nodes = {dict(labels)["node"] for (_, labels) in page if "node" in dict(labels)}
            assert nodes <= {platform.node()}
            meters = {
                name
                for name in ("node_hwmon_temp_celsius", "node_rapl_package_joules_total")
                if f"\n{name}{{" in get(page_url).text
            }
            if "node_hwmon_temp_celsius" in meters:
                assert select(page, "kcloud_hardware_temperature_celsius", cluster="lab")
            if "node_rapl_package_joules_total" in meters:
                wait_until(
                    lambda: group(exporter.page(), "kcloud_node_power_watts", "component").get(("cpu",), 0) > 0,
                    "RAPL counters give the node's cpu power",
                )
