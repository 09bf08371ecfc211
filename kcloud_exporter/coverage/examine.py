"""Examine: one page against the vendor tables, line by line. No I/O, no state, no clock."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from kcloud_exporter.model import Floats, Labels, SeriesTable
from kcloud_exporter.normalise.identity import device_key, first, owner_of
from kcloud_exporter.sources.exposition import ParseLimits, SeriesIndex, parse_text
from kcloud_exporter.vendors.mapping import RankedRule, SeriesRule, VendorIndex
from kcloud_exporter.vendors.mistakes import closest
from kcloud_exporter.vendors.quantities import QUANTITIES

_META = re.compile(rb"^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) ?(.*)$", re.MULTILINE)
_OF_A_HISTOGRAM = re.compile(r"_(bucket|sum|count|created)$")
_OWN = re.compile(r"(go|process|python|promhttp|scrape|net_conntrack|otelcol|target)_")
"""What nearly every exporter tells of itself."""


@dataclass(slots=True)
class Use:
    """One line of a table that reads a family: how many samples it takes, of how many things, and what it refuses.

    `refused` counts values beyond the bounds of the quantity: a sentinel, or the wrong unit. `left` counts samples
    that its `where` leaves alone.
    """

    vendor: str
    to: str
    unit: str
    entity: str
    samples: int = 0
    left: int = 0
    refused: int = 0
    things: set[tuple[str, ...]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Family:
    """One family of a page: its samples, what the tables make of it, and a known name that is nearly the same."""

    name: str
    samples: int
    help: str
    uses: tuple[Use, ...]
    near: str = ""

    @property
    def understood(self) -> bool:
        """Whether any line of any table takes a sample of it."""
        return any(use.samples for use in self.uses)

    @property
    def own(self) -> bool:
        """Whether it speaks of the exporter's own process, as those of the client libraries do."""
        return not self.uses and bool(_OWN.match(self.name))


@dataclass(frozen=True, slots=True)
class Coverage:
    """A whole page: its families in the order of their names, and the nodes, devices and holders that it tells of."""

    families: tuple[Family, ...]
    nodes: frozenset[str]
    devices: frozenset[str]
    holders: frozenset[str]

    @property
    def understood(self) -> tuple[Family, ...]:
        """The families of which something becomes a reading."""
        return tuple(family for family in self.families if family.understood)

    @property
    def unknown(self) -> tuple[Family, ...]:
        """The families of which nothing does, without those of the exporter's own process."""
        return tuple(family for family in self.families if not family.understood and not family.own)


def examine(page: bytes, vendors: VendorIndex, *, target: Labels, openmetrics: bool = False) -> Coverage:
    """What the tables would make of a page that is scraped with these target labels.

    Raises SourceError when the page is no exposition.
    """
    table = SeriesTable()
    parsed = parse_text(page, SeriesIndex(table, lambda _: True, target, ParseLimits()), openmetrics)
    told: dict[str, dict[str, str]] = defaultdict(dict)
    for kind, name, text in _META.findall(page):
        told[name.decode()][kind.decode()] = text.decode(errors="replace")
    rows: dict[str, list[tuple[Labels, float]]] = defaultdict(list)
    for row, value in zip(parsed.rows.tolist(), parsed.values.tolist(), strict=True):
        rows[_family(table.names[row], told, vendors)].append((table.series(row), value))
    found = _Found(set(), set(), set())
    families = [
        Family(
            name,
            len(samples),
            told[name].get("HELP", ""),
            tuple(_use(ranked, samples, found) for ranked in vendors.rules(name)),
            "" if vendors.rules(name) else _near(name, vendors),
        )
        for name, samples in sorted(rows.items())
    ]
    return Coverage(tuple(families), frozenset(found.nodes), frozenset(found.devices), frozenset(found.holders))


@dataclass(slots=True)
class _Found:
    nodes: set[str]
    devices: set[str]
    holders: set[str]


def _family(name: str, told: dict[str, dict[str, str]], vendors: VendorIndex) -> str:
    """The name under which a sample is listed: a histogram's parts are one family, unless a table names one of them."""
    stem = _OF_A_HISTOGRAM.sub("", name)
    whole = told.get(stem, {}).get("TYPE") in ("histogram", "summary") and not vendors.rules(name)
    return stem if whole else name


def _use(ranked: RankedRule, samples: list[tuple[Labels, float]], found: _Found) -> Use:
    table, rule, _ = ranked
    entity = QUANTITIES[rule.to].entity if rule.to in QUANTITIES else ""
    use = Use(table.vendor, rule.to, rule.unit, entity)
    taken: list[float] = []
    for labels, value in samples:
        if not rule.matches(labels):
            use.left += 1
            continue
        use.samples += 1
        taken.append(value)
        node = first(labels, table.node)
        if node and entity not in ("", "facility"):
            found.nodes.add(node)
        if table.device is None or entity not in ("device", "device_sensor", "partition", "share"):
            use.things.add((node, str(sorted(labels.items()))) if entity == "sensor" else (node,))
            continue
        key, printed = device_key(labels, table.device, table.vendor)
        use.things.add((node, key))
        if printed:
            found.devices.add(printed)
        owner = owner_of(labels, table, None) if rule.owner else None
        if owner is not None:
            found.holders.add("/".join(owner[:2]))
    use.refused = _refused(rule, np.array(taken, np.float64))
    return use


def _refused(rule: SeriesRule, values: Floats) -> int:
    """How many values could not be what the line says; rates and states are not looked at."""
    if rule.to not in QUANTITIES or rule.counter or rule.values:
        return 0
    quantity = QUANTITIES[rule.to]
    low, high = quantity.low if rule.low is None else rule.low, quantity.high if rule.high is None else rule.high
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = values * rule.scale
        beyond = np.isfinite(values) & ((scaled < low) | (scaled > high))
    if rule.zero == "missing":
        beyond &= values != 0
    return int(beyond.sum())


def _near(name: str, vendors: VendorIndex) -> str:
    """A known name that the unknown one ends with (a prefix of the user's choice), or that is nearly the same."""
    known = vendors.names()
    ending = max((k for k in known if name.endswith(f"_{k}")), key=len, default="")
    return ending if len(ending) > len(name) // 2 else closest(name, known, 0.85)
