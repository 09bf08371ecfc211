"""Spreading: the answers of one cycle over all rows of their series table, so that every later step is an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcloud_exporter.model import Floats, Mask, Rows, Scrape


@dataclass(frozen=True, slots=True)
class Dense:
    """One cycle's samples of one series table, spread over all its rows."""

    values: Floats
    present: Mask
    timestamps: Floats
    timed: bool


def spread(size: int, group: Sequence[Scrape]) -> tuple[Dense, Rows, list[str]]:
    """The answers of all endpoints of one table as columns over its first `size` rows, and each row's source."""
    values, present = np.full(size, np.nan), np.zeros(size, bool)
    timestamps, row_source = np.full(size, np.nan), np.zeros(size, np.int32)
    timed = False
    for number, scrape in enumerate(group):
        rows = scrape.rows
        values[rows], present[rows], row_source[rows] = scrape.values, True, number
        stamps: Floats = np.full(len(rows), scrape.received_at)
        if scrape.timestamps is not None:
            timed = True
            stamps = np.where(np.isnan(scrape.timestamps), scrape.received_at, scrape.timestamps)
        timestamps[rows] = stamps
    return Dense(values, present, timestamps, timed), row_source, [scrape.source for scrape in group]


def present_of(rows: Rows, dense: Dense) -> Rows:
    """Those of `rows` that stand in this cycle's answer."""
    return rows[dense.present[rows]]
