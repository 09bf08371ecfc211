"""Floors: what this machine needs for the least that anybody could do with the same bytes. No program is faster."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import orjson


def floors(body: bytes, series: int) -> dict[str, float]:
    """CPU seconds to copy the text, to split it into lines, and to print as many numbers; the best of three each."""
    values = np.random.default_rng(1).uniform(0, 1000, series)
    return {
        "copy the text": _best(lambda: bytes(bytearray(body))),
        "split it into lines": _best(lambda: body.split(b"\n")),
        "print as many numbers": _best(lambda: orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)),
    }


def _best(work: Callable[[], object]) -> float:
    found = []
    for _ in range(3):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)
