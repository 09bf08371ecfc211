"""A Prometheus is told to scrape less often while it runs: the totals do not dip, and nothing is called missing."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import kcloud_exporter
from tests.real.page import group, total
from tests.real.programs import wait_until
from tests.real.prometheus import prometheus
from tests.real.simulated_fleet import config_of

pytestmark = pytest.mark.real

CLUSTER, SLOW = "seoul-a", 5.0


def test_an_upstream_that_scrapes_less_often_from_now_on(fleet: Fleet, tmp_path: Path) -> None:
    quick, slow = (fleet.prometheus_config(CLUSTER, scrape_interval=f"{s:g}s") for s in (1.0, SLOW))
    with prometheus(quick, tmp_path) as server:
        server.wait_for_all_targets()
        config = config_of(fleet, "query", {CLUSTER: server.url}, interval="1s")
        config["global"] |= {"max_staleness": "20s"}
        with kcloud_exporter(config, tmp_path) as exporter:
            truth = fleet.truth()["clusters"][CLUSTER]["power_watts"]

            def components() -> dict[tuple[str, ...], float]:
                return group(exporter.page(), "kcloud_cluster_power_watts", "component")

            wait_until(lambda: len(components()) == len(truth), "every component", 30.0, exporter.program)
            before = exporter.page()
            (tmp_path / "prometheus.yml").write_text(json.dumps(slow))
            server.program.process.send_signal(signal.SIGHUP)
            until = time.monotonic() + 2.2 * SLOW
            while time.monotonic() < until:
                shown = components()
                assert shown.keys() == {(name,) for name in truth}, "nothing is missing at any moment"
                for (name,), watts in shown.items():
                    assert watts == pytest.approx(truth[name], rel=0.05), f"{name} neither dips nor leaps"
                time.sleep(0.5)
            after = exporter.page()
            intervals = server.query("count_over_time(up[8s])")
    assert sum(intervals.values()) / len(intervals) < 4, "it has really become slow: it were 8 before"
    for family in ("kcloud_energy_gap_seconds_total", "kcloud_source_failures_total"):
        assert total(after, family, cluster=CLUSTER) == total(before, family, cluster=CLUSTER), family
