"""Carbon and cost: what a watt emits and costs at this very minute (ledger.md, section 6).

Counters of grams and money are integrals of power times the factor that was valid then: a tariff that changes
at 22:00, or a grid that turns green at noon, is in them. An unknown factor adds nothing and shows nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from kcloud_exporter.model import Keys, Table

JOULES_PER_KWH: Final = 3.6e6
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Period(Protocol):
    """One time of use: days of the week and a span of hours `HH:MM`, with its price."""

    @property
    def days(self) -> Sequence[str]:
        """Days on which it holds; a span over midnight belongs to the day on which it begins."""

    @property
    def from_(self) -> str:
        """First minute."""

    @property
    def to(self) -> str:
        """The minute after the last; `24:00` is midnight. Before `from_`: the span goes over midnight."""

    @property
    def price_per_kwh(self) -> float:
        """The price while it holds."""


def price_at(base: float, periods: Sequence[Period], weekday: int, minute: int) -> float:
    """The price per kWh on a weekday (0 = Monday) at a minute of the local day. The first period that holds wins."""
    for period in periods:
        begin, end = _minutes(period.from_), _minutes(period.to)
        today, yesterday = _DAYS[weekday] in period.days, _DAYS[weekday - 1] in period.days
        if begin < end:
            holds = today and begin <= minute < end
        else:
            holds = (today and minute >= begin) or (yesterday and minute < end)
        if holds:
            return period.price_per_kwh
    return base


def mean_price(price: Callable[[int], float], begin: float, end: float) -> float:
    """The mean price between two times (Unix seconds), of a price that changes at whole minutes only.

    `price` gives it for a minute since 1970. A time that crosses a change is split there, so that each second costs
    what it costs: clocks are set forward and back by whole minutes, too.
    """
    first, last = math.floor(begin / 60), math.ceil(end / 60) - 1
    if first >= last:
        return price(max(first, last))
    parts = ((price(minute), min(end, 60 * minute + 60) - max(begin, 60 * minute)) for minute in range(first, last + 1))
    return math.fsum(per_kwh * seconds for per_kwh, seconds in parts) / (end - begin)


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return 60 * int(hours) + int(minutes)


def per_second(watts: Table, per_kwh: float, *more: str) -> Table:
    """Grams or money per second of each row's watts; `more` are further label values, such as the currency."""
    keys = watts.keys if not more else Keys([(*row, *more) for row in watts.keys.rows[: len(watts.values)]])
    return Table(keys, watts.values * (per_kwh / JOULES_PER_KWH))
