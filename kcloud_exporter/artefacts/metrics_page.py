"""`docs/metrics.md`: every family with type, unit, labels, source series, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.relations import families_behind, users
from kcloud_exporter.artefacts.rules import alerts_of, recording_groups
from kcloud_exporter.artefacts.values import Values
from kcloud_exporter.catalogue import Family
from kcloud_exporter.vendors.mapping import VendorIndex

Panels = Mapping[str, Mapping[str, str]]
"""Title of a dashboard → title of a panel → its queries, one per line."""

_HEAD: Final = """\
# Metrics

<!-- Written by `kcloud-exporter generate`; changes are lost. -->

What stands on `/metrics`, by level (`?collect[]=LEVEL` narrows the page). Every family has one unit, and `sum()` over \
all its labels makes sense. What is unknown is absent and never 0. The page names clusters, nodes, namespaces and pods \
itself, so it is scraped with `honor_labels: true`.

*Source series* are those of the [vendor tables](../kcloud_exporter/vendors); a series may count only under conditions \
that its table states.
"""
_DEVICE_POWER: Final = ("accelerator_power_watts", "accelerator_mean_power_watts")
_POD: Final = ("pod_cpu_power_watts", "pod_memory_power_watts", "pod_gpu_power_watts", *_DEVICE_POWER)
_VM: Final = ("vm_cpu_power_watts", "vm_memory_power_watts", "vm_cpu_cores", "vm_cpu_share_ratio", "vm_info")
_NODE: Final = ("node_wall_power_watts", "node_cpu_power_watts", "node_memory_power_watts", *_DEVICE_POWER)
_MADE_OF: Final[Mapping[Family, tuple[str, ...]]] = {
    catalogue.ACCELERATOR_INFO: ("device_info",),
    catalogue.ACCELERATOR_ENERGY: _DEVICE_POWER,
    catalogue.ACCELERATOR_MEMORY_TOTAL: ("accelerator_memory_total_bytes", "accelerator_memory_part_bytes"),
    catalogue.ACCELERATOR_IDLE_POWER: ("accelerator_power_watts", "accelerator_utilization_ratio"),
    catalogue.ACCELERATOR_ALLOCATION: ("accelerator_share_allocation_ratio", "accelerator_power_watts"),
    catalogue.NODE_POWER: _NODE,
    catalogue.NODE_ENERGY: _NODE,
    catalogue.NODE_RESIDUAL: _NODE,
    catalogue.NODE_UNATTRIBUTED: (*_NODE, *_POD),
    catalogue.POD_POWER: _POD,
    catalogue.POD_ENERGY: _POD,
    catalogue.VM_POWER: _VM,
    catalogue.VM_ENERGY: _VM,
}
"""Quantities of the vendor tables behind families that are computed. The others have the quantity of their name."""


def metrics_page(values: Values, vendors: VendorIndex, panels: Panels, own: Sequence[Family]) -> str:
    """The page. `own` are the families about the exporter itself."""
    rules = [rule for group in recording_groups(values) for rule in group.rules]
    behind = families_behind(rules)
    recorded = {rule.record: rule.expr for rule in rules}
    alerts = {alert.name: alert.expr for alert in alerts_of(values)}
    shown = {f"{board}: {title}": queries for board, of in panels.items() for title, queries in of.items()}

    def related(family: Family) -> Iterator[str]:
        yield from _sources(family, vendors)
        direct = [f"`{name}`" for name in users(family.name, recorded, {})]
        if direct:
            yield f"recorded as {', '.join(direct)}"
        warned = [f"[{name}](runbooks/{name}.md)" for name in users(family.name, alerts, behind)]
        if warned:
            yield f"alerts: {', '.join(warned)}"
        boards: dict[str, list[str]] = {}
        for panel in users(family.name, shown, behind):
            board, title = panel.split(": ", 1)
            boards.setdefault(board, []).append(title)
        for board, titles in boards.items():
            yield f"dashboard *{board}*: {', '.join(titles)}"

    parts = [_HEAD, _contents(), ""]
    every = [*catalogue.FAMILIES.values(), catalogue.cluster_info(())]
    for level in catalogue.LEVELS:
        parts += [f"## {level.capitalize()}", ""]
        for family in (each for each in every if each.level == level):
            parts += [_family(family), *(f"- {line}" for line in related(family)), ""]
    parts += ["## The exporter itself", "", _OWN, ""]
    for family in own:
        parts += [_family(family), *(f"- {line}" for line in related(family)), ""]
    parts += ["## Recorded series", "", _RECORDED, "", "| series | what it is |", "|---|---|"]
    parts += [f"| `{record}` | {why} |" for record, why in {rule.record: rule.why for rule in rules}.items()]
    return "\n".join(parts) + "\n"


_OWN: Final = (
    "Besides these the page has the usual `process_*` and `python_*` families. They and the families of this section "
    "carry no cluster: their identity is the scraped target (`job`, `instance`)."
)
_RECORDED: Final = (
    "`rules/kcloud-recording.yml` makes these of the page, each thing counted once however many exporters show it. "
    "The name says level, metric and operation; rates are over 5 minutes."
)


def _contents() -> str:
    links = [f"[{level}](#{level})" for level in catalogue.LEVELS]
    return ", ".join([*links, "[the exporter itself](#the-exporter-itself)", "[recorded series](#recorded-series)"])


def _family(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels) or "none"
    if family.name == catalogue.CLUSTER_INFO_NAME:
        labels += ", and the cluster's configured ones"
    kind = family.type + (f" in {family.unit}" if family.unit else "")
    stability = "" if family.stability == "stable" else f"\n- stability: {family.stability}"
    return f"### `{family.name}`\n\n{family.help}\n\n- {kind}; labels: {labels}{stability}"


def _sources(family: Family, vendors: VendorIndex) -> Iterator[str]:
    named = family.name.removeprefix("kcloud_")
    quantities = _MADE_OF.get(family, (named,))
    for table in vendors.tables.values():
        names = [name for rule in table.series if rule.to in quantities for name in table.names(rule)]
        if names:
            yield f"source `{table.vendor}`: {', '.join(f'`{name}`' for name in dict.fromkeys(names))}"
