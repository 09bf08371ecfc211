"""Namespaces and showback: who used how much, what it cost, and what it emitted."""

from __future__ import annotations

from typing import Any, Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.dashboards.board import CLUSTER, NAMESPACE, Row, board
from kcloud_exporter.artefacts.dashboards.panels import Column, Query, graph, link, listing, number, ranking
from kcloud_exporter.artefacts.promql import JOULES_PER_KWH, of_all
from kcloud_exporter.artefacts.promql import once as _once
from kcloud_exporter.artefacts.recording import NAMESPACE_POWER
from kcloud_exporter.catalogue import Family

UID: Final = "kcloud-namespaces"
S: Final = 'cluster=~"$cluster",namespace=~"$namespace"'
_NAMED: Final = "{{cluster}}/{{namespace}}"
_IDLE: Final = f"cluster_namespace:{catalogue.ACCELERATOR_IDLE_POWER}:sum{{{S}}}"


def namespaces() -> dict[str, Any]:
    """The dashboard."""
    return board(
        UID,
        "Namespaces and showback",
        "Power, energy, cost and carbon of each namespace. What belongs to nobody is billed to nobody here.",
        (CLUSTER, NAMESPACE),
        (
            Row("24 hours", _day()),
            Row("Power", _power()),
            Row("Cost and carbon", _money()),
            Row("Work", _work()),
            Row("Virtual machines", _machines()),
        ),
    )


def _in_range(family: Family) -> str:
    """What a counter grew by in the chosen time, one of each series whoever shows it."""
    labels = ", ".join(label for label in family.labels if label != "component")
    return f"sum by ({labels}) ({of_all(family, f'increase({family}{{{S}}}[$__range])')})"


def _day() -> tuple[Any, ...]:
    energy = f"sum(cluster_namespace:kcloud_namespace_energy_joules:increase1d{{{S}}}) / {JOULES_PER_KWH}"
    cost = f"sum by (currency) (cluster_namespace_currency:kcloud_namespace_cost:increase1d{{{S}}})"
    grams = f"sum(cluster_namespace:kcloud_namespace_emissions_grams:increase1d{{{S}}})"
    return (
        number("Power now", "Power of the pods.", "watt", f"sum({NAMESPACE_POWER}{{{S}}})"),
        number("Energy", "Energy of 24 hours, ended pods included.", "kwatth", energy, span=5),
        number(
            "Cost",
            "Price of that energy, each moment at its tariff.",
            "short",
            cost,
            legend="{{currency}}",
            span=5,
            decimals=2,
            no_value="no tariff",
        ),
        number(
            "Emissions",
            "CO2 of that energy, each moment at its intensity.",
            "massg",
            grams,
            span=5,
            no_value="no intensity",
        ),
        number(
            "Held and idle",
            "Power of accelerators that are held and do no work.",
            "watt",
            f"sum({_IDLE}) or vector(0)",
            span=5,
        ),
    )


def _power() -> tuple[Any, ...]:
    pods = f"cluster_node_namespace_pod:{catalogue.POD_POWER}:sum{{{S}}}"
    return (
        graph("Power by namespace", "Of all pods.", "watt", Query(f"{NAMESPACE_POWER}{{{S}}}", _NAMED), stacked=True),
        graph(
            "Power by component",
            "CPU, memory and accelerators of the pods.",
            "watt",
            Query(f"sum by (component) ({_once(catalogue.NAMESPACE_POWER, S)})", "{{component}}"),
            stacked=True,
        ),
        ranking(
            "Largest pods", "Pods by power.", "watt", Query(f"topk(15, {pods})", "{{cluster}}/{{namespace}}/{{pod}}")
        ),
        graph(
            "Mean power from energy",
            "The rate of the energy counters over 5 minutes: what is billed, without the noise of the moment.",
            "watt",
            Query(
                "sum by (cluster, namespace) "
                f"(cluster_namespace_component:kcloud_namespace_energy_joules:rate5m{{{S}}})",
                _NAMED,
            ),
            stacked=True,
        ),
    )


def _money() -> tuple[Any, ...]:
    rate = f"cluster_namespace_currency:kcloud_namespace_cost:rate5m{{{S}}} * 3600"
    grams = f"cluster_namespace:kcloud_namespace_emissions_grams:rate5m{{{S}}} * 3600"
    return (
        listing(
            "Showback of the chosen time",
            "Energy, cost and emissions of each namespace in the time that is chosen above; a click opens its "
            "accelerators.",
            (
                Column(f"{_in_range(catalogue.NAMESPACE_ENERGY)} / {JOULES_PER_KWH}", "Energy", "kwatth"),
                Column(f"sum by (cluster, namespace) ({_in_range(catalogue.NAMESPACE_COST)})", "Cost", "short"),
                Column(_in_range(catalogue.NAMESPACE_EMISSIONS), "Emissions", "massg"),
            ),
            links={"cluster": link("Open the accelerators", "kcloud-accelerators", cluster="cluster")},
        ),
        graph("Cost per hour", "At the tariff of the moment.", "short", Query(rate, f"{_NAMED} {{{{currency}}}}")),
        graph("Emissions per hour", "CO2 at the intensity of the moment.", "massg", Query(grams, _NAMED), stacked=True),
    )


def _work() -> tuple[Any, ...]:
    done = f"sum by (cluster, namespace, unit) (rate({catalogue.WORK_UNITS}{{{S}}}[$__rate_interval]))"
    return (
        graph(
            "Energy per unit of work",
            "Joules of all pods of a namespace over what they did, of 5 minutes. Absent while no work is done.",
            "joule",
            Query(_once(catalogue.NAMESPACE_ENERGY_PER_WORK, S), f"{_NAMED} per {{{{unit}}}}"),
        ),
        graph(
            "Work",
            "Units of work per second, for example tokens.",
            "cps",
            Query(done, f"{_NAMED} {{{{unit}}}}"),
        ),
    )


def _machines() -> tuple[Any, ...]:
    vms = f'cluster_node_project_vm:{catalogue.VM_POWER}:sum{{cluster=~"$cluster"}}'
    return (
        graph(
            "Power by project",
            "Power of the virtual machines of each project. A machine that is a Kubernetes node counts by its pods.",
            "watt",
            Query(f"sum by (cluster, project) ({vms})", "{{cluster}}/{{project}}"),
            stacked=True,
        ),
        ranking(
            "Largest machines",
            "Virtual machines by power.",
            "watt",
            Query(f"topk(15, {vms})", "{{cluster}}/{{project}}/{{vm}}"),
        ),
    )
