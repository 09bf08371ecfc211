"""From a fault to somebody's pager, with real programs: fleet, exporter, Prometheus with our rules, Alertmanager."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from kcloud_exporter.artefacts.alerts import ALERTS
from kcloud_exporter.artefacts.rules import alerts_file, recording_file
from kcloud_exporter.artefacts.samples import alertmanager_sample
from kcloud_exporter.artefacts.values import parse_values
from kcloud_exporter.fleet import Fleet, FleetSpec
from tests.real.alertmanager import Receiver, alertmanager, webhook
from tests.real.kcloud import kcloud_exporter
from tests.real.programs import wait_until
from tests.real.prometheus import prometheus, scrape_config
from tests.real.simulated_fleet import simulated_fleet

pytestmark = pytest.mark.real

PATIENCE = 60.0
# What is a consequence waits longer than its cause, so that the cause can inhibit it.
QUICK = {
    "power_interval": "1s",
    "alerts": {
        "KcloudClusterUnreachable": {"for": "1s"},
        "KcloudSourceDown": {"for": "4s"},
        "KcloudFacilityMeterLost": {"for": "1s"},
        "KcloudExporterDown": {"enabled": False},
    },
}


def quick_alertmanager(receiver: Receiver) -> dict[str, Any]:
    """The sample configuration that we ship, in a hurry, with this receiver instead of the sample's."""
    config: dict[str, Any] = yaml.safe_load(alertmanager_sample())
    for each in config["receivers"]:
        each["webhook_configs"][0]["url"] = f"{receiver.url}/{each['name']}"
    route = config["route"]
    for hurried in (route, *route["routes"]):
        hurried |= {"group_wait": "1s", "group_interval": "1s"}
    return config


@pytest.fixture(scope="module")
def own_fleet() -> Iterator[Fleet]:
    """A fleet whose faults nobody else sees."""
    with simulated_fleet(FleetSpec(seed=7, frozen=True)) as running:
        yield running


@pytest.fixture(scope="module")
def receiver(own_fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """The whole chain; yields its end."""
    folder = tmp_path_factory.mktemp("alerting")
    values = parse_values(QUICK, ALERTS)
    (folder / "recording.yml").write_text(recording_file(values))
    (folder / "alerts.yml").write_text(alerts_file(values))
    with (
        kcloud_exporter(own_fleet.kcloud_config("exporter", interval="2s"), folder) as exporter,
        webhook() as hook,
        alertmanager(quick_alertmanager(hook), folder) as address,
    ):
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["recording.yml", "alerts.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]},
            "scrape_configs": [scrape_config("kcloud", exporter.address, honor_labels=True)],
        }
        with prometheus(config, folder) as server:
            wait_until(lambda: bool(server.query("kcloud_source_up == 1")), "sources are up", 30.0, server.program)
            yield hook


def fault(fleet: Fleet, match: str, kind: str) -> None:
    with httpx.Client(trust_env=False) as client:
        answer = client.post(f"{fleet.control_url}/fault", json={"match": match, "fault": kind})
    assert answer.json()["matched"] > 0, answer.text


def test_a_source_that_fails_arrives_at_the_team_and_resolves(own_fleet: Fleet, receiver: Receiver) -> None:
    fault(own_fleet, "seoul-a/gpu-1/dcgm", "http500")
    try:
        wait_until(lambda: bool(receiver.alerts("team", "firing", "KcloudSourceDown")), "the alert arrives", PATIENCE)
    finally:
        fault(own_fleet, "seoul-a/gpu-1/dcgm", "clear")
    (alert, *_) = receiver.alerts("team", "firing", "KcloudSourceDown")
    assert alert["labels"]["cluster"] == "seoul-a"
    assert alert["labels"]["source"].startswith("dcgm@")
    assert alert["labels"]["severity"] == "warning"
    assert alert["annotations"]["summary"] == f"Source {alert['labels']['source']} of seoul-a is down"
    assert alert["annotations"]["runbook_url"].endswith("/KcloudSourceDown.md")
    wait_until(lambda: bool(receiver.alerts("team", "resolved", "KcloudSourceDown")), "the alert resolves", PATIENCE)


def test_a_cluster_that_fails_wakes_somebody_once_and_not_for_each_source(own_fleet: Fleet, receiver: Receiver) -> None:
    fault(own_fleet, "busan-a/", "down")
    try:
        unreachable = ("on-call", "firing", "KcloudClusterUnreachable")
        wait_until(lambda: bool(receiver.alerts(*unreachable)), "the alert arrives", PATIENCE)
        # The sources' own alerts fire as well, later, and reach nobody.
        meter = ("team", "firing", "KcloudFacilityMeterLost")
        wait_until(lambda: bool(receiver.alerts(*meter)), "the facility meter is missed", PATIENCE)
        told = receiver.alerts("team", "firing", "KcloudSourceDown")
    finally:
        fault(own_fleet, "busan-a/", "clear")
    (alert, *_) = receiver.alerts(*unreachable)
    assert alert["labels"]["cluster"] == "busan-a"
    assert alert["labels"]["severity"] == "critical"
    resolved = ("on-call", "resolved", "KcloudClusterUnreachable")
    wait_until(lambda: bool(receiver.alerts(*resolved)), "the alert resolves", PATIENCE)
    assert [alert for alert in told if alert["labels"]["cluster"] == "busan-a"] == []


def test_the_alerts_of_each_severity_went_to_their_receiver(receiver: Receiver) -> None:
    wanted = {"critical": "on-call", "warning": "team", "info": "daily"}
    for name, message in receiver.told:
        assert {wanted[alert["labels"]["severity"]] for alert in message["alerts"]} == {name}
