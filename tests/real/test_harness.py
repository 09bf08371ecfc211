"""The harness itself: real programs start, answer, and are gone afterwards."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from tests.real.bmc import ipmi_exporter, read_bmc, simulated_bmc
from tests.real.page import parse_page, select
from tests.real.programs import answers, start, wait_until
from tests.real.prometheus import (
    node_exporter,
    prometheus,
    promtool_check_metrics,
    scrape_config,
    victoria_metrics,
)

pytestmark = pytest.mark.real


def test_prometheus_scrapes_itself_and_is_gone_afterwards(tmp_path: Path) -> None:
    with node_exporter(tmp_path) as page:
        target = page.removeprefix("http://").removesuffix("/metrics")
        config = {"scrape_configs": [scrape_config("node", target, scrape_interval="500ms")]}
        with prometheus(config, tmp_path) as server:
            server.wait_for_all_targets()
            assert server.query("up") == {frozenset({("job", "node"), ("instance", target)}): 1.0}
            assert server.scalar("node_uname_info") == 1.0
            pid = server.program.process.pid
    assert not answers(f"{server.url}/-/ready")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_victoria_metrics_scrapes_and_answers_queries(tmp_path: Path) -> None:
    with node_exporter(tmp_path) as page:
        target = page.removeprefix("http://").removesuffix("/metrics")
        config = {"scrape_configs": [scrape_config("node", target, scrape_interval="1s")]}
        with victoria_metrics(config, tmp_path) as server:
            server.wait_for_all_targets()


def test_a_program_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    broken = ["sh", "-c", "echo it is broken; exit 3"]
    with (
        pytest.raises(AssertionError, match="ended with 3:\nit is broken"),
        start("broken", broken, tmp_path, lambda: False),
    ):
        pytest.fail("it never was ready")


def test_simulated_bmc_answers_real_ipmi(tmp_path: Path) -> None:
    with simulated_bmc(tmp_path, watts=412) as bmc, ipmi_exporter(tmp_path) as exporter:
        page = parse_page(read_bmc(exporter, bmc))
        up = {dict(labels)["collector"]: value for (_, labels), value in select(page, "ipmi_up").items()}
        assert up == dict.fromkeys(["bmc", "chassis", "dcmi", "ipmi", "sel"], 1.0)
        assert [*select(page, "ipmi_dcmi_power_consumption_watts").values()] == [412.0]
        assert [*select(page, "ipmi_chassis_power_state").values()] == [1.0]
        assert [*select(page, "ipmi_temperature_celsius", name="CPU1 Temp").values()] == [63.0]
        assert [*select(page, "ipmi_fan_speed_rpm", name="FAN1").values()] == [4800.0]
        assert [*select(page, "ipmi_voltage_volts", name="P12V").values()] == [12.06]
        assert [*select(page, "ipmi_current_amperes", name="PSU1 Current").values()] == [1.7]
        assert [*select(page, "ipmi_power_watts", name="PSU1 Input Power").values()] == [380.0]
        status = [*select(page, "ipmi_sensor_value", name="PSU1 Status").values()]
        assert len(status) == 1
        assert math.isnan(status[0])

        bmc.set_watts(505)
        bmc.set_raw("CPU1 Temp", 97)

        def critical() -> bool:
            changed = parse_page(read_bmc(exporter, bmc))
            state = [*select(changed, "ipmi_temperature_state", name="CPU1 Temp").values()]
            watts = [*select(changed, "ipmi_dcmi_power_consumption_watts").values()]
            return (state, watts) == ([2.0], [505.0])

        wait_until(critical, "97 °C is critical and 505 W are reported")


def test_promtool_criticises_a_bad_page_and_is_silent_on_a_good_one() -> None:
    good = b"# HELP a_watts Power.\n# TYPE a_watts gauge\na_watts 1\n"
    assert promtool_check_metrics(good) == []
    assert promtool_check_metrics(b"# TYPE a_total gauge\na_total 1\n") != []
