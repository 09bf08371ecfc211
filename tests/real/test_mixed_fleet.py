"""A fleet of every maker with pods, VMs and two meters per server: the truth through a Prometheus, our dashboards and
alerts as they are.

One device of each maker is hot, one is held and does nothing, and one is broken.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from kcloud_exporter.artefacts.alerts import ALERTS
from kcloud_exporter.artefacts.relations import names_in
from kcloud_exporter.artefacts.rules import recording_groups
from kcloud_exporter.artefacts.values import parse_values
from kcloud_exporter.fleet import Fleet, FleetSpec
from tests.real.kcloud import kcloud_exporter
from tests.real.programs import wait_until
from tests.real.prometheus import QueryServer, prometheus
from tests.real.ruled import PANELS, WITHOUT_DATA, everything, failed_evaluations, ruled_prometheus
from tests.real.simulated_fleet import simulated_fleet
from tests.real.truth import disagreements, shown_ledger, true_ledger

pytestmark = pytest.mark.real

BUDGETS = {"sites": {"icn1": 1e6}, "clusters": {"mixed-a": 1e6}, "namespaces": {"mixed-a/serving": 1e6}}
QUICK = parse_values(
    {
        **dict.fromkeys(("energy_interval", "long_interval", "power_interval"), "1s"),
        "power_budget_watts": BUDGETS,
        "alerts": {alert.name: {"for": "2s"} for alert in ALERTS},
    },
    ALERTS,
)
NOT_TOLD = {
    "kcloud_accelerator_power_watts": {"google"},
    "kcloud_accelerator_idle_power_watts": {"google"},
    "kcloud_accelerator_temperature_celsius": {"google"},
    "kcloud_accelerator_healthy": {"google", "intel"},
    "kcloud_accelerator_memory_used_bytes": {"furiosa"},
    "kcloud_accelerator_memory_total_bytes": {"furiosa"},
    "kcloud_accelerator_clock_hertz": {"amd", "google", "rebellions"},
    "kcloud_accelerator_core_utilization_ratio": {"amd", "google", "huawei", "intel", "nvidia", "rebellions"},
}
"""What the exporter of a maker, as it is in this fleet, does not tell. Nobody measures a TPU's power."""
COUNTED = 0.03
"""Power from joules and seconds is as exact as the clocks of two scrapes a few seconds apart."""
AILMENTS = {
    "KcloudAcceleratorHot": "kcloud_accelerator_temperature_celsius",
    "KcloudAcceleratorIdleAllocated": "kcloud_accelerator_idle_power_watts",
    "KcloudAcceleratorUnhealthy": "kcloud_accelerator_healthy",
}
"""Of the first, the second and the third device of every maker's server: alert and the family that it goes by."""


@pytest.fixture(scope="module")
def ailing() -> Iterator[Fleet]:
    with simulated_fleet(FleetSpec(size="mixed", frozen=True, ailing=True)) as running:
        yield running


@pytest.fixture(scope="module")
def server(ailing: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServer]:
    """A Prometheus with our rules that scrapes a kcloud-exporter over that fleet."""
    folder = tmp_path_factory.mktemp("mixed")
    with (
        kcloud_exporter(ailing.kcloud_config("exporter", interval="2s"), folder) as exporter,
        ruled_prometheus(exporter, QUICK, folder) as running,
    ):
        yield running


def test_every_rule_evaluates_and_records(server: QueryServer) -> None:
    assert failed_evaluations(server) == {}
    recorded = {rule.record for group in recording_groups(QUICK) for rule in group.rules}
    assert {record for record in recorded if not server.query(record)} == WITHOUT_DATA.keys()


def test_every_query_of_every_panel_gives_data(server: QueryServer) -> None:
    empty = [name for name, expr in PANELS if not server.query(everything(expr))]
    # These need a window of their length, as on any fleet that is a minute old.
    # Exporters that are scraped directly print no times, by which clocks could be compared.
    assert [name for name in empty if "PUE of" not in name and "Clocks of the sources" not in name] == []


@pytest.fixture(scope="module")
def upstream(ailing: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServer]:
    """A Prometheus that scrapes the fleet as one does in Kubernetes: an exporter's own pod stands in target labels."""
    config = ailing.prometheus_config("mixed-a", scrape_interval="1s")
    with prometheus(config, tmp_path_factory.mktemp("upstream")) as running:
        running.wait_for_all_targets()
        yield running


@pytest.mark.parametrize("way", ["query", "federate"])
def test_through_a_prometheus_the_ledger_is_the_truth(
    way: Literal["query", "federate"], ailing: Fleet, upstream: QueryServer, tmp_path: Path
) -> None:
    expected, found = true_ledger(ailing.truth()), [""]

    def agrees() -> bool:
        found[:] = disagreements(expected, shown_ledger(exporter.page()), frozenset({"mixed-a"}), 1e-3, COUNTED)
        return not found

    with kcloud_exporter(ailing.kcloud_config(way, {"mixed-a": upstream.url}, interval="3s"), tmp_path) as exporter:
        try:
            wait_until(agrees, "the page shows the truth", 40.0, exporter.program)
        except BaseException as error:
            error.add_note("\n".join(found[:40]))
            raise


OF_DEVICES = [(name, expr) for name, expr in PANELS if expr.startswith("max by (cluster, node, uuid")]


@pytest.mark.parametrize(("panel", "expr"), OF_DEVICES, ids=[name for name, _ in OF_DEVICES])
def test_a_panel_of_devices_shows_those_of_every_maker(panel: str, expr: str, server: QueryServer) -> None:
    devices = map(dict, server.query("kcloud_accelerator_info"))
    maker = {device["uuid"]: device["vendor"] for device in devices}
    shown = {maker[dict(labels)["uuid"]] for labels in server.query(everything(expr))}
    silent: set[str] = set().union(*(NOT_TOLD.get(family, set()) for family in names_in(expr)))
    assert shown == set(maker.values()) - silent, panel


def test_the_same_alerts_fire_for_every_maker_and_no_others_fire(ailing: Fleet, server: QueryServer) -> None:
    expected: set[tuple[str, str]] = set()
    for node in ailing.world.clusters[0].nodes:
        for device, alert in zip(node.accelerators, AILMENTS, strict=False):
            if device.vendor not in NOT_TOLD[AILMENTS[alert]]:
                expected.add((alert, device.uuid))
    nvidia = ailing.world.node("mixed-a", "nvidia-1").accelerators[0]
    expected.add(("KcloudAcceleratorMemoryHot", nvidia.uuid))  # of these exporters only NVIDIA's tells it

    def firing() -> set[tuple[str, str]]:
        alerts = map(dict, server.query('ALERTS{alertstate="firing"}'))
        return {(alert["alertname"], alert.get("uuid", "")) for alert in alerts}

    wait_until(lambda: firing() == expected, "exactly those fire", 60.0, server.program)
