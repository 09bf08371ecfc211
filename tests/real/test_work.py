"""Tokens through a real Prometheus: target labels name the pod, and every way counts the same work."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import kcloud_exporter
from tests.real.page import group, select
from tests.real.programs import wait_until
from tests.real.prometheus import QueryServer
from tests.real.simulated_fleet import config_of

pytestmark = pytest.mark.real
CLUSTER = "seoul-b"


@pytest.mark.parametrize("way", ["query", "federate"])
def test_tokens_and_joules_per_token_come_through_prometheus(
    way: Literal["query", "federate"], fleet: Fleet, upstreams: dict[str, QueryServer], tmp_path: Path
) -> None:
    config = config_of(fleet, way, {CLUSTER: upstreams[CLUSTER].url}, interval="2s")
    servers = fleet.truth()["clusters"][CLUSTER]["work_units"]
    begun = {server["pod"]: server["units"]["token"] for server in servers}
    # Prometheus may still show what it scraped before we asked for the truth.
    earlier = {pod: units - 10_000 for pod, units in begun.items()}
    with kcloud_exporter(config, tmp_path) as aggregator:

        def everybody_worked() -> bool:
            done = group(aggregator.page(), "kcloud_work_units_total", "pod", "unit")
            return all(done.get((pod, "token"), 0.0) > 0 for pod in begun)

        wait_until(everybody_worked, "every model server has generated tokens", 30.0)
        page = aggregator.page()
    ended = {s["pod"]: s["units"]["token"] for s in fleet.truth()["clusters"][CLUSTER]["work_units"]}
    done = group(page, "kcloud_work_units_total", "namespace", "pod", "unit")
    assert {(namespace, pod) for namespace, pod, _ in done} == {("serving", pod) for pod in begun}
    assert all(done["serving", pod, "token"] <= ended[pod] - earlier[pod] for pod in begun)
    (ratio,) = select(page, "kcloud_namespace_energy_per_work_joules", unit="token", namespace="serving").values()
    assert 0.01 < ratio < 10
