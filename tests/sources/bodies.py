"""Bodies made of those of cases.py by a few changes each: near the edge of what is accepted, on both sides of it."""

from __future__ import annotations

import random
from typing import Final

from tests.sources import cases

_CHARACTERS: Final = (
    *('"', "{", "}", ",", "=", "\\", " ", "\t", "\n", "\r", "#", "+", "-", ".", "e", "E", "_", ":", "'", "/"),
    *("0", "1", "9", "a", "le", "NaN", "Inf", "inf", "nan", "0x1", "1e5", "1_0", "\\n", "\\\\", '\\"', "\u0661", "é"),
    *("# TYPE a gauge\n", "# HELP a b\n", "# EOF\n", "a 1\n", 'a{b="c"} 2\n', " 5", " # {} 1", "quantile", "__name__"),
)
_BYTES: Final = (b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x0b", b"\x85", b"\xef\xbb\xbf", b"\x7f")
TEXT: Final = cases.TEXT_ACCEPTED + cases.TEXT_REJECTED


def generated(seed: int, count: int) -> list[tuple[bytes, bool]]:
    """So many bodies, each with whether it is OpenMetrics. The same seed gives the same."""
    source = random.Random(seed)
    return [_one(source) for _ in range(count)]


def _one(source: random.Random) -> tuple[bytes, bool]:
    openmetrics = source.random() < 0.4
    accepted = cases.OPENMETRICS_ACCEPTED if openmetrics else cases.TEXT_ACCEPTED
    refused = cases.OPENMETRICS_REJECTED if openmetrics else cases.TEXT_REJECTED
    body = bytearray(source.choice(accepted if source.random() < 0.85 else refused))
    for _ in range(source.choice((1, 1, 1, 2))):
        _change(source, body)
    return bytes(body), openmetrics


def _change(source: random.Random, body: bytearray) -> None:
    at = source.randrange(len(body) + 1)
    what = source.random()
    if what < 0.45:
        body[at:at] = source.choice(_CHARACTERS).encode()
    elif what < 0.5:
        body[at:at] = source.choice(_BYTES)
    elif what < 0.7:
        del body[at : at + source.randint(1, 3)]
    elif what < 0.8:
        body[at : at + 1] = source.choice(_CHARACTERS).encode()
    elif what < 0.9:
        body[at:at] = body[source.randrange(len(body) + 1) :][: source.randint(1, 12)]
    elif what < 0.95:
        del body[at:]
    else:
        body[at:at] = source.choice(TEXT)
