"""What a source is, and the memory of which rows it has shown lately."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import compress
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from kcloud_exporter.errors import SourceError
from kcloud_exporter.model import Compaction, Failure, Mask, Outcome, Rows, SeriesTable
from kcloud_exporter.readings import renumbered
from kcloud_exporter.sources.http import clock

if TYPE_CHECKING:
    from kcloud_exporter.sources.intake import Intake

log = logging.getLogger(__name__)
FORGET_AFTER: Final = 5
"""Good answers of an endpoint after which a row that none of them has shown counts as dead."""
_WORTH_IT: Final = 1000
"""Fewer dead rows than this are left alone."""
_LEAST_PART: Final = 8
"""And so are those that are less than this part of the table: 8 is an eighth."""
_NOBODY: Final = -1


class Source(Protocol):
    """One entry of a cluster's `sources`: brings in the series of one or more endpoints."""

    @property
    def cluster(self) -> str:
        """The cluster it belongs to."""

    @property
    def names(self) -> tuple[str, ...]:
        """The `source` label of each endpoint, in the order of the outcomes."""

    @property
    def intake(self) -> Intake:
        """What it does with its answers."""

    async def collect(self, timeout_seconds: float) -> list[Outcome]:
        """Ask every endpoint once. Never raises: a failed endpoint is a Failure. No two calls at the same time."""

    def compact(self, needed: Mask) -> Compaction | None:
        """Drop dead rows if they are worth it; `needed` masks those that must stay, as far as it reaches.

        The old table stays as it is for its readers. Not to be called while `collect` is running.
        """

    async def close(self) -> None:
        """Close the connections."""


class LastSeen:
    """How many answers of its endpoint each row of one table has missed (two int32 a row).

    An endpoint that does not answer lets none of its rows die. Rows that no answer has shown yet belong to nobody,
    and grow old with every collect: they may be what an answer has left that failed at its end.
    """

    def __init__(self, endpoints: int = 1) -> None:
        self._answers: Rows = np.zeros(endpoints + 1, np.int32)  # the last is nobody's
        self._last, self._of = np.zeros(0, np.int32), np.zeros(0, np.int32)

    def begin(self) -> None:
        """A collect begins."""
        self._answers[_NOBODY] += 1

    def note(self, endpoint: int, rows: Rows, size: int) -> None:
        """These rows of a table of `size` rows are what an endpoint has answered."""
        self._reach(size)
        self._answers[endpoint] += 1
        self._last[rows], self._of[rows] = self._answers[endpoint], endpoint

    def _reach(self, size: int) -> None:
        more = size - len(self._last)
        if more > 0:
            more += size // 4
            self._last = np.append(self._last, np.full(more, self._answers[_NOBODY], np.int32))
            self._of = np.append(self._of, np.full(more, _NOBODY, np.int32))

    def compacted(self, table: SeriesTable, needed: Mask) -> Compaction | None:
        """The table without its dead rows; None when that is not worth it."""
        size = len(table)
        self._reach(size)
        alive: Mask = self._answers[self._of[:size]] - self._last[:size] < FORGET_AFTER
        alive[: len(needed)] |= needed[:size]
        dead = size - int(alive.sum())
        if dead < _WORTH_IT or _LEAST_PART * dead <= size:
            return None
        chosen, new = alive.tobytes(), SeriesTable()
        new.names, new.labels = list(compress(table.names, chosen)), list(compress(table.labels, chosen))
        self._last, self._of = self._last[:size][alive], self._of[:size][alive]
        return Compaction(table, new, renumbered(alive))


def failure(cluster: str, source: str, exc: Exception, begun: float, hide: Callable[[str], str]) -> Failure:
    """The Failure that an exception stands for; what is no SourceError is a defect of ours and is logged.

    `hide` takes our credentials out of what an endpoint has said: the message goes to the log and to the front page.
    """
    duration = clock() - begun
    if isinstance(exc, SourceError):
        return Failure(cluster, source, exc.reason, hide(str(exc)), duration)
    log.error("defect in a source", exc_info=exc, extra={"cluster": cluster, "source": source})
    return Failure(cluster, source, "internal", hide(f"{type(exc).__name__}: {exc}"[:500]), duration)
