"""Explanation: one series of the last cycle's page and the tree behind it, over all clusters and sites."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import Family
from kcloud_exporter.config.schema import Config
from kcloud_exporter.derive.energy import LEVELS, SITE_LEVELS
from kcloud_exporter.errors import SelectorError
from kcloud_exporter.explain.families import EXPLAINED, ClusterFamilies
from kcloud_exporter.explain.selector import Selector, parse_selector
from kcloud_exporter.explain.tree import Node, Part, branch, leaf
from kcloud_exporter.model import Snapshot
from kcloud_exporter.pipeline.cluster import Books, ClusterPipeline, meter_key

DEPTH: Final = 64
SHALLOW: Final = 4
"""How far a number is followed that is made of thousands of others."""
_BROAD: Final = frozenset({"namespace", "cluster", "site"})
_SITES: Final = (catalogue.SITE_FACILITY_POWER, catalogue.SITE_IT_POWER, catalogue.SITE_PUE)
_EXAMPLES: Final = 5


def explain(
    text: str,
    snapshot: Snapshot,
    clusters: Mapping[str, ClusterPipeline],
    books: Mapping[str, Books],
    config: Config,
    depth: int | None = None,
) -> Node:
    """The tree of one series. Raises SelectorError when it is written wrongly, means none or several, or has no tree.

    Numbers made of thousands of others (namespace, cluster, site) are followed a few steps unless `depth` says more.
    """
    selector = parse_selector(text)
    family = selector.family
    if family.name not in EXPLAINED and family not in _SITES:
        raise SelectorError(f"{family} has no tree of inputs; {_instead(family)}")
    labels = _the_one(selector, snapshot)
    depth = depth or (SHALLOW if family.level in _BROAD else DEPTH)
    if family in _SITES:
        tree = _SiteTrees(clusters, books, config).part(family, labels)(depth)
    else:
        tree = _families(clusters, labels[0]).part(family, labels)(depth)
    series = family.series(labels)
    return tree if tree.what == series else Node(series, tree.value, tree.unit, "same", (tree,))


def _instead(family: Family) -> str:
    """What to ask for when a family has no tree."""
    for power, energy in {**LEVELS, **SITE_LEVELS}.items():
        if family == energy:
            return f"it is the integral of {power}, which has one"
    return f"these have one: {', '.join([*EXPLAINED, *(f.name for f in _SITES)])}"


def _the_one(selector: Selector, snapshot: Snapshot) -> tuple[str, ...]:
    name = selector.family.name
    scopes = [snapshot.fleet, *(cluster.tables for cluster in snapshot.clusters.values())]
    found = [labels for labels, _ in selector.rows(tables[name] for tables in scopes if name in tables)]
    if not found:
        raise SelectorError(f"no such series is on the page now: {selector.text()}", absent=True)
    if len(found) > 1:
        some = "\n".join(f"  {selector.family.series(labels)}" for labels in found[:_EXAMPLES])
        more = f"\n  … and {len(found) - _EXAMPLES} more" if len(found) > _EXAMPLES else ""
        raise SelectorError(f"{len(found)} series are meant; say more labels:\n{some}{more}")
    return found[0]


def _families(clusters: Mapping[str, ClusterPipeline], cluster: str) -> ClusterFamilies:
    families = clusters[cluster].families() if cluster in clusters else None
    if families is None:
        raise SelectorError(f"the last cycle of {cluster} has failed: its numbers cannot be explained now", absent=True)
    return families


class _SiteTrees:
    """Trees of the families of sites."""

    def __init__(self, clusters: Mapping[str, ClusterPipeline], books: Mapping[str, Books], config: Config) -> None:
        self._clusters, self._books, self._config = clusters, books, config
        self._known: dict[str, ClusterFamilies] = {}

    def _of(self, cluster: str) -> ClusterFamilies:
        """What explains a cluster: its books are done once, however many meters and totals lead to it."""
        if cluster not in self._known:
            self._known[cluster] = _families(self._clusters, cluster)
        return self._known[cluster]

    def part(self, family: Family, labels: tuple[str, ...]) -> Part:
        if family == catalogue.SITE_IT_POWER:
            return partial(self._it, labels[0])
        site, category, method = (*labels, "")[:3]
        if family == catalogue.SITE_FACILITY_POWER:
            return partial(self._facility, site, category)
        return partial(self._pue, site, category, method)

    def _it(self, site: str, depth: int) -> Node:
        parts: list[Part] = []
        total = 0.0
        for cluster in self._config.clusters:
            watts = self._books[cluster.name].it_watts if cluster.name in self._books else None
            if cluster.site == site and watts is not None:
                total += watts
                parts.append(self._of(cluster.name).it(watts))
        return branch(catalogue.SITE_IT_POWER.series((site,)), total, "W", "sum", parts, depth)

    def _facility(self, site: str, category: str, depth: int) -> Node:
        (of,) = [s for s in self._config.sites if s.name == site]
        parts: list[Part] = []
        total = 0.0
        for number, meter in enumerate(of.facility_power):
            if meter.category == category:
                key = meter_key(site, number, category)
                total += self._books[meter.cluster].facility[key]
                what = f"meter {meter.metric} of {meter.cluster}"
                parts.append(self._of(meter.cluster).meter(key, what))
        what = catalogue.SITE_FACILITY_POWER.series((site, category))
        return branch(what, total, "W", "sum", parts, depth)

    def _pue(self, site: str, category: str, method: str, depth: int) -> Node:
        what = catalogue.SITE_PUE.series((site, category, method))
        if method == "static":
            (of,) = [s for s in self._config.sites if s.name == site]
            return leaf(what, of.static_pue or 0.0, "", "constant", "configured: static_pue")(depth)
        facility, it = self._facility(site, category, 1).value, self._it(site, 1).value
        parts: list[Part] = [partial(self._facility, site, category), partial(self._it, site)]
        return branch(what, facility / it, "", "quotient", parts, depth)
