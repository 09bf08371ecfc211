"""Facility: site power, PUE of every window, carbon intensity and price."""

from __future__ import annotations

from typing import Any, Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.dashboards.board import CLUSTER, SITE, Row, board
from kcloud_exporter.artefacts.dashboards.panels import (
    GREEN,
    RED,
    YELLOW,
    Column,
    Query,
    Steps,
    graph,
    link,
    listing,
    number,
)
from kcloud_exporter.artefacts.promql import JOULES_PER_KWH, OF_SITE, once
from kcloud_exporter.artefacts.recording import FACILITY_POWER, SITE_COMPLETENESS, SITE_POWER
from kcloud_exporter.artefacts.recording_energy import PUE_WINDOWS, rate_of

UID: Final = "kcloud-facility"
S: Final = 'site=~"$site"'
_PUE_STEPS: Final = Steps(GREEN, ((1.4, YELLOW), (1.6, RED)))
_NAMED: Final = "{{site}} {{category}}"


def facility() -> dict[str, Any]:
    """The dashboard."""
    return board(
        UID,
        "Facility and PUE",
        "What a site draws beside its IT: PUE of now and of 1 hour to 365 days (ISO/IEC 30134-2), carbon, price.",
        (CLUSTER, SITE),
        (Row("Now", _now()), Row("PUE of energies", _windows()), Row("Over time", _time()), Row("Sites", _sites())),
    )


def _now() -> tuple[Any, ...]:
    facility_power = f"max by (site) ({FACILITY_POWER}{{{S}}})"
    overhead = f"sum({facility_power} - {SITE_POWER}{{{S}}})"
    return (
        number(
            "Facility power",
            "All meters of the sites.",
            "watt",
            f"sum({facility_power})",
            span=4,
        ),
        number("IT power", "All nodes of the sites' clusters, of all shards.", "watt", f"sum({SITE_POWER}{{{S}}})"),
        number("Overhead", "Cooling, distribution, lighting: facility less IT.", "watt", overhead),
        number(
            "PUE now",
            "Facility over IT power of this moment.",
            "none",
            once(catalogue.SITE_PUE, S),
            legend=_NAMED,
            steps=_PUE_STEPS,
            decimals=2,
        ),
        number(
            "Carbon intensity",
            "Grams of CO2 per kWh now.",
            "none",
            once(catalogue.SITE_CARBON_INTENSITY, S),
            legend="{{site}}",
        ),
        number(
            "Price",
            "Price of a kWh now.",
            "none",
            once(catalogue.SITE_PRICE, S),
            legend="{{site}} {{currency}}",
            decimals=2,
        ),
    )


def _windows() -> tuple[Any, ...]:
    return tuple(
        number(
            f"PUE of {name}",
            f"Facility over IT energy of {name}. Absent until 95 % of that time are known of both sides.",
            "none",
            f"site_category:kcloud_site_pue:ratio_rate{name}{{{S}}}",
            legend=_NAMED,
            span=6,
            steps=_PUE_STEPS,
            decimals=2,
            no_value=f"needs {name} of data",
        )
        for name in PUE_WINDOWS
    )


def _time() -> tuple[Any, ...]:
    cost = f"sum by (site, currency) (cluster_currency:kcloud_namespace_cost:sum_rate5m * {OF_SITE}) * 3600"
    grams = f"sum by (site) (cluster:kcloud_namespace_emissions_grams:sum_rate5m * {OF_SITE}) * 3600"
    chosen = f"and on (site) max by (site) ({catalogue.CLUSTER_INFO_NAME}{{{S}}})"
    return (
        graph(
            "Facility and IT power",
            "The distance of the lines is the overhead.",
            "watt",
            Query(f"{FACILITY_POWER}{{{S}}}", "{{site}} facility {{category}}"),
            Query(f"{SITE_POWER}{{{S}}}", "{{site}} IT"),
            at_least=0,
        ),
        graph(
            "PUE",
            "Of the moment, as the exporter shows it and over all shards. Absent where a side is incomplete.",
            "none",
            Query(once(catalogue.SITE_PUE, S), f"{_NAMED} {{{{method}}}}"),
            Query(f"site_category:kcloud_site_pue:ratio{{{S}}}", f"{_NAMED} all shards"),
            at_least=1,
        ),
        graph(
            "Mean power from energy",
            "Rates of the energy counters of facility and IT over 5 minutes.",
            "watt",
            Query(f"{rate_of(catalogue.SITE_FACILITY_ENERGY)}{{{S}}}", "{{site}} facility {{category}}"),
            Query(f"site:kcloud_cluster_energy_joules:sum_rate5m{{{S}}}", "{{site}} IT"),
            at_least=0,
        ),
        graph(
            "Completeness",
            "Nodes measured over nodes known, and clusters seen. PUE is withheld below the limit.",
            "percentunit",
            Query(f"{SITE_COMPLETENESS}{{{S}}}", "{{site}}"),
            at_least=0,
            steps=Steps("red", ((0.95, "transparent"),)),
        ),
        graph(
            "Carbon intensity and price",
            "Grams of CO2 and money per kWh, as they are at each moment.",
            "none",
            Query(once(catalogue.SITE_CARBON_INTENSITY, S), "{{site}} g/kWh"),
            Query(once(catalogue.SITE_PRICE, S), "{{site}} {{currency}}/kWh"),
        ),
        graph(
            "Cost and emissions per hour",
            "Of the energy of namespaces: money, and grams of CO2.",
            "short",
            Query(f"{cost} {chosen}", "{{site}} {{currency}}/h"),
            Query(f"{grams} {chosen}", "{{site}} g/h"),
        ),
    )


def _sites() -> tuple[Any, ...]:
    energy = f"site:kcloud_cluster_energy_joules:increase1d{{{S}}} / {JOULES_PER_KWH}"
    return (
        listing(
            "Sites",
            "One line per site; a click opens its clusters.",
            (
                Column(f"{SITE_POWER}{{{S}}}", "IT power", "watt"),
                Column(f"max by (site) ({FACILITY_POWER}{{{S}}})", "Facility power", "watt"),
                Column(energy, "IT energy of 24 hours", "kwatth"),
                Column(f"site:{catalogue.CLUSTER_INFO_NAME}:count{{{S}}}", "Clusters", "none"),
                Column(f"{SITE_COMPLETENESS}{{{S}}}", "Completeness", "percentunit"),
            ),
            links={"site": link("Open the fleet", "kcloud-fleet")},
        ),
    )
