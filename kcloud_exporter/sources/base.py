"""What a source is, and the memory of which rows it has shown lately."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from kcloud_exporter.errors import SourceError
from kcloud_exporter.model import Failure, Outcome, Rows, SeriesTable
from kcloud_exporter.sources.http import clock

if TYPE_CHECKING:
    from kcloud_exporter.sources.intake import Intake

log = logging.getLogger(__name__)
FORGET_AFTER: Final = 20
"""Collects after which a row that was not shown counts as dead."""
_WORTH_IT: Final = 1000
"""Fewer dead rows than this are left alone."""


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

    def compact(self) -> list[tuple[SeriesTable, SeriesTable]]:
        """Drop dead series if they are more than half: [(old table, new table)], or nothing.

        The old table stays as it is for its readers; label objects of living series are the same in both. Not to
        be called while `collect` is running.
        """

    async def close(self) -> None:
        """Close the connections."""


class LastSeen:
    """The collect in which each row of one table was last seen (int32 per row)."""

    def __init__(self) -> None:
        self.collects = 0
        self._last: Rows = np.zeros(0, np.int32)

    def note(self, rows: Rows, size: int) -> None:
        """These rows of a table of `size` rows were seen in the current collect."""
        if len(self._last) < size:
            # Rows that no answer has shown yet are as young as now: they may belong to an answer that failed.
            grown = np.full(size + size // 4, self.collects, np.int32)
            grown[: len(self._last)] = self._last
            self._last = grown
        self._last[rows] = self.collects

    def survivors(self, table: SeriesTable) -> tuple[SeriesTable, Rows] | None:
        """A new table without dead rows, and old row → new row (-1: dropped); None when it is not worth it."""
        size = len(table)
        last = self._last[:size]
        alive = np.ones(size, np.bool_)
        alive[: len(last)] = last >= self.collects - FORGET_AFTER
        dead = size - int(alive.sum())
        if dead < _WORTH_IT or 2 * dead <= size:
            return None
        moved = np.where(alive, np.cumsum(alive) - 1, -1).astype(np.int32)
        new = SeriesTable()
        living = np.flatnonzero(alive).tolist()
        new.names, new.labels = [table.names[row] for row in living], [table.labels[row] for row in living]
        kept = np.full(len(new), self.collects, np.int32)
        kept[moved[: len(last)][alive[: len(last)]]] = last[alive[: len(last)]]
        self._last = kept
        return new, moved


def failure(cluster: str, source: str, exc: Exception, begun: float, hide: Callable[[str], str]) -> Failure:
    """The Failure that an exception stands for; what is no SourceError is a defect of ours and is logged.

    `hide` takes our credentials out of what an endpoint has said: the message goes to the log and to the front page.
    """
    duration = clock() - begun
    if isinstance(exc, SourceError):
        return Failure(cluster, source, exc.reason, hide(str(exc)), duration)
    log.error("defect in a source", exc_info=exc, extra={"cluster": cluster, "source": source})
    return Failure(cluster, source, "internal", hide(f"{type(exc).__name__}: {exc}"[:500]), duration)
