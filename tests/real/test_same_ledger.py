"""However the samples arrive, the ledger is the same, and it is the truth."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import KcloudExporter, kcloud_exporter
from tests.real.page import Page
from tests.real.programs import wait_until
from tests.real.prometheus import QueryServer, promtool_check_metrics, victoria_metrics
from tests.real.simulated_fleet import config_of
from tests.real.truth import disagreements, of_clusters, shown_ledger, true_ledger

pytestmark = pytest.mark.real

WAYS: Final[tuple[Literal["exporter", "query", "federate"], ...]] = ("exporter", "query", "federate")
# Power from joule counters is as exact as the clock of a scrape: a few ms of jitter in a few seconds.
COUNTED = 0.02
TRUE, SAME = 1e-3, 1e-9


@pytest.fixture(scope="module")
def counter_clusters(fleet: Fleet) -> frozenset[str]:
    """Clusters in which some node's CPU power is known from joule counters only."""
    return frozenset(e.cluster for e in fleet.exporters if e.vendor in ("kepler_legacy", "node_exporter"))


@pytest.fixture(scope="module")
def aggregators(
    fleet: Fleet, upstreams: dict[str, QueryServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, KcloudExporter]]:
    """One kcloud-exporter per way to get the samples."""
    urls = {cluster: server.url for cluster, server in upstreams.items()}
    folder = tmp_path_factory.mktemp("same-ledger")
    with contextlib.ExitStack() as stack:
        yield {
            way: stack.enter_context(kcloud_exporter(fleet.kcloud_config(way, urls, interval="3s"), folder, name=way))
            for way in WAYS
        }


@pytest.mark.parametrize("way", WAYS)
def test_the_ledger_is_the_truth(
    way: str, fleet: Fleet, aggregators: dict[str, KcloudExporter], counter_clusters: frozenset[str]
) -> None:
    expected = true_ledger(fleet.truth())
    _wait_for_agreement(aggregators[way], expected, counter_clusters)


@pytest.mark.parametrize("other", ["query", "federate"])
def test_every_way_gives_the_same_ledger(
    other: str, aggregators: dict[str, KcloudExporter], counter_clusters: frozenset[str]
) -> None:
    found: list[str] = []

    def same() -> bool:
        direct, through = (power(aggregators[way].page()) for way in ("exporter", other))
        found[:] = disagreements(direct, through, counter_clusters, SAME, 2 * COUNTED)
        return not found

    with _explained(found):
        wait_until(same, f"{other} gives the ledger of the direct scrape", 20.0)


def test_victoria_metrics_is_as_good_a_source(fleet: Fleet, tmp_path: Path) -> None:
    cluster = "seoul-a"
    with victoria_metrics(fleet.prometheus_config(cluster, scrape_interval="1s"), tmp_path) as server:
        server.wait_for_all_targets()
        config = config_of(fleet, "query", {cluster: server.url}, interval="3s")
        with kcloud_exporter(config, tmp_path) as aggregator:
            expected = of_clusters(true_ledger(fleet.truth()), [cluster])
            _wait_for_agreement(aggregator, expected, frozenset())


@pytest.mark.parametrize("way", WAYS)
def test_promtool_finds_nothing_to_criticise(way: str, aggregators: dict[str, KcloudExporter]) -> None:
    assert promtool_check_metrics(aggregators[way].text().encode()) == []


def power(page: Page) -> Page:
    """The power of clusters, nodes, namespaces, pods and accelerators, as it stands on the page."""
    levels = tuple(f"kcloud_{level}_" for level in ("cluster", "node", "namespace", "pod", "accelerator"))
    selected = {
        series: value
        for series, value in page.items()
        if series[0].startswith(levels) and series[0].endswith("power_watts")
    }
    assert selected
    return selected


def _wait_for_agreement(aggregator: KcloudExporter, expected: Page, counter_clusters: frozenset[str]) -> None:
    # Joule counters need two cycles before there is any power.
    found: list[str] = []

    def agrees() -> bool:
        found[:] = disagreements(expected, shown_ledger(aggregator.page()), counter_clusters, TRUE, COUNTED)
        return not found

    with _explained(found):
        wait_until(agrees, "the page shows the truth", 30.0)


@contextlib.contextmanager
def _explained(found: list[str]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note("\n".join(found[:40]))
        raise
