"""From a simulated BMC over real IPMI and a real ipmi_exporter to the ledger."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.real.bmc import Bmc, ipmi_exporter, simulated_bmc
from tests.real.kcloud import KcloudExporter, kcloud_exporter
from tests.real.page import select
from tests.real.programs import wait_until
from tests.real.prometheus import prometheus, scrape_config

pytestmark = pytest.mark.real

GLOBAL = {"interval": "1s", "timeout": "900ms", "max_staleness": "20s"}


@dataclass(frozen=True)
class Chain:
    """BMC → ipmi_exporter → (Prometheus →) kcloud-exporter."""

    bmc: Bmc
    exporter: KcloudExporter


@pytest.fixture(scope="module", params=["direct", "through Prometheus"])
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """The whole chain for node n1, whose BMC is known as bmc-n1."""
    folder = tmp_path_factory.mktemp("ipmi")
    with contextlib.ExitStack() as stack:
        bmc = stack.enter_context(simulated_bmc(folder, watts=412))
        address = stack.enter_context(ipmi_exporter(folder))
        if request.param == "direct":
            source = _direct(address, bmc)
        else:
            source = stack.enter_context(_through_prometheus(address, bmc, folder))
        config = {
            "global": GLOBAL,
            "clusters": [{"name": "lab", "sources": [source], "nodes": {"pattern": "^bmc-(?P<node>.+)$"}}],
        }
        yield Chain(bmc, stack.enter_context(kcloud_exporter(config, folder)))


def _direct(address: str, bmc: Bmc) -> dict[str, Any]:
    target = f"http://{address}/ipmi?target={bmc.address}"
    return {"exporter": {"vendor": "ipmi", "targets": [target], "labels": {"instance": "bmc-n1"}}}


@contextlib.contextmanager
def _through_prometheus(address: str, bmc: Bmc, folder: Path) -> Iterator[dict[str, Any]]:
    # The usual relabelling: the target becomes a parameter and the BMC's name the instance.
    relabel = [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"target_label": "instance", "replacement": "bmc-n1"},
        {"target_label": "__address__", "replacement": address},
    ]
    job = scrape_config(
        "ipmi",
        bmc.address,
        metrics_path="/ipmi",
        scrape_interval="1s",
        scrape_timeout="1s",
        relabel_configs=relabel,
    )
    with prometheus({"scrape_configs": [job]}, folder) as server:
        server.wait_for_all_targets()
        yield {"prometheus": {"url": server.url}}


def _values(chain: Chain, family: str, sensor: str = "") -> list[float]:
    found = select(chain.exporter.page(), family, cluster="lab", node="n1")
    return [value for (_, labels), value in found.items() if sensor in dict(labels).get("sensor", "")]


def test_wall_power_is_what_dcmi_reports_and_follows_it(chain: Chain) -> None:
    shown = "kcloud_node_wall_power_watts"
    for watts in (412, 505):
        chain.bmc.set_watts(watts)
        reported = functools.partial(lambda want: _values(chain, shown) == [want], watts)
        wait_until(reported, f"wall power {watts} W", 20.0, chain.exporter.program)


@pytest.mark.parametrize(
    ("family", "sensor", "value"),
    [
        ("kcloud_hardware_temperature_celsius", "CPU1 Temp", 63.0),
        ("kcloud_hardware_temperature_celsius", "Inlet Temp", 24.0),
        ("kcloud_hardware_fan_speed_rpm", "FAN1", 4800.0),
        ("kcloud_hardware_voltage_volts", "P12V", 12.06),
        ("kcloud_hardware_current_amperes", "PSU1 Current", 1.7),
        ("kcloud_hardware_power_watts", "PSU1 Input Power", 380.0),
    ],
)
def test_hardware_sensors_are_shown(chain: Chain, family: str, sensor: str, value: float) -> None:
    assert _values(chain, family, sensor) == [pytest.approx(value)]


def test_a_sensor_without_a_reading_is_absent(chain: Chain) -> None:
    # ipmi_exporter prints the value of "PSU1 Status" as NaN; its state is known.
    page = chain.exporter.page()
    assert not any(math.isnan(value) for value in page.values())
    assert _values(chain, "kcloud_hardware_sensor_state", "PSU1 Status") == [0.0]


def test_without_component_meters_all_of_the_wall_is_other(chain: Chain) -> None:
    def all_other() -> bool:
        wall = _values(chain, "kcloud_node_wall_power_watts")
        power = select(chain.exporter.page(), "kcloud_node_power_watts", cluster="lab", node="n1")
        parts = {dict(labels)["component"]: value for (_, labels), value in power.items()}
        return [parts] == [{"other": watts} for watts in wall]

    wait_until(all_other, "wall = other", 20.0, chain.exporter.program)
