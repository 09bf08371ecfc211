"""PromQL of catalogue families: counted once however many exporters show them.

Two exporters may show the same series (a pair for high availability), and shards show different clusters. `once`
keeps one of equal series and drops the labels of the scrape target (instance, job and, in Kubernetes, the exporter's
own pod), so that `sum` over shards is right and a pair is not counted twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kcloud_exporter.catalogue import Family

OF_SITE: Final = "on (cluster) group_left (site) max by (cluster, site) (kcloud_cluster_info)"
"""Right side of `expr * OF_SITE`: adds the label `site` to series of clusters."""

JOULES_PER_KWH: Final = "3.6e6"


def once(family: Family, selector: str = "") -> str:
    """The family's series, one of each whoever shows it; `selector` narrows them: `state="missing"`."""
    return f"max by ({', '.join(family.labels)}) ({selected(family, selector)})"


def selected(family: Family, selector: str = "", window: str = "") -> str:
    """A plain selector: `name{selector}[window]`."""
    inner = f"{{{selector}}}" if selector else ""
    return f"{family}{inner}" + (f"[{window}]" if window else "")


def rate_once(family: Family, window: str) -> str:
    """The rate of a counter, one of each series whoever shows it: counters of a pair differ, their rates do not."""
    return f"max by ({', '.join(family.labels)}) (rate({selected(family, '', window)}))"


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
