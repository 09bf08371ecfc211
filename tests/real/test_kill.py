"""kill -9 under a real Prometheus: no counter ever falls, and what nobody saw is told as a gap."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import kcloud_exporter
from tests.real.page import Page, total
from tests.real.programs import free_port, wait_until
from tests.real.prometheus import prometheus, scrape_config

pytestmark = pytest.mark.real

KILLS = int(os.environ.get("KCLOUD_KILLS", "8"))
"""The long form: KCLOUD_KILLS=200 pytest tests/real/test_kill.py --timeout 3600"""
INTERVAL = 1.0
CLUSTERS = ("seoul-a", "seoul-b", "busan-a")


def cpu_watts(page: Page, cluster: str) -> float:
    return total(page, "kcloud_cluster_power_watts", cluster=cluster, component="cpu")


def joules(page: Page) -> dict[object, float]:
    return {key: value for key, value in page.items() if key[0].endswith("_joules_total")}


@pytest.mark.timeout(max(120, KILLS * 8))
def test_counters_survive_kill_9_at_any_instant(fleet: Fleet, tmp_path: Path) -> None:
    random.seed(KILLS)
    config = fleet.kcloud_config("exporter", interval="1s")
    port = free_port()
    job = scrape_config("kcloud", f"127.0.0.1:{port}", scrape_interval="500ms", honor_labels=True)
    seen: dict[object, float] = {}
    begun = time.time()
    with prometheus({"scrape_configs": [job]}, tmp_path) as server:
        for kill in range(KILLS + 1):
            with kcloud_exporter(config, tmp_path, port=port) as exporter:
                page = exporter.page()
                fallen = {key: (seen[key], value) for key, value in joules(page).items() if value < seen.get(key, 0.0)}
                assert not fallen, f"after kill {kill}: {fallen}"
                if kill == KILLS:
                    for cluster in CLUSTERS:
                        wait_until(lambda c=cluster: cpu_watts(exporter.page(), c) > 0, f"watts of {cluster}", 20.0)  # type: ignore[misc]
                    page = exporter.page()
                    break
                time.sleep(random.uniform(0.0, 3.0))
                seen |= joules(exporter.page())
                exporter.program.process.send_signal(signal.SIGKILL)
                exporter.program.process.wait()
        elapsed = time.time() - begun
        assert server.scalar('max(resets({__name__=~"kcloud_.*_joules_total"}[1h]))') == 0.0

    # A frozen fleet draws the same watts all the time, so joules over watts are the seconds that were integrated.
    for cluster in CLUSTERS:
        watts = cpu_watts(page, cluster)
        integrated = total(page, "kcloud_cluster_energy_joules_total", cluster=cluster, component="cpu") / watts
        gap = total(page, "kcloud_energy_gap_seconds_total", cluster=cluster)
        assert integrated + gap <= elapsed + INTERVAL, "no joule is invented"
        # A restart costs the running interval, and joule-only meters one more until they tell watts again.
        assert elapsed - integrated - gap <= (KILLS + 1) * 3 * INTERVAL, "no more is lost than an interval a kill"
