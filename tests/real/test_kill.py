"""kill -9 under a real Prometheus: no counter ever falls, and what is lost in all is at most one interval.

The short form is part of the suite. The long one prints a table as well, with how long each restart took:

    KCLOUD_KILLS=200 KCLOUD_INTERVAL=1 pytest tests/real/test_kill.py --timeout 3600 -s
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import kcloud_exporter
from tests.real.page import Page, Series, select, total
from tests.real.programs import free_port, wait_until
from tests.real.prometheus import prometheus, scrape_config

pytestmark = pytest.mark.real

KILLS = int(os.environ.get("KCLOUD_KILLS", "8"))
INTERVAL = float(os.environ.get("KCLOUD_INTERVAL", "2"))
COUNTERS = ("_joules_total", "_grams_total", "_cost_total", "_gap_seconds_total")
NAMES = "kcloud_.*_joules_total|kcloud_.*_grams_total|kcloud_.*_cost_total|kcloud_energy_gap_seconds_total"


def counters(page: Page) -> dict[Series, float]:
    return {key: value for key, value in page.items() if key[0].endswith(COUNTERS)}


def at(page: Page) -> float:
    """When the sources of a page were asked."""
    return total(page, "kcloud_snapshot_timestamp_seconds")


def silent(page: Page) -> set[str]:
    """The clusters in which a source gave no answer in this process."""
    failures = select(page, "kcloud_source_failures_total")
    return {dict(labels)["cluster"] for (_, labels), count in failures.items() if count}


def settled(page: Page, fleet: Fleet) -> bool:
    """Whether every component of every cluster tells its power; meters of joules need two samples for it."""
    return all(
        total(page, "kcloud_cluster_power_watts", cluster=cluster, component=component) > 0
        for cluster, truth in fleet.truth()["clusters"].items()
        for component in truth["power_watts"]
    )


@pytest.mark.timeout(max(180, KILLS * 8))
def test_counters_survive_kill_9_at_any_instant(fleet: Fleet, tmp_path: Path) -> None:
    random.seed(KILLS)
    config = fleet.kcloud_config("exporter", interval=f"{INTERVAL:g}s")
    # A busy machine makes a restart slow, and an answer late; what is tested is that neither costs anything.
    config["global"] |= {"timeout": f"{950 * INTERVAL:.0f}ms", "max_staleness": "30s"}
    port = free_port()
    job = scrape_config("kcloud", f"127.0.0.1:{port}", scrape_interval="1s", honor_labels=True)
    seen: dict[Series, float] = {}
    restarts: list[float] = []
    begun = last = 0.0
    excused: Counter[str] = Counter()
    with prometheus({"scrape_configs": [job]}, tmp_path) as server:
        for kill in range(KILLS + 1):
            started = time.monotonic()
            with kcloud_exporter(config, tmp_path, port=port) as exporter:
                restarts.append(time.monotonic() - started)
                page = exporter.page()
                begun = begun or at(page)
                # A source that is late in the first cycle of a process has no watts yet that could be carried.
                excused.update(dict.fromkeys(silent(page), round(at(page) - (last or begun) + INTERVAL)))
                fallen = {key: (seen[key], v) for key, v in counters(page).items() if v < seen.get(key, 0.0)}
                assert not fallen, f"after kill {kill}: {fallen}"
                if kill == KILLS:
                    wait_until(lambda: settled(exporter.page(), fleet), "watts of every component", 20.0)
                    page = exporter.page()
                    resets = server.scalar(f'max(resets({{__name__=~"{NAMES}"}}[2h]))')
                    samples = server.scalar('count_over_time(kcloud_snapshot_timestamp_seconds{job="kcloud"}[2h])')
                    damaged = total(page, "kcloud_exporter_storage_damaged_total")
                    break
                time.sleep(random.uniform(0.0, 3.0))
                page = exporter.page()
                seen, last = seen | counters(page), at(page)
                exporter.program.process.send_signal(signal.SIGKILL)
                exporter.program.process.wait()

    # A frozen fleet draws the same watts all the time: its integral is exact.
    elapsed, losses = at(page) - begun, {}
    for cluster, truth in fleet.truth()["clusters"].items():
        gap = total(page, "kcloud_energy_gap_seconds_total", cluster=cluster)
        for component, watts in truth["power_watts"].items():
            joules = total(page, "kcloud_cluster_energy_joules_total", cluster=cluster, component=component)
            losses[cluster, component] = elapsed - joules / watts, gap
    report(elapsed, losses, restarts[1:], resets, samples)
    print(f"seconds in which a source of a cluster was late in the first cycle: {dict(excused)}")

    assert resets == 0.0
    assert damaged == 0.0, "the torn end of a kill is no damage"
    for (cluster, component), (lost, gap) in losses.items():
        assert lost - gap <= INTERVAL + excused[cluster], f"{cluster} {component}: more than an interval is lost"
        assert lost >= -INTERVAL, f"{cluster} {component}: no joule is invented"


def report(
    elapsed: float,
    losses: dict[tuple[str, str], tuple[float, float]],
    restarts: list[float],
    resets: float | None,
    samples: float | None,
) -> None:
    ready = np.percentile(restarts, [50, 90, 99, 100]) if restarts else np.zeros(4)
    print(f"\n{len(restarts)} kills in {elapsed:.0f} s; {samples:.0f} scrapes; resets of any counter: {resets}")
    print("ready after a restart, seconds: p50 {:.2f}, p90 {:.2f}, p99 {:.2f}, longest {:.2f}".format(*ready))
    for (cluster, component), (lost, gap) in losses.items():
        print(f"{cluster:<9} {component:<7} not counted {lost:7.3f} s, of which told as a gap {gap:7.3f} s")
