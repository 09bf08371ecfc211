"""Buckets: the steps of a report as hours, days or weeks of its calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from kcloud_exporter.export.report.asked import ReportRequest
from kcloud_exporter.export.report.words import Words
from kcloud_exporter.model import Floats


@dataclass(frozen=True, slots=True)
class Buckets:
    """The bucket of each step, what each is called, and whether they are hours, days or weeks."""

    of: NDArray[np.int64]
    names: Sequence[str]
    kind: str

    def sums(self, values: Floats) -> Floats:
        """The sum of each bucket over what is known of it; NaN where nothing is."""
        known = ~np.isnan(values)
        count = np.bincount(self.of[known], minlength=len(self.names))
        total = np.bincount(self.of[known], values[known], len(self.names))
        return np.where(count > 0, total, np.nan)


def buckets(request: ReportRequest, times: Floats, words: Words) -> Buckets:
    """Hours of a day or two, days of up to two months, weeks of more."""
    zone = ZoneInfo(request.zone)
    starts = [datetime.fromtimestamp(at - request.step / 2, zone) for at in times.tolist()]
    days = (request.after - request.first).days
    if days <= 2:
        keys = [moment.strftime("%m-%d %H") for moment in starts]
        kind = "hour"
    elif days <= 62:
        keys = [moment.strftime("%Y-%m-%d") for moment in starts]
        kind = "day"
    else:
        keys = [(moment.date() - timedelta(days=moment.weekday())).isoformat() for moment in starts]
        kind = "week"
    order = list(dict.fromkeys(keys))
    index = {key: n for n, key in enumerate(order)}
    names = []
    for key in order:
        first = starts[keys.index(key)]
        if kind == "hour":
            names.append(first.strftime("%H"))
        else:
            names.append(f"{first.month}/{first.day}" + (f" {words.weekday(first.date())}" if days <= 7 else ""))
    return Buckets(np.array([index[key] for key in keys], np.int64), names, kind)


def thin(values: Floats, factor: int) -> Floats:
    """Means over so many steps each, of what is known; NaN where nothing is."""
    if factor <= 1:
        return values
    padded = np.append(values, np.full(-len(values) % factor, np.nan)).reshape(-1, factor)
    known = ~np.isnan(padded)
    with np.errstate(invalid="ignore"):
        return np.where(known.any(axis=1), np.nansum(padded, axis=1) / known.sum(axis=1), np.nan)
