"""Recording rules of energies: rates, energy per day, cost, carbon, work, and PUE over long windows.

Rates are recorded every `energy_interval`, so sums over a longer window cost one sample per interval and series
instead of every scrape. A window is half an interval shorter than its name: then it holds exactly one sample per
interval, whether the server counts both ends of a range (Prometheus 2) or one (Prometheus 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.promql import OF_SITE, duration, gap_once, level, once, parts, rate_once
from kcloud_exporter.artefacts.recording import SITE_CLUSTERS, SITE_COMPLETENESS, Group, Recording
from kcloud_exporter.artefacts.values import RATE_WINDOW, Values
from kcloud_exporter.catalogue import Family

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
PUE_WINDOWS: Final = {"1h": HOUR, "24h": DAY, "30d": 30 * DAY, "365d": 365 * DAY}
_ENERGY: Final = f"kcloud_cluster_energy_joules:sum_rate{RATE_WINDOW}"
_LONG: Final = ("30d", "365d")
_TOO_MANY: Final = ("pod", "vm", "accelerator")
"""Levels whose rates are not recorded: there are as many series as things, and their power is on the page."""


def energy_groups(values: Values) -> tuple[Group, Group]:
    """Rates and what is made of them; the long windows of PUE stand apart and are evaluated less often."""
    every = values.energy_interval
    short = [name for name in PUE_WINDOWS if name not in _LONG]
    rules = (*_rates(), *_per_day(every), *_cost(every), *_work(every), *_pue_sides(values), *_pue(values, short))
    long = Group("kcloud-pue-long", values.long_interval, tuple(_pue_of_hours(values)))
    return Group("kcloud-energy", every, rules), long


def tiled(record: str, window: float, every: float, operation: str = "sum") -> str:
    """`operation` over one sample per `every` seconds of a window (see the module's text)."""
    return f"{operation}_over_time({record}[{duration(window - every / 2)}])"


def rate_of(family: Family) -> str:
    """The name under which the rate of a counter is recorded."""
    return f"{level(family.labels)}:{family.name.removesuffix('_total')}:rate{RATE_WINDOW}"


def _counters(suffix: str) -> Iterator[Family]:
    for family in catalogue.FAMILIES.values():
        if family.type == "counter" and family.name.endswith(suffix) and family.level not in _TOO_MANY:
            yield family


def _rates() -> Iterator[Recording]:
    for family in _counters("_energy_joules_total"):
        yield Recording(rate_of(family), rate_once(family, RATE_WINDOW), f"Mean watts of {family.name}.")
    of_cluster = rate_of(catalogue.CLUSTER_ENERGY)
    yield Recording(f"cluster:{_ENERGY}", f"sum by (cluster) ({of_cluster})", "Mean watts of a cluster.")
    yield Recording(
        f"site:{_ENERGY}", f"sum by (site) (cluster:{_ENERGY} * {OF_SITE})", "Mean IT watts, of all shards."
    )


def _per_day(every: float) -> Iterator[Recording]:
    for family in (catalogue.CLUSTER_ENERGY, catalogue.NAMESPACE_ENERGY):
        by = [label for label in family.labels if label != "component"]
        name = family.name.removesuffix("_total")
        yield Recording(
            f"{level(by)}:{name}:increase1d",
            f"sum by ({', '.join(by)}) ({tiled(rate_of(family), DAY, every)}) * {every:g}",
            "Joules of the last 24 hours, those of ended pods included.",
        )
    yield Recording(
        "site:kcloud_cluster_energy_joules:increase1d",
        f"sum by (site) (cluster:kcloud_cluster_energy_joules:increase1d * {OF_SITE})",
        "IT joules of the last 24 hours of a site.",
    )
    yield Recording(
        "fleet:kcloud_cluster_energy_joules:increase1d",
        "sum(cluster:kcloud_cluster_energy_joules:increase1d)",
        "IT joules of the last 24 hours of everything.",
    )


def _cost(every: float) -> Iterator[Recording]:
    for family, unit in ((catalogue.NAMESPACE_COST, "Money"), (catalogue.NAMESPACE_EMISSIONS, "Grams of CO2")):
        rate, name = rate_of(family), family.name.removesuffix("_total")
        rest = tuple(label for label in family.labels if label not in ("cluster", "namespace"))
        yield Recording(rate, rate_once(family, RATE_WINDOW), f"{unit} per second.")
        by = ("cluster", *rest)
        yield Recording(
            f"{level(by)}:{name}:sum_rate{RATE_WINDOW}", f"sum by ({', '.join(by)}) ({rate})", f"{unit} per second."
        )
        yield Recording(
            f"{level(family.labels)}:{name}:increase1d",
            f"{tiled(rate, DAY, every)} * {every:g}",
            f"{unit} of the last 24 hours.",
        )
        yield Recording(
            f"{level(rest)}:{name}:increase1d",
            (f"sum by ({', '.join(rest)}) " if rest else "sum") + f"({level(family.labels)}:{name}:increase1d)",
            f"{unit} of the last 24 hours of everything.",
        )


WORK_DONE, WORK_ENERGY = (
    f"cluster_namespace_unit:{name}:guarded_rate{RATE_WINDOW}"
    for name in ("kcloud_work_units", "kcloud_namespace_energy_joules")
)


def _work(every: float) -> Iterator[Recording]:
    """Joules per unit of work, from the moments in which the page itself shows a figure: it knows what is missing."""
    rate, shown = rate_once(catalogue.WORK_UNITS, RATE_WINDOW), once(catalogue.NAMESPACE_ENERGY_PER_WORK)
    yield Recording(
        WORK_DONE,
        f"sum by (cluster, namespace, unit) ({rate})\nand on (cluster, namespace, unit) {shown}",
        "Work per second while the energy behind it is known.",
    )
    yield Recording(
        WORK_ENERGY,
        f"{WORK_DONE} * 0 + on (cluster, namespace) group_left () "
        f"sum by (cluster, namespace) ({rate_of(catalogue.NAMESPACE_ENERGY)})",
        "Watts of the very same moments.",
    )
    for name, seconds in (("1h", HOUR), ("1d", DAY)):
        energy, done = tiled(WORK_ENERGY, seconds, every), tiled(WORK_DONE, seconds, every)
        yield Recording(
            f"cluster_namespace_unit:kcloud_namespace_energy_joules_per_kcloud_work_units:ratio_rate{name}",
            f"{energy} / ({done} > 0)",
            f"Joules per unit of work of the last {name}, idle times between work not counted.",
        )


FACILITY_SIDE: Final = f"site_category:kcloud_site_facility_energy_joules:guarded_rate{RATE_WINDOW}"
IT_SIDE: Final = f"site_category:kcloud_cluster_energy_joules:guarded_rate{RATE_WINDOW}"


def _pue_sides(values: Values) -> Iterator[Recording]:
    """Both sides of PUE at the same moments only, and only while both are complete."""
    it, known = f"site:{_ENERGY}", parts(f"rate({catalogue.CLUSTER_ENERGY}[{RATE_WINDOW}])")
    gap = f"{gap_once(f'increase({catalogue.ENERGY_GAP}[{RATE_WINDOW}])')} * {OF_SITE}"
    yield Recording(
        FACILITY_SIDE,
        f"{rate_of(catalogue.SITE_FACILITY_ENERGY)}\n"
        f"and on (site) {it} > 0\n"
        # Not left to the completeness alone, which another group records, up to one of its intervals earlier.
        f"and on (site) count by (site) ({known} * {OF_SITE}) >= max_over_time({SITE_CLUSTERS}[1h])\n"
        f"and on (site) min_over_time({SITE_COMPLETENESS}[{RATE_WINDOW}]) >= {values.completeness_min:g}\n"
        f"unless on (site) sum by (site) ({gap}) > 0",
        "Facility watts while the IT side is complete and without a gap.",
    )
    yield Recording(
        IT_SIDE, f"{FACILITY_SIDE} * 0 + on (site) group_left () {it}", "IT watts of the very same moments."
    )


def _pue(values: Values, windows: list[str]) -> Iterator[Recording]:
    every = values.energy_interval
    for name in windows:
        seconds = PUE_WINDOWS[name]
        facility, it, count = (
            tiled(side, seconds, every, operation)
            for side, operation in ((FACILITY_SIDE, "sum"), (IT_SIDE, "sum"), (IT_SIDE, "count"))
        )
        yield _ratio(values, name, facility, it, f"{count} >= {values.coverage_min * seconds / every:.10g}")


FACILITY_HOURS, IT_HOURS, COVERAGE = (
    "site_category:kcloud_site_facility_energy_joules:guarded_increase1h",
    "site_category:kcloud_cluster_energy_joules:guarded_increase1h",
    "site_category:kcloud_site_pue:coverage1h",
)


def _pue_of_hours(values: Values) -> Iterator[Recording]:
    """The long windows, from hourly sums: a year is 8760 samples of a series, and not 105120."""
    every, chunk = values.energy_interval, values.long_interval
    for record, side, side_of in (
        (FACILITY_HOURS, FACILITY_SIDE, "Facility"),
        (IT_HOURS, IT_SIDE, "IT"),
    ):
        yield Recording(record, f"{tiled(side, HOUR, every)} * {every:g}", f"{side_of} joules of an hour, as guarded.")
    yield Recording(COVERAGE, f"{tiled(IT_SIDE, HOUR, every, 'count')} * {every:g} / 3600", "Known part of an hour.")
    for name in _LONG:
        seconds = PUE_WINDOWS[name]
        facility, it, known = (tiled(record, seconds, chunk) for record in (FACILITY_HOURS, IT_HOURS, COVERAGE))
        yield _ratio(values, name, facility, it, f"{known} >= {values.coverage_min * seconds / chunk:.10g}")


def _ratio(values: Values, name: str, facility: str, it: str, enough: str) -> Recording:
    return Recording(
        f"site_category:kcloud_site_pue:ratio_rate{name}",
        f"(\n  {facility}\n  /\n  {it}\n  and\n  {enough}\n) >= 1",
        f"Energy PUE of the last {name} (ISO/IEC 30134-2: 365d). Absent while less than "
        f"{values.coverage_min:.0%} of the window is known of both sides.",
    )
