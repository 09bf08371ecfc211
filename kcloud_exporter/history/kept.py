"""Kept: which families history keeps, and how often. One row per interval and series, whatever the cycle's pace.

What few series carry (clusters, namespaces, sites) and the power of every node and accelerator is kept each minute.
What many series carry is kept every five minutes. Names and states that never change, voltages, fans and what the
exporter tells of itself are not kept: a Prometheus does that better.
"""

from __future__ import annotations

from typing import Final

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import Family

FINE: Final = 60.0
COARSE: Final = 300.0
"""Seconds of an interval."""

_EACH_MINUTE: Final = frozenset({"cluster", "namespace", "site"})
"""Levels of which everything is kept finely."""
_COARSE: Final = frozenset({"accelerator", "node", "pod", "vm"})
"""Levels of which power and energy are kept, coarsely where nothing below says otherwise."""
_FINE_FAMILIES: Final = frozenset({catalogue.NODE_POWER.name, catalogue.ACCELERATOR_POWER.name})
_ALSO: Final = frozenset(
    family.name
    for family in (
        catalogue.ACCELERATOR_UTILIZATION,
        catalogue.ACCELERATOR_MEMORY_USED,
        catalogue.ACCELERATOR_TEMPERATURE,
        catalogue.WORK_UNITS,
        catalogue.HARDWARE_TEMPERATURE,
        catalogue.HARDWARE_POWER,
    )
)


def resolution(family: Family) -> float | None:
    """Seconds between two kept rows of each series of a family; None: it is not kept."""
    if family.name.endswith("_info"):
        return None
    if family.level in _EACH_MINUTE or family.name in _FINE_FAMILIES:
        return FINE
    if family.name in _ALSO or (family.level in _COARSE and family.unit in ("watts", "joules")):
        return COARSE
    return None
