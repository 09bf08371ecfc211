"""Values over time: step functions that repeat, so that their integral has a closed form.

Levels are integers (mW, MiB, basis points, ...): sums and differences of them are exact, and a printed
`mW / 1000` loses nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Profile: TypeAlias = Literal["training", "inference", "service", "idle"]

PERIOD_STEPS: Final = 720
FULL_LOAD: Final = 10_000  # loads are basis points of full load


@dataclass(frozen=True, slots=True)
class Clock:
    """`period` steps of `step` seconds, again and again from `start` (Unix seconds). One step = frozen."""

    start: float
    step: float
    period: int

    def index(self, at: float) -> int:
        """The step of the period that `at` lies in; before the start it is the first one."""
        return int(max(0.0, at - self.start) // self.step) % self.period


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """One piecewise constant value: `levels[i]` holds during step i of every period."""

    clock: Clock
    levels: Ints

    def at(self, at: float) -> int:
        """The level at a time (Unix seconds)."""
        return int(self.levels[self.clock.index(at)])

    def integral(self, at: float) -> float:
        """Level x seconds from the clock's start until `at`: mJ for a signal in mW."""
        elapsed = max(0.0, at - self.clock.start)
        steps = int(elapsed // self.clock.step)
        periods, index = divmod(steps, self.clock.period)
        whole = periods * int(self.levels.sum()) + int(self.levels[:index].sum())
        rest = elapsed - steps * self.clock.step
        return whole * self.clock.step + int(self.levels[index]) * rest

    def __add__(self, other: Signal) -> Signal:
        return Signal(self.clock, self.levels + other.levels)

    def __sub__(self, other: Signal) -> Signal:
        return Signal(self.clock, self.levels - other.levels)

    def part(self, numerator: int, denominator: int) -> Signal:
        """That fraction of the signal, rounded down to whole levels."""
        return Signal(self.clock, self.levels * numerator // denominator)


def constant(clock: Clock, level: int) -> Signal:
    """A signal that never changes."""
    return Signal(clock, np.full(clock.period, level, dtype=np.int64))


def total(clock: Clock, *signals: Signal) -> Signal:
    """The sum of any number of signals, zero for none."""
    return Signal(clock, sum((s.levels for s in signals), np.zeros(clock.period, dtype=np.int64)))


def highest(first: Signal, second: Signal) -> Signal:
    """At every step the larger of the two."""
    return Signal(first.clock, np.maximum(first.levels, second.levels))


def load(clock: Clock, rng: np.random.Generator, profile: Profile) -> Signal:
    """How busy a device is, in basis points.

    Training runs near the top and dips for checkpoints; inference and services follow their requests.
    """
    steps = np.arange(clock.period)
    x = 2 * math.pi * steps / clock.period
    phase, ripple = rng.uniform(0, 2 * math.pi, 2)
    noise = rng.normal(0, 60, clock.period)
    if profile == "training":
        level = 8700 + 500 * np.sin(9 * x + phase) + 200 * np.sin(31 * x + ripple) + noise
        if clock.period > 1:
            level = np.where((steps + rng.integers(60)) % 60 < 3, level * 0.45, level)
    elif profile == "inference":
        level = 4600 + 2300 * np.sin(2 * x + phase) + 1100 * np.sin(13 * x + ripple) + noise
    elif profile == "service":
        level = 2500 + 900 * np.sin(x + phase) + 400 * np.sin(7 * x + ripple) + noise
    else:
        return constant(clock, 0)
    return Signal(clock, np.clip(np.rint(level), 100, FULL_LOAD).astype(np.int64))


def scaled(busy: Signal, idle: int, full: int, rng: np.random.Generator, jitter: int = 0) -> Signal:
    """From a load to a level between `idle` and `full`, with a little noise of at most `jitter`."""
    level = idle + (full - idle) * busy.levels // FULL_LOAD
    if jitter:
        level = level + rng.integers(-jitter, jitter + 1, busy.clock.period)
    return Signal(busy.clock, np.maximum(level, 0))
