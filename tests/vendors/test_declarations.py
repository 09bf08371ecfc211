"""Every declaration of every table is noticed: declare it otherwise, and the golden page of its fixture is another.

A table is knowledge about units, sentinels, zeros and who is meant. What no page would notice is no knowledge.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kcloud_exporter.vendors.mapping import SeriesRule
from kcloud_exporter.vendors.quantities import INVENTORIES
from tests.vendors.book import FIXTURES, VENDORS, read_fixture
from tests.vendors.test_golden import changed

SPARED = {
    # Rows without these labels tell nothing that could be shown; asking for them says what is meant.
    "prometheus-0-target-where",
    "kepler_legacy-0-target_node-where",
    "idrac-0-target_node-where",
    # Where nobody tells pods apart, all of them would have the device's own use: equal parts, as without it.
    "dcgm-4-accelerator_share_utilization_ratio-where",
    # No release prints another value of the label than the one that is asked for, or it is dealt with by another line.
    "furiosa-0-accelerator_power_watts-where",
    "kepler-6-node_wall_power_watts-where",
    # A fact stands on no page; tests/normalise/test_inventory.py holds it.
    "kube_state_metrics-4-node_ready-where",
}
"""What no page of today could notice, and why."""


def otherwise(rule: SeriesRule) -> Iterator[tuple[str, dict[str, object]]]:
    """(what is said, the line without it or with the opposite)."""
    if rule.to not in INVENTORIES and rule.unit != "state":
        yield "unit", {"factor": rule.factor * 0.5}
    if rule.values:
        yield "values", {"values": {code: 1 - verdict for code, verdict in rule.values.items()}}
    if rule.zero == "missing":
        yield "zero", {"zero": "value", "low": None}
    if rule.nan == "missing":
        yield "nan", {"nan": "rejected"}
    if rule.sentinels or rule.sentinel_from is not None:
        yield "sentinels", {"sentinels": [], "sentinel_from": None}
    if rule.where:
        yield "where", {"where": {}}
    if rule.counter:
        yield "counter", {"counter": False, "unit": "W"}
    if rule.owner:
        yield "owner", {"owner": False}
    if rule.vm_owner:
        yield "vm_owner", {"vm_owner": False}
    if rule.needs:
        yield "needs", {"needs": ""}
    if rule.every:
        yield "every", {"every": {}}


DECLARED = [
    pytest.param(name, at, wrong, id=f"{name}-{at}-{rule.to}-{what}")
    for name, table in VENDORS.tables.items()
    for at, rule in enumerate(table.series)
    for what, wrong in otherwise(rule)
    if f"{name}-{at}-{rule.to}-{what}" not in SPARED
]


@pytest.mark.parametrize(("vendor", "at", "wrong"), DECLARED)
def test_the_page_notices_another_declaration(vendor: str, at: int, wrong: dict[str, object]) -> None:
    page = read_fixture(vendor, changed(vendor, at, **wrong)).page()
    assert page != (FIXTURES / vendor / "expected.prom").read_text(encoding="utf-8")
