"""The days on which clocks are set: each second costs what it costs then, and the days add up to the whole."""

from __future__ import annotations

import math
import random
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, partial
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from kcloud_exporter.config.schema import TariffPeriod
from kcloud_exporter.derive.carbon_cost import mean_price, per_second, price_at
from kcloud_exporter.derive.energy import Totals
from kcloud_exporter.model import Keys, Table

BASE = 100.0
PERIODS = tuple(
    TariffPeriod.model_validate(period)
    for period in (
        # Boundaries inside the times that are missing or come twice: 02 to 03 in Paris, 01:30 to 02:30 on Lord Howe.
        {"days": ["sun"], "from": "01:40", "to": "02:10", "price_per_kwh": 170.0},
        {"days": ["sat", "sun"], "from": "02:45", "to": "03:01", "price_per_kwh": 310.0},
        {"from": "22:00", "to": "06:00", "price_per_kwh": 51.7},
        {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "18:00", "price_per_kwh": 203.9},
    )
)
CHANGES = [
    # Seoul has known no summer time since 1988: its days are those of its own last change, and of our time.
    ("Asia/Seoul", date(1988, 5, 8), 23.0),
    ("Asia/Seoul", date(1988, 10, 9), 25.0),
    ("Asia/Seoul", date(2026, 3, 29), 24.0),
    ("Europe/Paris", date(2026, 3, 29), 23.0),
    ("Europe/Paris", date(2026, 10, 25), 25.0),
    ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
    ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
]


def by_hand(local: datetime) -> float:
    """The same tariff, written down as a person would."""
    clock, weekday = local.strftime("%H:%M"), local.strftime("%a")
    if weekday == "Sun" and "01:40" <= clock < "02:10":
        return 170.0
    if weekday in ("Sat", "Sun") and "02:45" <= clock < "03:01":
        return 310.0
    if clock >= "22:00" or clock < "06:00":
        return 51.7
    if weekday not in ("Sat", "Sun") and "09:00" <= clock < "18:00":
        return 203.9
    return 100.0


def midnight(day: date, zone: ZoneInfo) -> float:
    return datetime.combine(day, time(0), zone).timestamp()


def price(zone: ZoneInfo, minute: int) -> float:
    local = datetime.fromtimestamp(60 * minute, zone)
    return price_at(BASE, PERIODS, local.weekday(), 60 * local.hour + local.minute)


@pytest.mark.parametrize(("name", "changed", "hours"), CHANGES)
def test_cost_by_cycle_is_cost_by_minute_on_the_days_around_a_change(name: str, changed: date, hours: float) -> None:
    chance, zone = random.Random(name), ZoneInfo(name)
    days = [changed + timedelta(days=offset) for offset in (-1, 0, 1, 2)]
    bounds = [midnight(day, zone) for day in days]
    watts, keys, totals = np.array([731.0, 4000.0]), Keys([("c", "a"), ("c", "b")]), Totals()
    cost_of, now = partial(price, zone), bounds[0]
    cost_at = {now: [0.0, 0.0]}
    for end in bounds[1:]:
        while now < end:
            before, now = now, min(end, now + chance.uniform(15, 60))
            mean = mean_price(cost_of, before, now)
            totals.add(per_second(Table(keys, watts), mean), now - before, now)
        cost_at[now] = totals.values.tolist()

    oracle = []
    for begin, end in pairwise(bounds):
        minutes = [datetime.fromtimestamp(at, UTC).astimezone(zone) for at in range(int(begin), int(end), 60)]
        oracle.append(math.fsum(map(by_hand, minutes)) / 60)
        assert cost_at[end][0] - cost_at[begin][0] == pytest.approx(0.731 * oracle[-1], rel=1e-9)
    assert bounds[2] - bounds[1] == hours * 3600
    assert totals.values.tolist() == pytest.approx([0.731 * sum(oracle), 4.0 * sum(oracle)], rel=1e-9)


def test_a_time_over_a_boundary_is_split_there_to_the_fraction_of_a_second() -> None:
    boundary = 60 * 29_000_000

    def before_and_after(minute: int) -> float:
        return 10.0 if minute < 29_000_000 else 20.0

    assert mean_price(before_and_after, boundary - 30.25, boundary + 10.0) == pytest.approx(
        (30.25 * 10 + 10 * 20) / 40.25
    )
    assert mean_price(before_and_after, boundary - 15.0, boundary) == 10.0
    assert mean_price(before_and_after, boundary, boundary + 15.0) == 20.0
    assert mean_price(before_and_after, boundary, boundary) == 20.0, "no time at all: the price of now"
    assert mean_price(before_and_after, boundary - 3600, boundary + 7200) == pytest.approx(50 / 3), "a long one, too"


def test_the_half_hour_that_comes_twice_on_lord_howe_has_its_period_twice() -> None:
    """01:30 to 02:00 comes twice; a period from 01:40 to 02:10 holds at 01:40 to 02:00, and at 01:40 to 02:10."""
    zone = ZoneInfo("Australia/Lord_Howe")
    begin = midnight(date(2026, 4, 5), zone)
    held = [minute for minute in range(24 * 60 + 30) if price(zone, int(begin) // 60 + minute) == 170.0]

    assert held == [*range(100, 120), *range(130, 160)]


@pytest.mark.parametrize("name", ["Asia/Seoul", "Europe/Paris", "Australia/Lord_Howe"])
def test_the_days_of_two_years_add_up_to_the_two_years(name: str) -> None:
    """With a clock that is set four times meanwhile: no hour is lost between two days, and none counts twice."""
    zone, first = ZoneInfo(name), date(2026, 1, 1)
    days = [first + timedelta(days=offset) for offset in range((date(2028, 1, 1) - first).days + 1)]
    bounds = [midnight(day, zone) for day in days]
    cost_of = cache(partial(price, zone))
    watts, totals, by_day = Table(Keys([("c", "a")]), np.array([731.0])), Totals(), []
    for begin, end in pairwise(bounds):
        before = totals.values.sum()
        # Cycles of 4 h and what is left of the day: longer than any that is counted, which is no matter here.
        for at in np.arange(begin, end, 4 * 3600.0).tolist():
            until = min(at + 4 * 3600.0, end)
            totals.add(per_second(watts, mean_price(cost_of, at, until)), until - at, until)
        by_day.append(totals.values.sum() - before)
    lengths = {round((end - begin) / 60) for begin, end in pairwise(bounds)}
    minutes = range(int(bounds[0]) // 60, int(bounds[-1]) // 60)
    assert lengths == {"Asia/Seoul": {1440}, "Europe/Paris": {1380, 1440, 1500}}.get(name, {1410, 1440, 1470})
    assert math.fsum(by_day) == pytest.approx(totals.values.sum(), rel=1e-12)
    assert totals.values.sum() == pytest.approx(0.731 * math.fsum(map(cost_of, minutes)) / 60, rel=1e-9)
