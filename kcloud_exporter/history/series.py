"""Series: the read side of history, the same for every backend.

    History.series(family, matchers, start, end, step) ─► Series    one row per label set, one column per step
    History.increase(family, matchers, start, end)     ─► Increase  how far counters came in a window

A value at `t` speaks of the interval (t - step, t]: the mean of a gauge over it, the last reading of a counter in it,
NaN where nothing is known. So steps tile a window: none of it is counted twice, and a gap stays a gap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from kcloud_exporter.catalogue import FAMILIES, Family
from kcloud_exporter.errors import HistoryError
from kcloud_exporter.history.kept import resolution
from kcloud_exporter.model import Floats

MAX_POINTS: Final = 11_000
"""Steps in one answer, as in Prometheus."""
MAX_CELLS: Final = 4_000_000
"""Series × steps in one answer: 32 MB of values. Whoever needs more asks window by window."""


@dataclass(frozen=True, slots=True)
class Series:
    """One family in a window. `values[s, t]` belongs to `labels[s]` (values of `label_names`) and `timestamps[t]`.

    Times are Unix seconds, each the end of its interval. `step` is what was used: never finer than the family's
    resolution, so it may be coarser than what was asked for.
    """

    family: Family
    labels: list[tuple[str, ...]]
    timestamps: Floats
    values: Floats
    step: float

    @property
    def label_names(self) -> tuple[str, ...]:
        """What the values of each label tuple are called."""
        return self.family.labels


@dataclass(frozen=True, slots=True)
class Increase:
    """How far each counter came between two moments. `values[s]` belongs to `labels[s]`.

    A counter that was there at the start counts from its reading then, one that began later from its first reading.
    """

    family: Family
    labels: list[tuple[str, ...]]
    values: Floats


class History(Protocol):
    """What was. Safe to use from the event loop: files and sockets are waited for elsewhere."""

    async def series(self, family: str, matchers: Mapping[str, str], start: float, end: float, step: float) -> Series:
        """A family in the window (start, end] (Unix seconds), every `step` seconds; `matchers` are label equalities.

        Series without any reading in the window are left out; no series at all is an empty answer. Raises
        HistoryError: reason bad_request (unknown family or label, empty window), too_large, unavailable.
        """

    async def increase(self, family: str, matchers: Mapping[str, str], start: float, end: float) -> Increase:
        """How far the counters of a family came in the window (start, end]. Raises HistoryError like `series`."""

    async def increments(
        self,
        family: str,
        matchers: Mapping[str, str],
        start: float,
        end: float,
        step: float,
        stood: dict[tuple[str, ...], float] | None = None,
    ) -> Series:
        """`increase` step by step: S × T, NaN where a counter has no reading in a step. Raises HistoryError.

        Whoever asks window after window hands `stood` from one to the next: label tuple → where the counter stood
        last. Without it a counter that was silent around the start of a window begins anew there.
        """

    async def close(self) -> None:
        """Write what is not yet written, and let go of files and connections."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question that was checked: the family, its matchers, and the ends of the steps."""

    family: Family
    matchers: Mapping[str, str]
    start: float
    step: float
    points: int

    @property
    def end(self) -> float:
        """The end of the last step."""
        return self.start + self.step * self.points

    @property
    def timestamps(self) -> Floats:
        """T ends of intervals."""
        return self.start + self.step * np.arange(1, self.points + 1, dtype=np.float64)


def known_family(name: str, matchers: Mapping[str, str]) -> Family:
    """The catalogue's row of a family that history keeps, with matchers that fit. Raises HistoryError."""
    family = FAMILIES.get(name)
    if family is None or resolution(family) is None:
        raise HistoryError("bad_request", f"history keeps no family {name[:100]!r}")
    for label, value in matchers.items():
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise HistoryError("bad_request", f"the value of {label[:100]!r} is no text")
        if label not in family.labels:
            has = ", ".join(family.labels) or "none"
            raise HistoryError("bad_request", f"{name} has no label {label[:100]!r}; it has: {has}")
    return family


def window(start: float, end: float) -> None:
    """Raises HistoryError unless the window has a beginning and an end in that order."""
    if not (math.isfinite(start) and math.isfinite(end)) or not 0 <= start < end <= 253402300799:
        raise HistoryError("bad_request", "the window's start must lie before its end")


def known_counter(name: str, matchers: Mapping[str, str]) -> Family:
    """A family whose increase can be told. Raises HistoryError."""
    family = known_family(name, matchers)
    if family.type != "counter":
        raise HistoryError("bad_request", f"{name} is no counter")
    return family


def whole_window(name: str, matchers: Mapping[str, str], start: float, end: float) -> Question:
    """The question how far counters came in a window: it has one step. Raises HistoryError."""
    family = known_counter(name, matchers)
    window(start, end)
    return Question(family, dict(matchers), start, end - start, 1)


def look_back(family: Family) -> float:
    """Seconds before a window in which a counter's last reading still says where it stood at the start."""
    return 2 * (resolution(family) or 0.0)


def question(name: str, matchers: Mapping[str, str], start: float, end: float, step: float) -> Question:
    """Check what was asked for. Raises HistoryError before any work is done."""
    family = known_family(name, matchers)
    window(start, end)
    if not math.isfinite(step) or step <= 0:
        raise HistoryError("bad_request", "step must be longer than nothing")
    step = max(step, resolution(family) or 0.0)
    points = int((end - start) / step + 1e-9)
    if points < 1:
        raise HistoryError("bad_request", f"the window is shorter than one step of {step:g} s")
    if points > MAX_POINTS:
        least = math.ceil((end - start) / MAX_POINTS)
        told = f"{points} steps of {step:g} s; at most {MAX_POINTS} are answered: take a step of {least} s or more"
        raise HistoryError("too_large", told)
    return Question(family, dict(matchers), start, step, points)


def check_cells(series: int, points: int) -> None:
    """Raises HistoryError when an answer grows too large to be held."""
    if series * points > MAX_CELLS:
        told = f"more than {MAX_CELLS} values ({series} series of {points} steps)"
        raise HistoryError("too_large", f"{told}: ask for a shorter window, a longer step, or one cluster or node")
