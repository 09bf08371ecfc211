"""Numbers of the wire: exactly those that Go's `strconv.ParseFloat` takes, in bulk.

Python's `float()` is more generous (underscores, `+nan`, surrounding whitespace, overflow to infinity), so it
is never asked alone.
"""

from __future__ import annotations

import re
from math import inf, isinf
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from kcloud_exporter.model import Floats

_GO_FLOAT: Final = re.compile(
    rb"[+-]?(?:(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?>(?:[eE][+-]?[0-9]++)?)|inf(?:inity)?)|nan", re.IGNORECASE
)
_MAX_MILLISECONDS: Final = 2**63 - 1
_SPACE, _NEWLINE = 32, 10
_FLOATS: Final = msgspec.json.Decoder(list[float | None])


def parse_float(text: bytes) -> float:
    """One value as Go (and therefore Prometheus) reads it. Raises ValueError, also on overflow."""
    if not _GO_FLOAT.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no number")
    value = float(text)
    if isinf(value) and b"n" not in text.lower():
        raise ValueError(f"{text[:40]!r} is out of range")
    return value


def parse_milliseconds(text: bytes) -> float:
    """Unix seconds of a timestamp of the text format: decimal digits, int64 milliseconds. Raises ValueError."""
    if len(text) > 40 or not text.isdigit() or int(text) > _MAX_MILLISECONDS:
        raise ValueError(f"{text[:40]!r} is no timestamp")
    return int(text) / 1000


def parse_seconds(text: bytes) -> float:
    """Unix seconds of an OpenMetrics timestamp: any finite float. Raises ValueError."""
    value = parse_float(text)
    if not -inf < value < inf:
        raise ValueError(f"{text[:40]!r} is no timestamp")
    return value


def bulk(joined: bytes, count: int) -> Floats | None:
    """`count` values from ` 1.5\\n 2\\n NaN` (a space before every item, newlines between them).

    None when anything is out of the ordinary, valid or not: the caller then reads item by item.
    """
    if count == 0:
        return np.empty(0) if not joined else None
    if _layout(joined, count, per_item=2) is None:
        return None
    return _decode(joined.replace(b"\n", b","), count)


def bulk_timestamped(joined: bytes, count: int, *, milliseconds: bool) -> tuple[Floats, Floats] | None:
    """Values and timestamps (Unix seconds) from ` 1.5 1700000000000\\n 2 1700000000000`, or None as in `bulk`."""
    if count == 0:
        return (np.empty(0), np.empty(0)) if not joined else None
    white = _layout(joined, count, per_item=3)
    if white is None or (milliseconds and not _same_width_digits(joined, white)):
        return None
    numbers = _decode(joined[1:].replace(b"\n", b"").replace(b" ", b","), 2 * count)
    if numbers is None:
        return None
    stamps = numbers[1::2]
    if not np.isfinite(stamps).all():
        return None
    return numbers[0::2].copy(), stamps / 1000 if milliseconds else stamps.copy()


def _layout(joined: bytes, count: int, per_item: int) -> NDArray[np.intp] | None:
    """Positions of all bytes up to the space, if they are exactly the separators that the layout asks for."""
    text = np.frombuffer(joined, np.uint8)
    white = np.flatnonzero(text <= _SPACE)
    if white.size != per_item * count - 1 or white[0] != 0:
        return None
    kinds = text[white]
    newlines = white[per_item - 1 :: per_item]
    if (kinds[per_item - 1 :: per_item] != _NEWLINE).any() or (white[per_item::per_item] != newlines + 1).any():
        return None
    if any((kinds[n::per_item] != _SPACE).any() for n in range(per_item - 1)):
        return None
    return white


def _same_width_digits(joined: bytes, white: NDArray[np.intp]) -> bool:
    """Whether every second token is a string of digits, all of one width (13 until the year 2286)."""
    text = np.frombuffer(joined, np.uint8)
    starts = white[1::3] + 1
    ends = np.append(white[2::3], len(joined))
    width = int(ends[0] - starts[0])
    if not 0 < width <= 18 or (ends - starts != width).any():
        return False
    digits = text[starts[:, None] + np.arange(width)] - np.uint8(48)
    return bool((digits <= 9).all())


def _decode(listed: bytes, count: int) -> Floats | None:
    """Decode as a JSON array: every JSON number is a Go float of the same value (the reverse is not needed)."""
    if b"null" in listed:
        return None
    listed = listed.replace(b"NaN", b"null")
    try:
        numbers = _FLOATS.decode(b"[" + listed + b"]")
    except (msgspec.DecodeError, RecursionError):
        return None
    return np.array(numbers, dtype=np.float64) if len(numbers) == count else None
