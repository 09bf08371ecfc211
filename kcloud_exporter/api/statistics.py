"""Statistics of one thing over a time span, from history."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from pydantic import Field

from kcloud_exporter.api.answers import Model
from kcloud_exporter.api.models import quantity
from kcloud_exporter.api.routes import Moment
from kcloud_exporter.history.kept import FINE
from kcloud_exporter.history.series import MAX_POINTS
from kcloud_exporter.model import Mask
from kcloud_exporter.units import rfc3339

_POINTS: Final = 1_000
"""Steps over which the mean of a long period is taken: enough that its extremes are told."""


class Statistics(Model):
    """Power over a time span. Means and extremes are those of the time that is covered, energy is the counter's."""

    start_time: str = Field(description="Where it begins.", examples=["2026-11-24T00:00:00.000Z"])
    end_time: str = Field(description="Where it ends.", examples=["2026-11-24T01:00:00.000Z"])
    step_seconds: float = Field(description="Time over which each value is a mean.", examples=[60.0])
    average_power_watts: float | None = quantity("Mean power.", "watts")
    max_power_watts: float | None = quantity("Highest power of a step.", "watts")
    min_power_watts: float | None = quantity("Lowest power of a step.", "watts")
    energy_joules: float | None = quantity("How far the energy counter came.", "joules")
    coverage_ratio: float = Field(description="Part of the span of which history knows.", examples=[1.0])


async def statistics(
    moment: Moment, period: float | None, power: str, energy: str, matchers: Mapping[str, str]
) -> dict[str, Any] | None:
    """Statistics of a thing's power over the last `period` seconds; None when there is no period.

    Rows of several components are added up. Raises RequestError (503) without history, HistoryError.
    """
    if period is None:
        return None
    history = moment.history
    step = max(FINE, period / min(_POINTS, MAX_POINTS))
    end = time.time()
    period = max(period, step)
    series = await history.series(power, matchers, end - period, end, step)
    increase = await history.increase(energy, matchers, end - period, end)
    known = ~np.isnan(series.values)
    told: Mask = np.logical_or.reduce(known, axis=0)
    watts = np.where(known, series.values, 0.0).sum(axis=0)[told]
    joules = increase.values[~np.isnan(increase.values)]
    return {
        "start_time": rfc3339(end - period),
        "end_time": rfc3339(end),
        "step_seconds": series.step,
        "average_power_watts": float(watts.mean()) if len(watts) else None,
        "max_power_watts": float(watts.max()) if len(watts) else None,
        "min_power_watts": float(watts.min()) if len(watts) else None,
        "energy_joules": float(joules.sum()) if len(joules) else None,
        "coverage_ratio": float(told.mean()) if len(told) else 0.0,
    }
