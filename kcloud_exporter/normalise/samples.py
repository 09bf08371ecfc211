"""The last sample of each counter, in a form that outlives the process: power is what it has grown by since.

Without it, meters that only count joules would tell nothing in the first cycle of a process, and what they counted
while it was away would be lost.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcloud_exporter.model import Floats, Labels

SAMPLE: Final = np.dtype(
    [("series", np.uint64), *((name, np.float64) for name in ("value", "time", "noted", "watts", "seen"))]
)
Samples: TypeAlias = NDArray[np.void]
"""One row a counter: its value in the quantity's unit, the time of the sample, when we noted it (monotonic), and
the power that it last told and when (NaN: none)."""


class LastSample(NamedTuple):
    """The last sample of one counter; the columns are those of `Samples`."""

    value: float
    time: float
    noted: float
    watts: float
    seen: float


NO_SAMPLE: Final = LastSample(np.nan, np.nan, np.nan, np.nan, np.nan)


def series_number(quantity: str, scale: float, labels: Labels) -> int:
    """64 bits that stand for one series as the meter of one quantity."""
    text = "\0".join([quantity, repr(scale), *(part for pair in sorted(labels.items()) for part in pair)])
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def by_series(samples: Samples) -> dict[int, LastSample]:
    """Number of a series → its last sample."""
    columns = (samples[name].tolist() for name in LastSample._fields)
    return dict(zip(samples["series"].tolist(), map(LastSample, *columns), strict=True))


def as_samples(known: dict[int, LastSample]) -> Samples:
    """The reverse of `by_series`."""
    return np.array([(series, *last) for series, last in known.items()], SAMPLE)


def packed(samples: Samples) -> Floats:
    """The same bytes as plain numbers, six a row, so that they can stand beside counters on disk."""
    return np.frombuffer(samples.tobytes(), np.float64)


def unpacked(numbers: Floats) -> Samples:
    """The reverse of `packed`. Raises ValueError for a length that is none of whole rows."""
    return np.frombuffer(numbers.tobytes(), SAMPLE)
