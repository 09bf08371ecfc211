"""Hashes: number → row in twelve bytes each, where a dict needs a hundred. For what is asked for new series only."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kcloud_exporter.model import Rows

_LEAST: Final = 4096
_MASK: Final = (1 << 62) - 1


class Hashes:
    """Owns numbers (of 62 bits) and the row of each. What is new stands in a dict until it is worth sorting in."""

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}
        self._keep(np.empty(0, np.int64), np.empty(0, np.int32))

    def _keep(self, numbers: NDArray[np.int64], rows: Rows) -> None:
        # Arrays of Python's own: one element of a numpy array is slow to reach.
        self._numbers, self._rows = array("q", numbers.tobytes()), array("i", rows.tobytes())

    @staticmethod
    def first(number: int) -> int:
        """Where to look first for what has this hash; go on with the next number while another stands there."""
        return number & _MASK

    def get(self, number: int) -> int | None:
        """The row of a number."""
        found = self._recent.get(number)
        if found is not None:
            return found
        at = bisect_left(self._numbers, number)
        return self._rows[at] if at < len(self._numbers) and self._numbers[at] == number else None

    def put(self, number: int, row: int) -> None:
        """Take in a number that is not there."""
        self._recent[number] = row
        if len(self._recent) > max(_LEAST, len(self._numbers) // 8):
            self._sort_in()

    def moved(self, new_rows: Rows) -> Hashes:
        """The same numbers with `new_rows[old row]`, without those for which it is -1.

        A number that has given way to one that is dropped may then stand beside its place, and is not found there;
        that costs a row of its own when its series comes in another spelling, and nothing else.
        """
        self._sort_in()
        moved, rows = Hashes(), new_rows[np.array(self._rows, np.int32)]
        moved._keep(np.array(self._numbers, np.int64)[rows >= 0], rows[rows >= 0])
        return moved

    def _sort_in(self) -> None:
        recent = len(self._recent)
        numbers = np.append(self._numbers, np.fromiter(self._recent, np.int64, recent))
        rows = np.append(self._rows, np.fromiter(self._recent.values(), np.int32, recent)).astype(np.int32)
        order = np.argsort(numbers, kind="stable")
        self._recent = {}
        self._keep(numbers[order], rows[order])
