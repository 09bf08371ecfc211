"""Two equal instances over the same sources: they agree, and whoever asks Prometheus counts each watt once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import kcloud_exporter
from tests.real.programs import wait_until
from tests.real.prometheus import prometheus, scrape_config

pytestmark = pytest.mark.real


def test_a_pair_agrees_and_counts_once(fleet: Fleet, tmp_path: Path) -> None:
    config = fleet.kcloud_config("exporter", interval="2s")
    with (
        kcloud_exporter(config, tmp_path, name="a") as a,
        kcloud_exporter(config, tmp_path, name="b") as b,
        prometheus(
            {
                "scrape_configs": [
                    scrape_config(name, one.address, scrape_interval="1s", honor_labels=True)
                    for name, one in (("a", a), ("b", b))
                ]
            },
            tmp_path,
        ) as server,
    ):
        # The third cycle has every watt: joule counters tell none before the second.
        asked = "min(count by (job) (kcloud_cluster_power_watts{component='cpu'}))"
        wait_until(lambda: server.scalar(asked) == 3, "CPU watts of every cluster from both", 40.0)
        time.sleep(4)
        each = [server.scalar(f'sum(kcloud_cluster_power_watts{{job="{job}"}})') or 0.0 for job in ("a", "b")]
        wait_until(lambda: (server.scalar("sum(increase(kcloud_cluster_energy_joules_total[10s]))") or 0) > 0, "joules")
        rates = [
            server.scalar(f'sum(rate(kcloud_cluster_energy_joules_total{{job="{job}"}}[20s]))') or 0.0
            for job in ("a", "b")
        ]
        once = server.scalar("sum(max without (instance, job) (kcloud_cluster_power_watts))") or 0.0

    assert each[0] == pytest.approx(each[1], rel=0.005)
    assert once == pytest.approx(each[0], rel=0.005)
    assert min(rates) > 0
