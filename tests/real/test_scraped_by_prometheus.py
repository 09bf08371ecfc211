"""A real Prometheus scrapes kcloud-exporter often: nothing fails, doubles or moves backwards.

The long form: `KCLOUD_SCRAPES=1000 pytest tests/real/test_scraped_by_prometheus.py --timeout 1800`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import KcloudExporter, kcloud_exporter
from tests.real.page import parse_page, total
from tests.real.programs import get, wait_until
from tests.real.prometheus import QueryServer, prometheus, scrape_config
from tests.real.truth import true_ledger

pytestmark = pytest.mark.real

SCRAPES = int(os.environ.get("KCLOUD_SCRAPES", "50"))
INTERVAL = 0.3 if SCRAPES <= 50 else 1.0
"""Seconds, which is what a scrape may take as well."""
OWN_SERIES = "up|scrape_.*"  # those that Prometheus itself adds to a job


@pytest.fixture(scope="module")
def exporter(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KcloudExporter]:
    """kcloud-exporter over direct scrapes, with short cycles so that values change between the scrapes."""
    config = fleet.kcloud_config("exporter", interval="1s")
    with kcloud_exporter(config, tmp_path_factory.mktemp("scraped")) as running:
        yield running


@pytest.fixture(scope="module")
def server(exporter: KcloudExporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServer]:
    """A Prometheus that has scraped the page SCRAPES times."""
    job = scrape_config("kcloud", exporter.address, scrape_interval=f"{1000 * INTERVAL:.0f}ms", honor_labels=True)
    with prometheus({"scrape_configs": [job]}, tmp_path_factory.mktemp("scraper")) as prom:
        scrapes = 'sum_over_time(up{job="kcloud"}[1h])'
        wait_until(
            lambda: (prom.scalar(scrapes) or 0) >= SCRAPES, f"{SCRAPES} scrapes", 30.0 + 2 * SCRAPES, exporter.program
        )
        yield prom


def test_every_scrape_succeeded(server: QueryServer) -> None:
    """But for those that a busy machine has not let end in their time, which say nothing of the page."""
    late = f'up{{job="kcloud"}} == 0 and scrape_duration_seconds{{job="kcloud"}} >= {0.95 * INTERVAL}'
    failed = 'up{job="kcloud"} == 0'
    many = f"[1h:{1000 * INTERVAL / 4:.0f}ms]"
    assert server.scalar(f"count_over_time(({failed}){many})") == server.scalar(f"count_over_time(({late}){many})")
    good, all_of_them = (server.scalar(f'{count}_over_time(up{{job="kcloud"}}[1h])') for count in ("sum", "count"))
    print(f"\n{all_of_them:.0f} scrapes, {good:.0f} in time and good, the others late")


def test_page_has_no_duplicates(exporter: KcloudExporter, fleet: Fleet) -> None:
    # parse_page refuses duplicates; this makes sure that there was something to refuse.
    assert len(exporter.page()) > len(true_ledger(fleet.truth()))


def test_every_sample_of_the_page_is_stored(server: QueryServer, exporter: KcloudExporter) -> None:
    stored = f'count({{job="kcloud",__name__!~"{OWN_SERIES}"}})'

    def all_stored() -> bool:
        scraped = server.scalar('scrape_samples_scraped{job="kcloud"}')
        return scraped == server.scalar(stored) == len(exporter.page())

    # A series that appears between the three looks is no loss, so look until nothing appears.
    wait_until(all_stored, "page = scraped = stored", 20.0)


@pytest.mark.parametrize("refusal", ["sample_out_of_bounds", "sample_out_of_order", "sample_duplicate_timestamp"])
def test_prometheus_refused_no_sample(refusal: str, server: QueryServer) -> None:
    own = parse_page(get(f"{server.url}/metrics").text)
    assert total(own, f"prometheus_target_scrapes_{refusal}_total") == 0.0
    assert ("prometheus_target_scrapes_" + refusal + "_total", frozenset()) in own


def test_honor_labels_keeps_the_labels_of_the_page(server: QueryServer) -> None:
    assert server.query('{job="kcloud",exported_pod!=""}') == {}
    clusters = {dict(labels)["cluster"] for labels in server.query("sum by (cluster) (kcloud_cluster_power_watts)")}
    assert clusters == {"seoul-a", "seoul-b", "busan-a"}


def test_no_counter_of_the_page_ever_falls(server: QueryServer, exporter: KcloudExporter) -> None:
    counters = re.findall(r"^# TYPE (kcloud_\w+) counter$", exporter.text(), re.MULTILINE)
    stored = [name for name in counters if server.scalar(f"count({name})")]
    assert "kcloud_cluster_energy_joules_total" in stored
    for name in stored:
        assert server.scalar(f"max(resets({name}[1h]))") == 0.0, name


def test_energy_grows_as_the_power_says(server: QueryServer, exporter: KcloudExporter) -> None:
    # The fleet's power is constant, so any window will do; its edges cost a scrape and a cycle. On a busy machine
    # they may cost more, so look until there is a window that was not disturbed.
    def grows() -> bool:
        power = server.scalar("sum(kcloud_cluster_power_watts)")
        return server.scalar("sum(rate(kcloud_cluster_energy_joules_total[10s]))") == pytest.approx(power, rel=0.1)

    wait_until(grows, "joules that grow as watts say, within 10 %", 60.0, exporter.program)
