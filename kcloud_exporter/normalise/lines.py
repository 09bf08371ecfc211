"""Lines: what a vendor table says of all series of one name, worked out once and not for each of them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from kcloud_exporter.model import Labels
from kcloud_exporter.vendors.mapping import SeriesRule, VendorIndex, VendorTable
from kcloud_exporter.vendors.quantities import QUANTITIES

_MANY: Final = ("partitioned", "nested_zones", "per_core", "worst")
_METER_RANKS: Final = 10_000_000
"""How far the ranks of one meter are from those of the next: the order of meters goes before all else."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a vendor table as it holds for all series of one name.

    `origin` is what the page calls who tells it: (vendor, series). `rank` is None where its meter was not chosen.
    `is_many`: several rows make one value, each a part by the labels that the rule names; `is_whole`: by all labels.
    """

    table: VendorTable
    rule: SeriesRule
    rank: int | None
    entity: str
    origin: tuple[str, str]
    teller: Hashable
    is_many: bool
    is_whole: bool


class Lines:
    """Owns the lines of all names that were asked for. `meters` are the chosen ones, the best first."""

    def __init__(self, vendors: VendorIndex, meters: tuple[str, ...]) -> None:
        self._vendors, self._meters = vendors, meters
        self._known: dict[str, list[Line]] = {}

    def of(self, name: str) -> list[Line]:
        """The lines by which a series of this name may be understood, the best first."""
        lines = self._known.get(name)
        if lines is None:
            lines = self._known[name] = [self._line(name, *found) for found in self._vendors.meters.get(name, ())]
        return lines

    def _line(self, name: str, table: VendorTable, rule: SeriesRule, rank: int) -> Line:
        many, chosen = rule.rows in _MANY, not rule.meter or rule.meter in self._meters
        if rule.meter and chosen:
            rank += self._meters.index(rule.meter) * _METER_RANKS
        # One series may be told by several lines (PSU inputs, the whole server), which must not be added to each
        # other; verdicts of several lines are one: the worst of them all.
        line = table.vendor, rule.from_[0] if many else name, rank // 100
        return Line(
            table,
            rule,
            rank if chosen else None,
            QUANTITIES[rule.to].entity,
            (table.vendor, name),
            (table.vendor, rule.to) if rule.rows == "worst" else line,
            many,
            rule.rows == "worst" or rule.parts == ["*"],
        )


def siblings(rule: SeriesRule, name: str, labels: Labels) -> list[tuple[str, ...]]:
    """The parts that must stand beside a row's own, by the rule's `every`: one for each value of its labels."""
    return [
        (name, *(value if part == label else labels.get(part, "") for part in rule.parts))
        for label, values in rule.every.items()
        for value in values
    ]
