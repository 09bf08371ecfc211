"""Programs that several tests share, and their logs in the report of each failed test."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator

import pytest

from kcloud_exporter.fleet import Fleet, FleetSpec
from tests.real.programs import running
from tests.real.prometheus import QueryServer, prometheus
from tests.real.simulated_fleet import simulated_fleet


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """The demo fleet with constant power, so that everybody who looks sees the same watts."""
    with simulated_fleet(FleetSpec(seed=7, frozen=True)) as running_fleet:
        yield running_fleet


@pytest.fixture(scope="session")
def upstreams(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, QueryServer]]:
    """One real Prometheus per cluster, every target up: cluster → server."""
    folder = tmp_path_factory.mktemp("upstreams")
    clusters = dict.fromkeys(exporter.cluster for exporter in fleet.exporters)
    with contextlib.ExitStack() as stack:
        servers = {}
        for cluster in clusters:
            config = fleet.prometheus_config(cluster, scrape_interval="1s")
            servers[cluster] = stack.enter_context(prometheus(config, folder, name=cluster))
        for server in servers.values():
            server.wait_for_all_targets()
        yield servers


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,  # noqa: ARG001 - hook arguments go by name
    call: pytest.CallInfo[None],  # noqa: ARG001
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last lines of each running program to the report of a failed test."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {program.name}", program.tail()) for program in running()]
    return report
