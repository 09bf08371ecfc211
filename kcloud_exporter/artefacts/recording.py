"""Recording rules of powers: totals per level, roll-ups over clusters and shards, top consumers.

Names are `level:metric:operations`. Every rule counts a series once however many exporters show it (see promql.once).
Site totals are sums over clusters and not the sites' own series, so that a site whose clusters are read by several
shards of the exporter is whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.promql import OF_SITE, SHARD, level, once, parts, total
from kcloud_exporter.artefacts.values import Values
from kcloud_exporter.catalogue import Family


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording rule. `why` is a sentence for the documentation."""

    record: str
    expr: str
    why: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other; `interval` in seconds, None as Prometheus is configured."""

    name: str
    interval: float | None
    rules: tuple[Recording, ...]


CLUSTER_POWER: Final = f"cluster:{catalogue.CLUSTER_POWER}:sum"
SITE_POWER: Final = f"site:{catalogue.CLUSTER_POWER}:sum"
NAMESPACE_POWER: Final = f"cluster_namespace:{catalogue.NAMESPACE_POWER}:sum"
SITE_COMPLETENESS: Final = f"site:{catalogue.CLUSTER_NODES}:ratio"
SITE_CLUSTERS: Final = f"site:{catalogue.CLUSTER_INFO_NAME}:count"
ACCELERATOR_COUNT: Final = f"cluster_vendor_model:{catalogue.ACCELERATOR_POWER}:count"
FACILITY_POWER: Final = f"site_category:{catalogue.SITE_FACILITY_POWER}:max"
SITE_BUDGET, CLUSTER_BUDGET, NAMESPACE_BUDGET = (
    f"{level}:kcloud_power_budget_watts:constant" for level in ("site", "cluster", "cluster_namespace")
)
_DEVICE: Final = "cluster, node, uuid"
_KIND: Final = f"on ({_DEVICE}) group_left (kind) max by ({_DEVICE}, kind) ({catalogue.ACCELERATOR_INFO})"


def power_group(values: Values) -> Group:
    """Totals of the moment."""
    rules = (*_totals(), *_roll_ups(), *_accelerators(), *_sites(values), *_top(values.top))
    return Group("kcloud-power", values.power_interval, rules)


def budget_group(values: Values) -> Group:
    """The configured budgets, as series that rules and dashboards can compare with. No budget, no rule."""
    budgets = values.power_budget_watts

    def constant(name: str, watts: float, **labels: str) -> Recording:
        return Recording(name, f"vector({watts:.10g})", "A configured budget.", tuple(labels.items()))

    rules = [constant(SITE_BUDGET, watts, site=site) for site, watts in budgets.sites.items()]
    rules += [constant(CLUSTER_BUDGET, watts, cluster=cluster) for cluster, watts in budgets.clusters.items()]
    for name, watts in budgets.namespaces.items():
        cluster, namespace = name.split("/")
        rules.append(constant(NAMESPACE_BUDGET, watts, cluster=cluster, namespace=namespace))
    return Group("kcloud-budgets", values.power_interval, tuple(rules))


def component_families(suffix: str) -> Iterator[tuple[Family, tuple[str, ...]]]:
    """The families with a label `component` whose name ends so, and their labels without it."""
    for family in catalogue.FAMILIES.values():
        if family.name.endswith(suffix) and "component" in family.labels:
            yield family, tuple(label for label in family.labels if label != "component")


def _totals() -> Iterator[Recording]:
    for family, by in component_families("_power_watts"):
        yield Recording(
            f"{level(by)}:{family}:sum", total(by, once(family)), f"All components of {family.name} together."
        )


def _roll_ups() -> Iterator[Recording]:
    watts = catalogue.CLUSTER_POWER
    yield Recording(SITE_POWER, f"sum by (site) ({CLUSTER_POWER} * {OF_SITE})", "IT power of a site, of all shards.")
    yield Recording(f"fleet:{watts}:sum", f"sum({CLUSTER_POWER})", "IT power of everything.")
    yield Recording(f"component:{watts}:sum", total(("component",), once(watts)), "IT power by component.")
    namespaces = catalogue.NAMESPACE_POWER
    yield Recording(
        f"namespace:{namespaces}:sum", f"sum by (namespace) ({NAMESPACE_POWER})", "A namespace in all clusters."
    )
    free = catalogue.NODE_UNATTRIBUTED
    yield Recording(f"cluster:{free}:sum", total(("cluster",), once(free)), "Power that belongs to nobody.")
    yield Recording(f"cluster:{free}:ratio", f"cluster:{free}:sum / {CLUSTER_POWER}", "Its part of the cluster.")


def _accelerators() -> Iterator[Recording]:
    power, idle = catalogue.ACCELERATOR_POWER, catalogue.ACCELERATOR_IDLE_POWER
    by = ("cluster", "kind", "vendor", "model")
    yield Recording(f"{level(by)}:{power}:sum", total(by, once(power)), "Power of the accelerators of one model.")
    yield Recording(
        ACCELERATOR_COUNT, f"count by (cluster, vendor, model) ({once(power)})", "Accelerators that can be seen."
    )
    yield Recording(
        f"cluster_kind:{catalogue.ACCELERATOR_UTILIZATION}:avg",
        f"avg by (cluster, kind) ({once(catalogue.ACCELERATOR_UTILIZATION)} * {_KIND})",
        "Mean utilization by kind of accelerator.",
    )
    held = f"clamp_max(sum by ({_DEVICE}) ({once(catalogue.ACCELERATOR_ALLOCATION)}), 1)"
    yield Recording(
        f"cluster_kind:{catalogue.ACCELERATOR_ALLOCATION}:sum",
        f"sum by (cluster, kind) ({held} * {_KIND})",
        "Accelerators that are held by containers, partitions as parts.",
    )
    yield Recording(
        f"cluster_namespace:{idle}:sum",
        total(("cluster", "namespace"), once(idle)),
        "Power of accelerators that are held and do no work.",
    )


def _sites(values: Values) -> Iterator[Recording]:
    facility, nodes = catalogue.SITE_FACILITY_POWER, catalogue.CLUSTER_NODES
    yield Recording(FACILITY_POWER, once(facility), "Facility power, whichever shard reads the meter.")
    yield Recording(
        SITE_CLUSTERS,
        f"count by (site) (max by (cluster, site, {SHARD}) ({catalogue.CLUSTER_INFO_NAME}))",
        "Clusters of a site, of all shards; of a cluster that shards divide, its parts.",
    )
    # A shard that is down takes its clusters from the sums without a trace, so clusters count as well as nodes.
    measured, known = (f"sum by (site) ({once(nodes, s)} * {OF_SITE})" for s in ('state="measured"', ""))
    yield Recording(
        SITE_COMPLETENESS,
        f"{measured}\n/\n{known}\n*\n"
        f"count by (site) ({parts(str(catalogue.CLUSTER_POWER))} * {OF_SITE}) / max_over_time({SITE_CLUSTERS}[1h])",
        "Nodes measured over nodes known, times clusters seen over clusters of the last hour, of all shards.",
    )
    yield Recording(
        "site_category:kcloud_site_pue:ratio",
        f"{FACILITY_POWER} / on (site) group_left () "
        f"({SITE_POWER} and on (site) ({SITE_COMPLETENESS} >= {values.completeness_min:g})) >= 1",
        "PUE of the moment over all shards. Absent while too few nodes are measured; never below 1.",
    )


def _top(count: int) -> Iterator[Recording]:
    for family in (catalogue.NODE_POWER, catalogue.NAMESPACE_POWER, catalogue.POD_POWER):
        by: Sequence[str] = [label for label in family.labels if label != "component"]
        yield Recording(
            f"{level(by)}:{family}:topk_sum",
            f"topk({count}, {level(by)}:{family}:sum)",
            f"The {count} largest of all clusters.",
        )
