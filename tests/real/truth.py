"""The fleet's ground truth and a kcloud-exporter page, both as a plain ledger: family and labels → watts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from tests.real.page import Page, Series

LEDGER_LABELS: Mapping[str, tuple[str, ...]] = {
    "kcloud_cluster_power_watts": ("cluster", "component"),
    "kcloud_node_power_watts": ("cluster", "node", "component"),
    "kcloud_node_wall_power_watts": ("cluster", "node"),
    "kcloud_node_unattributed_power_watts": ("cluster", "node", "component"),
    "kcloud_namespace_power_watts": ("cluster", "namespace", "component"),
    "kcloud_pod_power_watts": ("cluster", "node", "namespace", "pod", "component"),
    "kcloud_vm_power_watts": ("cluster", "node", "project", "vm", "component"),
    "kcloud_accelerator_power_watts": ("cluster", "node", "uuid"),
    "kcloud_site_facility_power_watts": ("site",),
    "kcloud_site_it_power_watts": ("site",),
    "kcloud_site_pue_ratio": ("site",),
}
"""The families that the truth covers, and the labels by which it knows them."""

# Zone counters (RAPL joules): their power is Δcounter/Δt, as exact as the scrape's clock and no better.
COUNTER_COMPONENTS = frozenset({"cpu", "memory", "other"})


def true_ledger(truth: Mapping[str, Any]) -> Page:
    """What a perfect aggregator would show of this truth."""
    ledger: Page = {}

    def add(family: str, value: float | None, *labels: str) -> None:
        if value is not None:
            ledger[family, frozenset(zip(LEDGER_LABELS[family], labels, strict=True))] = value

    for cluster, seen in truth["clusters"].items():
        for component, watts in seen["power_watts"].items():
            add("kcloud_cluster_power_watts", watts, cluster, component)
        for node, part in seen["nodes"].items():
            add("kcloud_node_wall_power_watts", part["wall_watts"], cluster, node)
            for component, watts in part["power_watts"].items():
                add("kcloud_node_power_watts", watts, cluster, node, component)
            for component, watts in part["unattributed_watts"].items():
                add("kcloud_node_unattributed_power_watts", watts, cluster, node, component)
        for namespace, power in seen["namespaces"].items():
            for component, watts in power.items():
                add("kcloud_namespace_power_watts", watts, cluster, namespace, component)
        for pod in seen["pods"]:
            for component, watts in pod["power_watts"].items():
                labels = (cluster, pod["node"], pod["namespace"], pod["pod"], component)
                add("kcloud_pod_power_watts", watts, *labels)
        for vm in seen["vms"]:
            for component, watts in vm["power_watts"].items():
                add("kcloud_vm_power_watts", watts, cluster, vm["node"], vm["project"], vm["vm"], component)
        for uuid, device in seen["accelerators"].items():
            add("kcloud_accelerator_power_watts", device["power_watts"], cluster, device["node"], uuid)
    for site, power in truth["sites"].items():
        add("kcloud_site_facility_power_watts", power["facility_watts"], site)
        add("kcloud_site_it_power_watts", power["it_watts"], site)
        add("kcloud_site_pue_ratio", power["pue"], site)
    return ledger


def shown_ledger(page: Page) -> Page:
    """The same families of a page, reduced to the same labels."""
    ledger: Page = {}
    for (family, labels), value in page.items():
        if family in LEDGER_LABELS:
            known = LEDGER_LABELS[family]
            series = family, frozenset((k, v) for k, v in labels if k in known)
            assert series not in ledger, f"two series of {family} share {series[1]}"
            ledger[series] = value
    return ledger


def of_clusters(ledger: Page, clusters: Iterable[str]) -> Page:
    """The part of a ledger that belongs to these clusters (sites span clusters and are left out)."""
    wanted = {("cluster", cluster) for cluster in clusters}
    return {series: value for series, value in ledger.items() if wanted & series[1]}


def rests_on_counters(series: Series, counter_clusters: frozenset[str]) -> bool:
    """Whether this number contains power that was derived from joule counters."""
    labels = dict(series[1])
    if "site" in labels:
        return True
    return labels.get("cluster") in counter_clusters and labels.get("component", "gpu") in COUNTER_COMPONENTS


def disagreements(
    expected: Page, actual: Page, counter_clusters: frozenset[str], exact: float, counted: float
) -> list[str]:
    """The series that differ by more than `exact` (relative), or `counted` where joule counters are behind.

    A true zero may be shown as zero or not at all.
    """
    found = []
    for series in sorted(expected.keys() | actual.keys(), key=str):
        want, have = expected.get(series, 0.0), actual.get(series, 0.0)
        relative = counted if rests_on_counters(series, counter_clusters) else exact
        # Where a remainder is nearly zero only the size of its parts counts: a thousandth of a watt.
        if not math.isclose(want, have, rel_tol=relative, abs_tol=1e-3 if relative > 1e-6 else 1e-9):
            found.append(f"{series[0]}{dict(sorted(series[1]))}: expected {want}, shown {have}")
    return found
