"""Accelerators of any vendor: GPU, NPU and TPU in the same panels."""

from __future__ import annotations

from typing import Any, Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.dashboards.board import CLUSTER, KIND, NODE, Row, board
from kcloud_exporter.artefacts.dashboards.panels import (
    BAD_ABOVE_ZERO,
    Column,
    Query,
    Steps,
    graph,
    link,
    listing,
    number,
    ranking,
)
from kcloud_exporter.artefacts.promql import once
from kcloud_exporter.catalogue import Family

UID: Final = "kcloud-accelerators"
N: Final = 'cluster=~"$cluster",node=~"$node"'
K: Final = f'{N},kind=~"$kind"'
_DEVICE: Final = "cluster, node, uuid"
_OF_KIND: Final = f"on ({_DEVICE}) group_left (model) max by ({_DEVICE}, model) ({catalogue.ACCELERATOR_INFO}{{{K}}})"
"""Right side of `expr * _OF_KIND`: keeps devices of the chosen kinds, and adds the model."""
_NAMED: Final = "{{cluster}}/{{node}} {{model}} {{uuid}}"
_POWER: Final = once(catalogue.ACCELERATOR_POWER, K)


def _of_kind(family: Family, selector: str = N) -> str:
    return f"{once(family, selector)} * {_OF_KIND}"


def accelerators() -> dict[str, Any]:
    """The dashboard."""
    return board(
        UID,
        "Accelerators",
        "Power, use, memory, temperature and health of GPU, NPU and TPU, and who holds them without use.",
        (CLUSTER, NODE, KIND),
        (Row("Now", _now()), Row("Power and use", _use()), Row("Condition", _condition()), Row("Devices", _devices())),
    )


def _now() -> tuple[Any, ...]:
    held = f"sum(clamp_max(sum by ({_DEVICE}) ({once(catalogue.ACCELERATOR_ALLOCATION, N)}), 1) * {_OF_KIND})"
    broken = f"sum(1 - {_of_kind(catalogue.ACCELERATOR_HEALTHY)})"
    idle = f"sum({once(catalogue.ACCELERATOR_IDLE_POWER, N)} * {_OF_KIND}) or vector(0)"
    return (
        number("Accelerators", "Devices that report power.", "none", f"count({_POWER})"),
        number("Power", "All of them.", "watt", f"sum({_POWER})"),
        number(
            "Mean utilization",
            "Mean over all devices.",
            "percentunit",
            f"avg({_of_kind(catalogue.ACCELERATOR_UTILIZATION)})",
        ),
        number("Held", "Devices that containers hold, partitions as parts of a device.", "none", held, decimals=1),
        number("Held and idle", "Power of devices that are held and do no work.", "watt", idle),
        number("Unhealthy", "Devices that their exporter calls broken.", "none", broken, steps=BAD_ABOVE_ZERO),
    )


def _use() -> tuple[Any, ...]:
    return (
        graph(
            "Power by model",
            "All devices of a model.",
            "watt",
            Query(f"sum by (vendor, model) ({_POWER})", "{{vendor}} {{model}}"),
            stacked=True,
        ),
        graph("Power by device", "Each whole device once, however it is shared.", "watt", Query(_POWER, _NAMED)),
        graph(
            "Utilization",
            "Share of time in which a device was busy; the mean over its cores or slices.",
            "percentunit",
            Query(_of_kind(catalogue.ACCELERATOR_UTILIZATION), _NAMED),
            at_least=0,
        ),
        graph(
            "Utilization of cores",
            "Each core of a device, where its exporter tells cores apart.",
            "percentunit",
            Query(_of_kind(catalogue.ACCELERATOR_CORE_UTILIZATION), _NAMED + " {{core}}"),
            at_least=0,
        ),
        ranking(
            "Held and idle by namespace",
            "Power of devices that are held and do no work: candidates to be freed.",
            "watt",
            Query(
                f"topk(10, sum by (cluster, namespace) ({once(catalogue.ACCELERATOR_IDLE_POWER, N)} * {_OF_KIND}))",
                "{{cluster}}/{{namespace}}",
            ),
        ),
    )


def _condition() -> tuple[Any, ...]:
    used, whole = _of_kind(catalogue.ACCELERATOR_MEMORY_USED), once(catalogue.ACCELERATOR_MEMORY_TOTAL, N)
    hot = Steps("transparent", ((87, "orange"),))
    return (
        graph(
            "Temperatures",
            "Every sensor of each device. The line is the default limit of the alert.",
            "celsius",
            Query(_of_kind(catalogue.ACCELERATOR_TEMPERATURE), _NAMED + " {{sensor}}"),
            steps=hot,
        ),
        graph(
            "Memory in use",
            "Device memory used over all of it.",
            "percentunit",
            Query(f"{used} / on ({_DEVICE}) group_left () {whole}", _NAMED),
            at_least=0,
        ),
        graph(
            "Clocks",
            "Clock frequencies. A clock that falls under load tells of a power or temperature limit.",
            "hertz",
            Query(_of_kind(catalogue.ACCELERATOR_CLOCK), _NAMED + " {{clock}}"),
        ),
        graph(
            "Health",
            "1 healthy, 0 broken, as the exporter says.",
            "none",
            Query(_of_kind(catalogue.ACCELERATOR_HEALTHY), _NAMED),
            at_least=0,
        ),
    )


def _devices() -> tuple[Any, ...]:
    holders = f"{once(catalogue.ACCELERATOR_ALLOCATION, N)} * {_OF_KIND}"
    hottest = f"max by ({_DEVICE}) ({once(catalogue.ACCELERATOR_TEMPERATURE, N)}) * {_OF_KIND}"
    return (
        listing(
            "Devices",
            "One line per device; a click on the node opens it.",
            (
                Column(f"max by ({_DEVICE}, model) ({_POWER})", "Power", "watt"),
                Column(_of_kind(catalogue.ACCELERATOR_UTILIZATION), "Utilization", "percentunit"),
                Column(hottest, "Hottest sensor", "celsius"),
                Column(_of_kind(catalogue.ACCELERATOR_MEMORY_USED), "Memory used", "bytes"),
                Column(_of_kind(catalogue.ACCELERATOR_HEALTHY), "Healthy", "none"),
            ),
            links={"node": link("Open the node", "kcloud-node", cluster="cluster", node="node")},
        ),
        listing(
            "Holders",
            "Which container holds which part of which device; a click on the namespace opens it.",
            (Column(holders, "Part", "percentunit"),),
            links={
                "namespace": link("Open the namespace", "kcloud-namespaces", cluster="cluster", namespace="namespace")
            },
        ),
    )
