"""Pages for the tests: an index to read them with, and what was read in a form that is easy to compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from kcloud_exporter.model import Labels, Mask, SeriesTable
from kcloud_exporter.sources.series import Parsed, ParseLimits, SeriesIndex

NONE: Final[Mask] = np.empty(0, bool)
"""No row needs to stay."""
Series = dict[frozenset[tuple[str, str]], tuple[float, float | None]]


def index_of(
    wanted: Callable[[str], bool] = lambda _: True, labels: Labels | None = None, **limits: int
) -> SeriesIndex:
    """A fresh index over a fresh table."""
    return SeriesIndex(SeriesTable(), wanted, labels or {}, ParseLimits(**limits))


def read(parsed: Parsed, index: SeriesIndex) -> Series:
    """Labels (with `__name__`) → value and timestamp. NaN is shown as None would be confusing: as -0.125."""
    stamps = [None] * len(parsed.rows) if parsed.timestamps is None else parsed.timestamps.tolist()
    assert len(parsed.rows) == len(parsed.values) == len(stamps)
    series = {
        frozenset(index.table.series(row).items()): (
            value if value == value else -0.125,
            None if stamp is None or stamp != stamp else stamp,
        )
        for row, value, stamp in zip(parsed.rows.tolist(), parsed.values.tolist(), stamps, strict=True)
    }
    assert len(series) == len(parsed.rows), "a row stands twice"
    return series


def labels(name: str, **more: str) -> frozenset[tuple[str, str]]:
    """The key of one series in `read`."""
    return frozenset({"__name__": name, **more}.items())


def quoted(value: str) -> str:
    """A label value as the text format prints it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
