"""Every declaration of every table is noticed: declare it otherwise, and the golden page of its fixture is another.

A table is knowledge about units, sentinels, zeros and who is meant. What no page would notice is no knowledge.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kcloud_exporter.vendors.mapping import SeriesRule, VendorIndex, VendorTable
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
    # HAMi tells no reading of a device, and CEEMS none of one that has an index: what it is, another exporter says.
    "hami-kind",
    "hami-maker",
    "ceems-index",
    # Every fork prints the project's name beside its number.
    "libvirt-vm-project_id",
    # The one label holds either, and is understood as whichever of the two it is.
    "kepler_legacy-vm-id",
    "kepler_legacy-vm-domain",
    # Only a VM that has moved tells the two apart: tests/normalise/test_vms.py holds it.
    "openstack-vm-hosted",
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
    if rule.high is not None:
        yield "high", {"high": 1e-9, "low": None}
    if rule.low is not None:
        yield "low", {"low": 1e12, "high": None}
    if rule.sensor is not None:
        yield "sensor", {"sensor": {"name": "another"}}


def table_otherwise(table: VendorTable) -> Iterator[tuple[str, dict[str, object]]]:
    """(what is said of a whole table, the table without it or with the opposite)."""
    if table.owners:
        yield "owners", {"owners": []}
    for at, _ in enumerate(table.owners):
        yield f"owners-without-{at}", {"owners": [owner for n, owner in enumerate(table.owners) if n != at]}
    if table.own_pod:
        yield "own_pod", {"own_pod": ""}
    if table.partition:
        yield "partition", {"partition": None}
    if table.device and table.device.uuid:
        yield "uuid", {"device": table.device.model_copy(update={"uuid": ["nothing"]})}
    for field in ("index", "model", "driver_version", "pci_bus_id"):
        if table.device and getattr(table.device, field):
            yield field, {"device": table.device.model_copy(update={field: []})}
    for field in ("id", "domain", "name", "project", "project_id", "address"):
        if table.vm and getattr(table.vm, field):
            yield f"vm-{field}", {"vm": table.vm.model_copy(update={field: []})}
    if table.vm and not table.vm.hosted:
        yield "vm-hosted", {"vm": table.vm.model_copy(update={"hosted": True})}
    if table.stand_in:
        yield "stand_in", {"stand_in": False}
    if table.strangers == "dropped":
        yield "strangers", {"strangers": "kept"}
    if table.kind:
        yield "kind", {"kind": "npu" if table.kind == "gpu" else "gpu"}
        yield "maker", {"maker": "another"}


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


DECLARED_OF_TABLES = [
    pytest.param(name, wrong, id=f"{name}-{what}")
    for name, table in VENDORS.tables.items()
    for what, wrong in table_otherwise(table)
    if f"{name}-{what}" not in SPARED
]


@pytest.mark.parametrize(("vendor", "wrong"), DECLARED_OF_TABLES)
def test_the_page_notices_another_declaration_of_the_table(vendor: str, wrong: dict[str, object]) -> None:
    table = VENDORS.tables[vendor].model_copy(update=wrong)
    page = read_fixture(vendor, VendorIndex([*VENDORS.tables.values(), table])).page()
    assert page != (FIXTURES / vendor / "expected.prom").read_text(encoding="utf-8")
