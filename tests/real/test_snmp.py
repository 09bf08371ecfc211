"""A real snmp_exporter in front of simulated PDUs and a UPS: outlets are a server's meter, whole devices a site's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.real.kcloud import KcloudExporter, kcloud_exporter
from tests.real.page import group, select, total
from tests.real.pdu import APC, RARITAN, SENTRY4, UPS, snmp_agent, snmp_exporter
from tests.real.programs import Program, get, wait_until

pytestmark = pytest.mark.real

A_FEED, B_FEED, SWITCH, NAMED, SENSED = 602, 588, 150, 410, 466
ALIASES = {"pdu-a/1": "gpu-1", "pdu-b/AA7": "gpu-1", "u14": "gpu-2", "pdu-c/7": "gpu-3"}
PDU_HUNDREDTHS, UPS_LINES = 142, (900, 870)


@dataclass(frozen=True)
class Rack:
    """Three PDUs of three makes and a UPS, and the kcloud-exporter that reads them."""

    exporter: KcloudExporter
    b_feed: Program
    page_url: str


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    folder = tmp_path_factory.mktemp("rack")
    apc: dict[str, int | str] = {f"{APC}.4.3.1.5.1": PDU_HUNDREDTHS}
    for number, (name, watts) in enumerate((("Outlet 1", A_FEED), ("tor-switch", SWITCH), ("u14", NAMED)), 1):
        apc |= {f"{APC}.9.4.3.1.3.{number}": name, f"{APC}.9.4.3.1.7.{number}": watts}
    sentry: dict[str, int | str] = {
        f"{SENTRY4}.2.1.2.1.1.7": "AA7",
        f"{SENTRY4}.2.1.3.1.1.7": "spare",
        f"{SENTRY4}.3.1.7.1.1.7": B_FEED,
    }
    # Current, voltage and active power of one outlet stand in one table.
    raritan: dict[str, int | str] = {f"{RARITAN}.4.1.7.{kind}": n for kind, n in ((1, 21), (4, 230), (5, SENSED))}
    ups: dict[str, int | str] = {f"{UPS}.4.{line}": watts for line, watts in enumerate(UPS_LINES, 1)}
    with (
        snmp_agent("apc", apc, folder) as (a, _),
        snmp_agent("sentry4", sentry, folder) as (b, b_program),
        snmp_agent("raritan", raritan, folder) as (r, _),
        snmp_agent("ups", ups, folder) as (u, _),
        snmp_exporter(folder) as url,
    ):
        targets = {"pdu-a": (a, "apc"), "pdu-b": (b, "sentry4"), "pdu-c": (r, "raritan"), "ups-1": (u, "ups")}
        config = {
            "global": {"interval": "1s", "timeout": "900ms", "max_staleness": "2s"},
            "clusters": [
                {
                    "name": "lab",
                    "site": "lab",
                    "sources": [
                        {
                            "exporter": {
                                "vendor": "snmp",
                                "name": name,
                                "targets": [f"{url}/snmp?target={address}&module={module}"],
                                "labels": {"instance": name},
                            }
                        }
                        for name, (address, module) in targets.items()
                    ],
                    "nodes": {
                        "aliases": {"pdu-a/1": "gpu-1", "pdu-b/AA7": "gpu-1", "u14": "gpu-2", "pdu-c/7": "gpu-3"}
                    },
                }
            ],
            "sites": [
                {
                    "name": "lab",
                    "facility_power": [
                        {"cluster": "lab", "metric": "rPDU2DeviceStatusPower", "scale": 10, "category": "pue2"},
                        {"cluster": "lab", "metric": "upsOutputPower", "category": "pue1"},
                    ],
                }
            ],
        }
        with kcloud_exporter(config, folder) as exporter:
            yield Rack(exporter, b_program, f"{url}/snmp?target={a}&module=apc")


def test_the_page_is_what_a_real_snmp_exporter_prints(rack: Rack) -> None:
    labels = 'rPDU2OutletMeteredStatusIndex="1",rPDU2OutletMeteredStatusName="Outlet 1"'
    assert f"rPDU2OutletMeteredStatusPower{{{labels}}} {A_FEED}\n" in get(rack.page_url).text


def test_the_outlets_of_a_server_are_its_meter_and_those_of_a_switch_are_nobodys(rack: Rack) -> None:
    page = rack.exporter.page()
    walls = {("gpu-1",): A_FEED + B_FEED, ("gpu-2",): NAMED, ("gpu-3",): SENSED}
    assert group(page, "kcloud_node_wall_power_watts", "node") == walls
    meters = group(page, "kcloud_node_meter_info", "node", "vendor")
    assert meters == {("gpu-1", "snmp"): 1, ("gpu-2", "snmp"): 1, ("gpu-3", "snmp"): 1}
    assert total(page, "kcloud_cluster_power_watts", cluster="lab") == sum(walls.values())


def test_a_whole_device_is_a_facility_meter_at_its_scale(rack: Rack) -> None:
    facility = group(rack.exporter.page(), "kcloud_site_facility_power_watts", "category")
    assert facility == {("pue2",): PDU_HUNDREDTHS * 10, ("pue1",): sum(UPS_LINES)}


def test_while_one_feed_is_silent_the_server_has_no_reading_rather_than_half_of_one(rack: Rack) -> None:
    with rack.b_feed.stopped():
        wait_until(
            lambda: not select(rack.exporter.page(), "kcloud_node_wall_power_watts", node="gpu-1"),
            "the half reading is withdrawn",
            30.0,
            rack.exporter.program,
        )
        others = {("gpu-2",): NAMED, ("gpu-3",): SENSED}
        assert group(rack.exporter.page(), "kcloud_node_wall_power_watts", "node") == others
    wait_until(
        lambda: total(rack.exporter.page(), "kcloud_node_wall_power_watts", node="gpu-1") == A_FEED + B_FEED,
        "the whole reading is back",
        30.0,
        rack.exporter.program,
    )
