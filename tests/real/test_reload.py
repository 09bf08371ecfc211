"""SIGHUP to the real process: a bad file leaves the old configuration running, a good one takes over."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import kcloud_exporter
from tests.real.page import total
from tests.real.programs import wait_until

pytestmark = pytest.mark.real
GOOD = "kcloud_exporter_config_last_reload_successful"


def test_sighup(fleet: Fleet, tmp_path: Path) -> None:
    config = fleet.kcloud_config("exporter", interval="1s")
    with kcloud_exporter(config, tmp_path) as exporter:
        assert total(exporter.page(), GOOD) == 1
        exporter.config_file.write_text("clusters: [\n")
        exporter.program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: total(exporter.page(), GOOD) == 0, "the bad file is told", 20.0, exporter.program)
        assert total(exporter.page(), "kcloud_cluster_power_watts", cluster="seoul-a") > 0

        exporter.config_file.write_text(json.dumps(config | {"clusters": config["clusters"][:1], "sites": []}))
        exporter.program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: total(exporter.page(), GOOD) == 1, "the good file is taken", 20.0, exporter.program)
        wait_until(
            lambda: total(exporter.page(), "kcloud_cluster_power_watts", cluster="busan-a") == 0, "the cluster is gone"
        )
        assert total(exporter.page(), "kcloud_cluster_power_watts", cluster="seoul-a") > 0


def test_sigterm_ends_it_at_once_and_cleanly(fleet: Fleet, tmp_path: Path) -> None:
    with kcloud_exporter(fleet.kcloud_config("exporter", interval="1s"), tmp_path) as exporter:
        exporter.program.process.terminate()
        assert exporter.program.process.wait(7) == 0
        assert "Traceback" not in exporter.program.tail()
