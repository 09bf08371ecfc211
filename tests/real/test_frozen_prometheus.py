"""One of two Prometheus servers hangs: the other cluster does not notice, and nothing old is shown as new."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import KcloudExporter, kcloud_exporter
from tests.real.page import Page, select, total
from tests.real.programs import wait_until
from tests.real.prometheus import QueryServer, prometheus
from tests.real.simulated_fleet import config_of

pytestmark = pytest.mark.real

HEALTHY, FROZEN = "seoul-a", "busan-a"
MAX_STALENESS = 4.0


@dataclass(frozen=True)
class Setting:
    """A kcloud-exporter and its two upstreams."""

    exporter: KcloudExporter
    frozen: QueryServer


@pytest.fixture(scope="module")
def setting(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """Two clusters, one Prometheus each, short cycles."""
    folder = tmp_path_factory.mktemp("frozen")
    with contextlib.ExitStack() as stack:
        servers = {
            cluster: stack.enter_context(
                prometheus(fleet.prometheus_config(cluster, scrape_interval="500ms"), folder, name=cluster)
            )
            for cluster in (HEALTHY, FROZEN)
        }
        for server in servers.values():
            server.wait_for_all_targets()
        config = config_of(fleet, "query", {name: s.url for name, s in servers.items()}, interval="1s")
        config["global"] = {"interval": "1s", "timeout": "900ms", "max_staleness": f"{MAX_STALENESS:.0f}s"}
        exporter = stack.enter_context(kcloud_exporter(config, folder))
        yield Setting(exporter, servers[FROZEN])


def up(page: Page, cluster: str) -> list[float]:
    """`kcloud_source_up` of the cluster's sources."""
    return [*select(page, "kcloud_source_up", cluster=cluster).values()]


def last_success(page: Page, cluster: str) -> float:
    """When the cluster's source last answered (Unix seconds)."""
    return max(select(page, "kcloud_source_last_success_timestamp_seconds", cluster=cluster).values())


def test_a_frozen_upstream_makes_its_own_cluster_vanish_and_no_other(setting: Setting) -> None:
    exporter = setting.exporter
    power = "kcloud_cluster_power_watts"

    def both_complete() -> bool:
        page = exporter.page()
        # Joule counters need two cycles: before that a cluster is shown, but not complete.
        return all(
            total(page, power, cluster=cluster) > 0
            and total(page, "kcloud_cluster_completeness_ratio", cluster=cluster) == 1.0
            for cluster in (HEALTHY, FROZEN)
        )

    wait_until(both_complete, "both clusters are complete", 20.0, exporter.program)
    before = exporter.page()
    assert up(before, HEALTHY) == up(before, FROZEN) == [1.0]

    with setting.frozen.program.stopped():
        wait_until(lambda: up(exporter.page(), FROZEN) == [0.0], "the frozen source is down", 20.0)
        wait_until(
            lambda: not select(exporter.page(), power, cluster=FROZEN),
            "the frozen cluster's power is gone",
            20.0,
        )
        page = exporter.page()
        for family in ("kcloud_node_power_watts", "kcloud_pod_power_watts", "kcloud_accelerator_power_watts"):
            assert not select(page, family, cluster=FROZEN), f"{family} of a cluster that nobody can see"
            assert select(page, family, cluster=HEALTHY)
        assert total(page, "kcloud_cluster_completeness_ratio", cluster=FROZEN) == 0.0
        assert total(page, "kcloud_source_failures_total", cluster=FROZEN, reason="timeout") > 0

        # The other cluster goes on: its source is up, answers again and again, and its power is what it was.
        success = last_success(page, HEALTHY)
        wait_until(lambda: last_success(exporter.page(), HEALTHY) > success, "another success", 20.0)
        page = exporter.page()
        assert up(page, HEALTHY) == [1.0]
        assert total(page, "kcloud_source_failures_total", cluster=HEALTHY) == 0.0
        assert total(page, power, cluster=HEALTHY) == pytest.approx(total(before, power, cluster=HEALTHY))

    wait_until(lambda: up(exporter.page(), FROZEN) == [1.0], "the source is back", 30.0)
    wait_until(both_complete, "both clusters are complete again", 30.0)
    shown_again = exporter.page()
    assert select(shown_again, power, cluster=FROZEN).keys() == select(before, power, cluster=FROZEN).keys()
