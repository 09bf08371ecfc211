"""Prices by the hour: spans, days, midnight; and the two days a year that are not 24 hours long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from kcloud_exporter.config.schema import Tariff, TariffPeriod
from kcloud_exporter.derive.carbon_cost import per_second, price_at
from kcloud_exporter.model import Keys, Table

WORKDAYS = ("mon", "tue", "wed", "thu", "fri")
NIGHT = TariffPeriod.model_validate({"from": "22:00", "to": "06:00", "price_per_kwh": 50.0})
PEAK = TariffPeriod.model_validate({"days": WORKDAYS, "from": "09:00", "to": "18:00", "price_per_kwh": 200.0})
EVENING = TariffPeriod.model_validate({"days": ["fri"], "from": "20:00", "to": "02:00", "price_per_kwh": 300.0})
MON, FRI, SAT, SUN = 0, 4, 5, 6


@pytest.mark.parametrize(
    ("weekday", "clock", "price"),
    [
        (MON, "05:59", 50),
        (MON, "06:00", 100),
        (MON, "08:59", 100),
        (MON, "09:00", 200),
        (MON, "17:59", 200),
        (MON, "18:00", 100),
        (MON, "21:59", 100),
        (MON, "22:00", 50),
        (MON, "23:59", 50),
        (SAT, "10:00", 100),
    ],
)
def test_the_period_that_holds_gives_the_price(weekday: int, clock: str, price: float) -> None:
    hours, minutes = map(int, clock.split(":"))

    assert price_at(100.0, (NIGHT, PEAK), weekday, 60 * hours + minutes) == price


@pytest.mark.parametrize(
    ("weekday", "hour", "price"),
    [(FRI, 19, 100), (FRI, 23, 300), (SAT, 1, 300), (SAT, 2, 100), (SAT, 21, 100), (FRI, 1, 100)],
)
def test_a_span_over_midnight_belongs_to_the_day_on_which_it_begins(weekday: int, hour: int, price: float) -> None:
    assert price_at(100.0, (EVENING,), weekday, 60 * hour) == price


def test_the_first_period_that_holds_wins() -> None:
    all_day = TariffPeriod.model_validate({"from": "00:00", "to": "24:00", "price_per_kwh": 1.0})

    assert price_at(100.0, (all_day, PEAK), MON, 600) == 1.0
    assert price_at(100.0, (PEAK, all_day), MON, 600) == 200.0


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_day_with_a_clock_change_costs_what_its_real_hours_cost(day: str, hours: int) -> None:
    zone = ZoneInfo("Europe/Paris")
    at = datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC)
    end = (datetime.fromisoformat(day) + timedelta(days=1)).replace(tzinfo=zone).astimezone(UTC)
    cost, counted = 0.0, 0.0
    while at < end:
        local = at.astimezone(zone)
        cost += price_at(100.0, (), local.weekday(), 60 * local.hour + local.minute) / 60
        counted += 1 / 60
        at += timedelta(minutes=1)

    assert counted == pytest.approx(hours)
    assert cost == pytest.approx(100.0 * hours)


def test_a_kilowatt_for_an_hour_is_a_kilowatt_hour() -> None:
    watts = Table(Keys([("c", "a"), ("c", "b")]), np.array([1000.0, np.nan]))
    money = per_second(watts, 152.1, "KRW")

    assert money.values[0] * 3600 == pytest.approx(152.1)
    assert np.isnan(money.values[1])
    assert money.keys.rows == [("c", "a", "KRW"), ("c", "b", "KRW")]
    assert per_second(watts, 424.0).keys is watts.keys


def test_a_tariff_that_makes_no_sense_is_refused() -> None:
    for bad in (
        {"currency": "won"},
        {"currency": "KRW", "timezone": "Seoul"},
        {"currency": "KRW", "price_per_kwh": -1},
    ):
        with pytest.raises(ValueError, match=r"currency|timezone|price_per_kwh"):
            Tariff.model_validate({"price_per_kwh": 1.0} | bad)
