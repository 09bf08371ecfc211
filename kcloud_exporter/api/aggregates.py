"""Aggregates: one figure of many rows; what is unknown takes no part."""

from __future__ import annotations

import numpy as np

from kcloud_exporter.api.frames import Frame


def counted(frame: Frame, field: str) -> dict[str, int]:
    """How many rows have each value of a text; what is not known counts as `unknown`."""
    found: dict[str, int] = {}
    for value in frame.texts[field].tolist():
        found[value or "unknown"] = found.get(value or "unknown", 0) + 1
    return found


def mean(frame: Frame, field: str) -> float | None:
    """The mean of what is known of a field."""
    values = frame.numbers[field]
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def highest(frame: Frame, field: str) -> float | None:
    """The highest of what is known of a field."""
    values = frame.numbers[field]
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else None
