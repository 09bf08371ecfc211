"""Sites: facility and IT power, PUE, carbon and cost, over the books of the clusters that stand there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from kcloud_exporter import catalogue
from kcloud_exporter.config.schema import Config, SiteConfig, Tariff
from kcloud_exporter.derive.carbon_cost import mean_price, per_second, price_at
from kcloud_exporter.derive.energy import SITE_LEVELS, Totals
from kcloud_exporter.derive.pue import SitePower, site_power
from kcloud_exporter.derive.tables import small_table
from kcloud_exporter.model import Table
from kcloud_exporter.pipeline.cluster import Books, ClusterPipeline, SourceState, carbon_key, meter_key
from kcloud_exporter.storage.books import Counters


class Sites:
    """All sites of a configuration, and their counters."""

    def __init__(self, config: Config, clusters: Mapping[str, ClusterPipeline], counters: Counters) -> None:
        self._config, self._clusters = config, clusters
        self.energy = {site.name: counters.site(site.name) for site in config.sites}
        self._books: Mapping[str, Books] = {}

    def tables(
        self, books: Mapping[str, Books], fresh: frozenset[str], now: float, monotonic: float
    ) -> dict[str, Table]:
        """The site families of one cycle. `fresh` names the clusters whose books are of this cycle.

        Grams and money of the clusters' namespaces are added to the tables of those clusters.
        """
        self._books = books
        rows: dict[str, list[tuple[tuple[str, ...], float]]] = {}
        for site in self._config.sites:
            self._factors(site, fresh, now, rows)
            mine: dict[str, list[tuple[tuple[str, ...], float]]] = {}
            self._site_rows(site, mine)
            energy = self.energy[site.name]
            span = energy.progress.step(now, monotonic, self._config.global_.max_staleness)
            for family, counter in SITE_LEVELS.items():
                if family.name in mine:
                    table = small_table(mine[family.name])
                    totals = energy.totals.setdefault(counter.name, Totals())
                    if family is catalogue.SITE_IT_POWER:
                        # The very joules that the clusters have added, so that energy is conserved up to here.
                        totals.add(small_table([((site.name,), self._it_joules(site, fresh))]), 1.0, now)
                    else:
                        totals.add(table, span.seconds, now)
                    shown = totals.table(table)
                    rows.setdefault(counter.name, []).extend(zip(shown.keys.rows, shown.values.tolist(), strict=True))
            for name, found in mine.items():
                rows.setdefault(name, []).extend(found)
        return {name: small_table(found) for name, found in rows.items() if found}

    def _it_joules(self, site: SiteConfig, fresh: frozenset[str]) -> float:
        mine = [c.name for c in self._config.clusters if c.site == site.name and c.name in fresh]
        return math.fsum(self._clusters[name].energy.joules for name in mine)

    def _factors(
        self, site: SiteConfig, fresh: frozenset[str], now: float, rows: dict[str, list[tuple[tuple[str, ...], float]]]
    ) -> None:
        """Carbon and cost of the site's namespaces in this cycle, at the factors of this moment."""
        grams, tariff = self._grams_per_kwh(site), site.tariff
        mine = [c.name for c in self._config.clusters if c.site == site.name and c.name in fresh]
        if grams is not None:
            rows.setdefault(catalogue.SITE_CARBON_INTENSITY.name, []).append(((site.name,), grams))
            for name in mine:
                self._accumulate(name, catalogue.NAMESPACE_EMISSIONS, now, grams)
        if tariff is not None:
            price = partial(_price, tariff, ZoneInfo(tariff.timezone))
            rows.setdefault(catalogue.SITE_PRICE.name, []).append(((site.name, tariff.currency), price(int(now // 60))))
            for name in mine:
                mean = mean_price(price, now - self._books[name].span.seconds, now)
                self._accumulate(name, catalogue.NAMESPACE_COST, now, mean, tariff.currency)

    def _accumulate(self, cluster: str, family: catalogue.Family, now: float, per_kwh: float, *more: str) -> None:
        books, energy = self._books[cluster], self._clusters[cluster].energy
        rate = per_second(books.namespace_watts, per_kwh, *more)
        totals = energy.totals.setdefault(family.name, Totals())
        totals.add(rate, books.span.seconds, now)
        books.tables[family.name] = totals.table(rate)

    def _grams_per_kwh(self, site: SiteConfig) -> float | None:
        """The site's carbon intensity now; None while it is unknown."""
        carbon = site.carbon_intensity
        if carbon is None or carbon.cluster is None:
            return carbon.grams_per_kwh if carbon else None
        of = self._books.get(carbon.cluster)
        grams = of.facility.get(carbon_key(site.name), math.nan) if of else math.nan
        return None if math.isnan(grams) else grams

    def _site_rows(self, site: SiteConfig, rows: dict[str, list[tuple[tuple[str, ...], float]]]) -> None:
        books = [self._books[c.name] for c in self._config.clusters if c.site == site.name and c.name in self._books]
        expected = [c for c in self._config.clusters if c.site == site.name]
        power = self._site_power(site, books, complete=len(books) == len(expected))
        for category, watts in power.facility.items():
            rows.setdefault(catalogue.SITE_FACILITY_POWER.name, []).append(((site.name, category), watts))
        if power.it is not None:
            rows.setdefault(catalogue.SITE_IT_POWER.name, []).append(((site.name,), power.it))
        pue = rows.setdefault(catalogue.SITE_PUE.name, [])
        # Of a cluster that several instances divide, none knows the IT power that the facility's stands against.
        if not any(c.part for c in expected):
            pue.extend(((site.name, category, "measured"), ratio) for category, ratio in power.measured.items())
        if power.static is not None:
            pue.append(((site.name, "", "static"), power.static))

    def _site_power(self, site: SiteConfig, books: list[Books], *, complete: bool) -> SitePower:
        facility: dict[str, list[float]] = {}
        for number, meter in enumerate(site.facility_power):
            of = self._books.get(meter.cluster)
            watts = of.facility.get(meter_key(site.name, number, meter.category)) if of else None
            facility.setdefault(meter.category, []).append(math.nan if watts is None else watts)
        sums = {category: math.fsum(watts) for category, watts in facility.items() if not any(map(math.isnan, watts))}
        it = [b.it_watts for b in books if b.it_watts is not None]
        known = sum(b.nodes_known + b.unheard for b in books)
        share = sum(b.nodes_measured for b in books) / known if known else 0.0
        power = site_power(
            sums,
            math.fsum(it) if it else None,
            share if complete and len(it) == len(books) else 0.0,
            completeness_min=site.completeness_min,
            static=site.static_pue,
        )
        if power.rejected:
            cluster = self._clusters[site.facility_power[0].cluster]
            cluster.sources.setdefault("ledger", SourceState()).rejected["pue_below_one"] += power.rejected
        return power


def _price(tariff: Tariff, zone: ZoneInfo, minute: int) -> float:
    """The price per kWh in a minute since 1970."""
    local = datetime.fromtimestamp(60 * minute, zone)
    return price_at(tariff.price_per_kwh, tariff.periods, local.weekday(), 60 * local.hour + local.minute)
