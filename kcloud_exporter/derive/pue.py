"""Power usage effectiveness of one site from this cycle's powers (ledger.md, section 7; ISO/IEC 30134-2).

A ratio of watts is an instant figure; windows come from the energy counters. Unknown stays absent: nothing is
assumed about cooling, and a value below 1 is physically impossible, so it is rejected and not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CATEGORIES: Final = ("pue1", "pue2", "pue3")


@dataclass(frozen=True, slots=True)
class SitePower:
    """One site: facility watts by category (only complete ones), IT watts or None, and the ratios."""

    facility: Mapping[str, float]
    it: float | None
    measured: Mapping[str, float]
    static: float | None
    rejected: int


def site_power(
    facility: Mapping[str, float],
    it_watts: float | None,
    completeness: float,
    *,
    completeness_min: float = 0.95,
    static: float | None = None,
) -> SitePower:
    """PUE per category, withheld while fewer than `completeness_min` of the site's nodes are measured."""
    measured: dict[str, float] = {}
    rejected = 0
    if it_watts is not None and it_watts > 0 and completeness >= completeness_min:
        for category, watts in facility.items():
            ratio = watts / it_watts
            if ratio >= 1.0:
                measured[category] = ratio
            else:
                rejected += 1
    return SitePower(dict(facility), it_watts, measured, static, rejected)
