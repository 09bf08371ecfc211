"""Which kind of whole-server meter a series is decides which of a server's meters counts (ledger.md, section 1)."""

from __future__ import annotations

import pytest

from kcloud_exporter.vendors.quantities import METERS
from tests.vendors.book import VENDORS, Book, aliases, cycles, fixtures

KINDS = {
    # The outlets on which the server hangs.
    "pdu": {"measurementsOutletSensorValue", "outletActivePower", "rPDU2OutletMeteredStatusPower"},
    # A BMC's PowerControl.
    "redfish": {
        "ceems_redfish_current_watts",
        "ceems_redfish_power_current_watts",
        "idrac_power_control_consumed_watts",
        "kepler_platform_watts",
        "redfish_chassis_power_average_consumed_watts",
    },
    # A BMC's DCMI.
    "dcmi": {"ceems_ipmi_dcmi_current_watts", "ipmi_dcmi_power_consumption_watts"},
    # Sums over the power supplies.
    "psu_input": {
        "idrac_power_supply_input_watts",
        "ipmi_power_watts",
        "kepler_platform_watts",
        "redfish_chassis_power_powersupply_power_input_watts",
    },
    # A sensor of the BMC that is called after the whole.
    "sensor": {"ipmi_power_watts"},
    # The kernel's or the platform's own meter.
    "platform": {
        "ceems_cray_pm_counters_power_watts",
        "ceems_hwmon_power_current_watts",
        "kepler_node_platform_joules_total",
        "node_hwmon_power_average_watt",
    },
    # RAPL's zone around nearly all.
    "psys": {
        "ceems_rapl_psys_joules_total",
        "kepler_node_cpu_watts",
        "node_rapl_joules_total",
        "node_rapl_psys_joules_total",
        "scaph_host_power_microwatts",
    },
}
SECOND = {"ceems_ipmi_dcmi_power_current_watts", "st4OutletActivePower"}
"""Names that win nowhere in the fixtures: one of a BMC that measures nothing, one of a server's second feed."""


@pytest.mark.parametrize("kind", METERS)
def test_a_meter_of_each_kind_wins_where_no_other_kind_is_asked(kind: str) -> None:
    won = {
        series
        for vendor in fixtures()
        for _, quantity, _, series in Book(VENDORS, aliases(vendor), (kind,))
        .read(*cycles(vendor))
        .shown("kcloud_node_meter_info")
        if quantity == "wall_power_watts"
    }
    assert won == KINDS[kind]


def test_every_meter_of_every_table_has_its_kind() -> None:
    series = {
        name
        for table in VENDORS.tables.values()
        for rule in table.series
        if rule.to == "node_wall_power_watts"
        for name in table.names(rule)
    }
    assert series - SECOND == set().union(*KINDS.values())
