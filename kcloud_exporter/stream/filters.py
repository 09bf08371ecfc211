"""Filters: which part of the fleet a stream is about. A closed set of names; whatever is not in it is told by name.

A filter is hashable on purpose: clients with equal filters share one channel, so that an event is made and serialised
once however many clients read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, TypeAlias, get_args

from kcloud_exporter.catalogue import COMPONENTS
from kcloud_exporter.errors import StreamError

View: TypeAlias = Literal["power", "live", "metrics"]
Breakdown: TypeAlias = Literal["cluster", "node", "namespace"]

RESOURCE_TYPES: Final[dict[str, tuple[str, ...]]] = {
    "all": COMPONENTS,
    "accelerators": ("gpu", "npu", "tpu"),
    "infrastructure": ("cpu", "memory", "other"),
    **{component: (component,) for component in COMPONENTS},
    **{f"{kind}s": (kind,) for kind in ("gpu", "npu", "tpu")},
}
"""Resource type → the components of the ledger that it covers."""
METRICS: Final = ("power", "utilization", "temperature", "memory")
MOST_VALUES: Final = 32
"""Clusters, nodes or namespaces in one filter."""
MOST_THRESHOLDS: Final = 8
MOST_ROWS: Final = 1000
_NAME_LENGTH: Final = 253
"""The longest name that Kubernetes gives to anything."""
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Filter:
    """What a stream shows. Empty means everything; names are sorted, so that order makes no other filter.

    `interval` is in seconds; 0 means every cycle. `threshold_watts` are rising.
    """

    view: View = "power"
    cluster: tuple[str, ...] = ()
    node: tuple[str, ...] = ()
    namespace: tuple[str, ...] = ()
    resource_type: str = "all"
    metric_name: str = "utilization"
    breakdown_by: Breakdown = "cluster"
    limit: int = 100
    interval: float = 0.0
    threshold_watts: tuple[float, ...] = ()

    @property
    def components(self) -> tuple[str, ...]:
        """The components of the ledger that count."""
        return RESOURCE_TYPES[self.resource_type]

    def told(self) -> dict[str, Any]:
        """What the filter asks for beyond the defaults, by parameter."""
        return {
            f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default and f.name != "view"
        }


_OF_VIEW: Final[dict[View, frozenset[str]]] = {
    "power": frozenset(f.name for f in fields(Filter)) - {"metric_name"},
    "live": frozenset({"view", "cluster"}),
    "metrics": frozenset({"view", "cluster", "node", "resource_type", "metric_name", "limit", "interval"}),
}
"""Which parameters mean something in which view; the others are refused rather than ignored."""


def parse(
    pairs: Iterable[tuple[str, str]], clusters: Collection[str], views: Collection[View], default: View = "power"
) -> Filter:
    """The filter of (name, text) pairs as a query string has them. `clusters` are those that exist.

    Raises StreamError: 400 with the name of an unknown parameter or of the value at fault, 404 for a cluster.
    """
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        given.setdefault(name, []).append(text)
    known_names = {name for view in views for name in _OF_VIEW[view]} - ({"view"} if len(views) == 1 else set())
    known = ", ".join(sorted({*known_names, "last_event_id"}))
    for name in given:
        if name not in known_names:
            raise _refused(name, f"unknown parameter {name[:_SHOWN]!r}; known: {known}")
    found: dict[str, Any] = {"view": default}
    for name, texts in given.items():
        found[name] = _READERS[name](name, texts)
    result = replace(Filter(), **found)
    if result.view not in views:
        raise _refused("view", f"view: {result.view!r}; one of {', '.join(sorted(views))}")
    for name in sorted(given):
        if name not in _OF_VIEW[result.view]:
            raise _refused(name, f"{name}: means nothing in view {result.view!r}")
    if result.view == "metrics" and not set(result.components) & set(RESOURCE_TYPES["accelerators"]):
        raise _refused("resource_type", f"resource_type: {result.resource_type!r} has no accelerators")
    for cluster in result.cluster:
        if cluster not in clusters:
            raise StreamError(404, f"there is no cluster {cluster[:_SHOWN]!r}", "cluster")
    return result


def _refused(name: str, message: str) -> StreamError:
    return StreamError(400, message, name[:_SHOWN])


def _one(name: str, texts: list[str]) -> str:
    if len(texts) > 1:
        raise _refused(name, f"{name}: given {len(texts)} times; once is the most")
    return texts[0]


def _names(name: str, texts: list[str]) -> tuple[str, ...]:
    if len(texts) > MOST_VALUES:
        raise _refused(name, f"{name}: {len(texts)} values; {MOST_VALUES} are the most")
    for text in texts:
        if not text or len(text) > _NAME_LENGTH or not text.isprintable():
            raise _refused(name, f"{name}: a name has 1 to {_NAME_LENGTH} printable characters")
    return tuple(sorted(set(texts)))


def _choice(*choices: str) -> Callable[[str, list[str]], str]:
    def read(name: str, texts: list[str]) -> str:
        text = _one(name, texts)
        if text not in choices:
            raise _refused(name, f"{name}: {text[:_SHOWN]!r}; one of {', '.join(choices)}")
        return text

    return read


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not text.isascii() or not least <= value <= most:
        raise _refused(name, f"{name}: {text[:_SHOWN]!r}; a number from {least:g} to {most:g}")
    return value


def _interval(name: str, texts: list[str]) -> float:
    return _number(name, _one(name, texts), 1, 3600)


def _limit(name: str, texts: list[str]) -> int:
    text = _one(name, texts)
    if not (text.isascii() and text.isdecimal() and len(text) < 8 and 1 <= int(text) <= MOST_ROWS):
        raise _refused(name, f"{name}: {text[:_SHOWN]!r}; a whole number from 1 to {MOST_ROWS}")
    return int(text)


def _thresholds(name: str, texts: list[str]) -> tuple[float, ...]:
    if len(texts) > MOST_THRESHOLDS:
        raise _refused(name, f"{name}: {len(texts)} values; {MOST_THRESHOLDS} are the most")
    return tuple(sorted({_number(name, text, 1e-3, 1e12) for text in texts}))


_READERS: Final[dict[str, Callable[[str, list[str]], Any]]] = {
    "view": _choice(*get_args(View)),
    "cluster": _names,
    "node": _names,
    "namespace": _names,
    "resource_type": _choice(*RESOURCE_TYPES),
    "metric_name": _choice(*METRICS),
    "breakdown_by": _choice(*get_args(Breakdown)),
    "limit": _limit,
    "interval": _interval,
    "threshold_watts": _thresholds,
}
