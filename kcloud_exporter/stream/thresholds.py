"""Thresholds: one event when a total rises to its threshold, one when it has clearly fallen below it again.

A total that swings around the threshold would otherwise ring at every cycle. And a total that falls because a part of
the fleet is no longer measured has not fallen: it resolves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

CLEAR_BELOW: Final = 0.95
"""Resolved below this share of the threshold."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """What happened at one threshold."""

    state: Literal["exceeded", "resolved"]
    threshold: float
    clear_below: float
    total: float


class Threshold:
    """One threshold in watts, and on which side of it the total was last seen."""

    def __init__(self, threshold: float) -> None:
        self.threshold, self.clear_below = threshold, CLEAR_BELOW * threshold
        self.exceeded = False
        self._completeness = 0.0

    def look(self, total: float | None, completeness: float) -> Crossing | None:
        """What this cycle's total changes. `completeness` is the share of the nodes that it covers."""
        if total is None:
            return None
        if total >= self.threshold:
            was, self.exceeded = self.exceeded, True
            self._completeness = completeness
            return None if was else self._crossing("exceeded", total)
        if self.exceeded and total < self.clear_below and completeness >= self._completeness:
            self.exceeded = False
            return self._crossing("resolved", total)
        return None

    def _crossing(self, state: Literal["exceeded", "resolved"], total: float) -> Crossing:
        return Crossing(state, self.threshold, self.clear_below, total)
