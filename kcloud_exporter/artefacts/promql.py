"""PromQL of catalogue families: counted once however many exporters show them.

Two exporters may show the same series (a pair for high availability), and shards show different clusters. `once`
keeps one of equal series and drops the labels of the scrape target (instance, job and, in Kubernetes, the exporter's
own pod), so that `sum` over shards is right and a pair is not counted twice.

Where several exporters read parts of one cluster, each shows its part of the cluster's and namespaces' sums under the
same labels. Their scrape targets carry a label `shard`, which tells parts, to be added up, from twins, to be counted
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import Family

OF_SITE: Final = "on (cluster) group_left (site) max by (cluster, site) (kcloud_cluster_info)"
"""Right side of `expr * OF_SITE`: adds the label `site` to series of clusters."""

JOULES_PER_KWH: Final = "3.6e6"

SHARD: Final = "shard"
"""The target label of exporters that read parts of one cluster, the same on both of a pair. Others have none."""
_SUMS: Final = frozenset(
    family.name
    for family in (
        *(catalogue.CLUSTER_POWER, catalogue.CLUSTER_ENERGY, catalogue.CLUSTER_NODES),
        *(catalogue.NAMESPACE_POWER, catalogue.NAMESPACE_ENERGY, catalogue.NAMESPACE_EMISSIONS),
        catalogue.NAMESPACE_COST,
    )
)
"""Families that each part of a cluster shows a part of. What has a node, or is no sum, is on one page as it is."""


def once(family: Family, selector: str = "") -> str:
    """The family's series, one of each whoever shows it; `selector` narrows them: `state="missing"`."""
    return of_all(family, selected(family, selector))


def of_all(family: Family, expr: str) -> str:
    """`expr` over series of the family, one of each whoever shows it: parts of sums added up, of ratios the worst."""
    labels = ", ".join(family.labels)
    if family is catalogue.CLUSTER_COMPLETENESS:
        return f"min by ({labels}) (max by ({labels}, {SHARD}) ({expr}))"
    if family.name not in _SUMS:
        return f"max by ({labels}) ({expr})"
    return f"sum by ({labels}) (max by ({labels}, {SHARD}) ({expr}))"


def selected(family: Family, selector: str = "", window: str = "") -> str:
    """A plain selector: `name{selector}[window]`."""
    inner = f"{{{selector}}}" if selector else ""
    return f"{family}{inner}" + (f"[{window}]" if window else "")


def rate_once(family: Family, window: str) -> str:
    """The rate of a counter, one of each series whoever shows it: counters of a pair differ, their rates do not."""
    return of_all(family, f"rate({selected(family, '', window)})")


def parts(expr: str) -> str:
    """One series for each cluster, or for each part of one that several exporters divide."""
    return f"max by (cluster, {SHARD}) ({expr})"


def gap_once(grown: str) -> str:
    """Seconds without books by cluster: of a pair the better one's, of several parts the worst one's."""
    return f"max by (cluster) (min by (cluster, {SHARD}) ({grown}))"


def total(by: Sequence[str], expr: str) -> str:
    """`sum by (...)`; without labels the sum of all."""
    return f"sum by ({', '.join(by)}) ({expr})" if by else f"sum({expr})"


def level(labels: Sequence[str]) -> str:
    """The level of a recorded name: its labels, joined; `fleet` when there are none."""
    return "_".join(labels) if labels else "fleet"


def duration(seconds: float) -> str:
    """Seconds as PromQL writes them: 86250 → `23h57m30s`."""
    left, parts = round(seconds * 1000), []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
