"""From exporters' pages to the books: the page that a cluster would show for them.

A fixture holds the pages of one or more targets. A line `# scraped as: instance="…",job="…"` begins a target's
page and names the labels that the scrape adds; they win over a label of the page, which becomes `exported_…`.
The text is read by the parser of prometheus_client, so that no mistake of our own parser can hide here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from kcloud_exporter import catalogue
from kcloud_exporter.derive.cycle import close_books
from kcloud_exporter.derive.energy import EnergyBook, Interval
from kcloud_exporter.derive.tables import ClusterTables, small_table
from kcloud_exporter.explain.families import ClusterFamilies
from kcloud_exporter.explain.ledger import LedgerTrees
from kcloud_exporter.exposition.renderer import Renderer, header
from kcloud_exporter.model import ClusterSnapshot, Labels, Scrape, SeriesTable, Snapshot, Table
from kcloud_exporter.normalise.engine import ClusterEngine
from kcloud_exporter.readings import Readings
from kcloud_exporter.vendors.loading import load_vendors
from kcloud_exporter.vendors.mapping import VendorIndex
from kcloud_exporter.vendors.quantities import METERS

FIXTURES = Path(__file__).parent
INTERVAL = 15.0
SHOWN = {"accelerator", "node", "pod", "namespace", "cluster", "hardware"}
VENDORS = load_vendors()
_TARGET = re.compile(r"^# scraped as: (.*)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def fixtures() -> list[str]:
    """The vendors that have a fixture folder."""
    return sorted(path.parent.name for path in FIXTURES.glob("*/input.prom"))


def cycles(vendor: str) -> list[str]:
    """The texts of a fixture, one per cycle."""
    return [path.read_text(encoding="utf-8") for path in sorted((FIXTURES / vendor).glob("input*.prom"))]


def aliases(vendor: str) -> dict[str, str]:
    """The node aliases of a fixture's configuration, where its rows need some."""
    path = FIXTURES / vendor / "aliases.json"
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def samples(text: str) -> Iterator[tuple[str, Labels, float]]:
    """(target, labels as a Prometheus stores them, value) of every sample of all targets' pages."""
    _, *parts = _TARGET.split(text)
    for named, page in zip(parts[0::2], parts[1::2], strict=True):
        target = dict(_LABEL.findall(named))
        source = f"{target['job']}@{target['instance']}"
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                # The parser gives counters the suffix of OpenMetrics, whatever the page calls them.
                printed = f"\n{sample.name}{{" in page
                name = sample.name if printed else sample.name.removesuffix("_total")
                exposed = {k: v for k, v in sample.labels.items() if v}
                kept = {f"exported_{k}" if k in target else k: v for k, v in exposed.items()}
                yield source, {"__name__": name, **target, **kept}, sample.value


class Book:
    """One cluster from texts to tables, as the pipeline does it."""

    def __init__(
        self,
        vendors: VendorIndex = VENDORS,
        aliases: dict[str, str] | None = None,
        meters: Sequence[str] = METERS,
    ) -> None:
        self._vendors = vendors
        self._engine = ClusterEngine(
            vendors, aliases=aliases or {}, pattern=None, meters=meters, max_staleness=45.0, forget_after=3600.0
        )
        self._sources: dict[str, SeriesTable] = {}
        self._rows: dict[tuple[str, str, frozenset[tuple[str, str]]], int] = {}
        self._now = 0.0
        self._tables, self._energy = ClusterTables("c"), EnergyBook()
        self._rejected: Counter[tuple[str, str]] = Counter()
        self.tables: dict[str, Table] = {}
        self.readings: Readings | None = None

    def trees(self) -> ClusterFamilies:
        """What explains the numbers of the last cycle."""
        assert self.readings is not None
        trees = LedgerTrees(
            "c", self.readings, self._engine.columns, self._engine.tables, idle="unattributed", overhead="unattributed"
        )
        return ClusterFamilies(trees, self.readings)

    def read(self, *texts: str) -> Book:
        """One cycle per text, at the interval of a scrape."""
        for text in texts:
            self._cycle(self._scrapes(text))
        return self

    def _scrapes(self, text: str) -> list[Scrape]:
        answers: dict[str, list[tuple[int, float]]] = {}
        for source, labels, value in samples(text):
            name = labels.pop("__name__")
            if not self._vendors.rules(name):
                continue
            table = self._sources.setdefault(source, SeriesTable())
            key = source, name, frozenset(labels.items())
            if key not in self._rows:
                self._rows[key] = table.add(name, labels)
            answers.setdefault(source, []).append((self._rows[key], value))
        return [
            Scrape(
                "c",
                source,
                self._sources[source],
                np.array([row for row, _ in answer], np.int32),
                np.array([value for _, value in answer]),
                None,
                self._now,
                0.01,
            )
            for source, answer in answers.items()
        ]

    def _cycle(self, scrapes: Sequence[Scrape]) -> None:
        self._rejected.update(self._engine.ingest(scrapes, self._now))
        readings = self.readings = self._engine.readings(self._now)
        span = Interval(INTERVAL if self._now else 0.0, 0.0)
        ledger, self.tables, _ = close_books(readings, self._tables, self._energy, span, self._now)
        self._rejected["ledger", "exceeds_node"] += ledger.scaled_down
        self._rejected["ledger", "out_of_bounds"] += self._engine.beyond_limit
        self.tables[catalogue.SAMPLES_REJECTED.name] = small_table(
            [(("c", source, reason), float(n)) for (source, reason), n in self._rejected.items() if n]
        )
        self._now += INTERVAL

    def page(self) -> str:
        """The page: the levels of the books, and what was rejected. Rows in the order of their text."""
        snapshot = Snapshot(self._now, 0, {"c": ClusterSnapshot("c", "", self.tables)}, {})
        lines: list[str] = []
        for section in Renderer().sections(snapshot):
            if section.family.level in SHOWN or section.family is catalogue.SAMPLES_REJECTED:
                lines += header(section.family, openmetrics=False).decode().splitlines()
                lines += sorted(section.parts["c"].decode().splitlines())
        return "\n".join(lines) + "\n"

    def shown(self, family: str) -> dict[tuple[str, ...], float]:
        """What the page shows of a family: labels without the cluster → value."""
        table = self.tables.get(family, small_table([]))
        return {k[1:]: v for k, v in zip(table.keys.rows, table.values.tolist(), strict=True) if np.isfinite(v)}


def read_fixture(vendor: str, vendors: VendorIndex = VENDORS) -> Book:
    """The books of one fixture, all its cycles."""
    return Book(vendors, aliases(vendor)).read(*cycles(vendor))
