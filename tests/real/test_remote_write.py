"""Remote write into real stores: what they hold is what the page shows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import kcloud_exporter
from tests.real.page import select, total
from tests.real.programs import wait_until
from tests.real.prometheus import QueryServer, prometheus, victoria_metrics

pytestmark = pytest.mark.real
PATHS = {"prometheus": "/api/v1/write", "victoria": "/api/v1/write"}


@contextlib.contextmanager
def store(kind: str, folder: Path) -> Iterator[QueryServer]:
    """A store that scrapes nothing and takes what is pushed."""
    if kind == "victoria":
        with victoria_metrics({"scrape_configs": []}, folder) as server:
            yield server
    else:
        with prometheus({}, folder, flags=["--web.enable-remote-write-receiver"]) as server:
            yield server


@pytest.mark.parametrize("kind", PATHS)
def test_the_store_holds_what_the_page_shows(kind: str, fleet: Fleet, tmp_path: Path) -> None:
    with store(kind, tmp_path) as server:
        remote = {"url": server.url + PATHS[kind], "name": "store", "external_labels": {"replica": "a"}}
        config = {**fleet.kcloud_config("exporter", interval="1s"), "remote_write": [remote]}
        with kcloud_exporter(config, tmp_path) as exporter:
            power = 'kcloud_cluster_power_watts{replica="a"}'
            wait_until(lambda: len(server.query(power)) >= 10, "power of every cluster is in the store", 30.0)
            stored = server.query('kcloud_accelerator_power_watts{replica="a"}')
            page = exporter.page()
        shown = select(page, "kcloud_accelerator_power_watts")

        # The fleet is frozen, so a meter of the moment reads the same in every cycle.
        assert {key - {("replica", "a")}: value for key, value in stored.items()} == {
            labels: value for (_, labels), value in shown.items()
        }
        assert total(page, "kcloud_exporter_remote_write_samples_total", remote="store") > 1000
        assert total(page, "kcloud_exporter_remote_write_lost_samples_total") == 0.0
