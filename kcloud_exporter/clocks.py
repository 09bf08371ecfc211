"""The two clocks that the program goes by, handed in from one place, so that a rehearsal can set them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Clocks:
    """`wall` is Unix time, for what is shown; `steady` counts the seconds that no setting moves: ages, intervals.

    Deadlines and durations are not told by these: they go by the event loop's own time.
    """

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


REAL: Final = Clocks()
