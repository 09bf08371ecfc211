"""A history in memory: the protocol of history's read side over a dict, for tests that know what was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kcloud_exporter.history.series import Increase, Series, known_family, question


class Memory:
    """Family → labels → a constant that it has been since `since`; counters grow by their constant per second."""

    def __init__(self, held: Mapping[str, Mapping[tuple[str, ...], float]], since: float = 0.0) -> None:
        self.held, self.since = held, since
        self.asked: list[tuple[str, Mapping[str, str], float, float, float]] = []

    def _rows(self, family: str, matchers: Mapping[str, str]) -> list[tuple[tuple[str, ...], float]]:
        labels = known_family(family, matchers).labels
        wanted = [(labels.index(name), value) for name, value in matchers.items()]
        rows = self.held.get(family, {}).items()
        return [(row, value) for row, value in rows if all(row[at] == text for at, text in wanted)]

    async def series(self, family: str, matchers: Mapping[str, str], start: float, end: float, step: float) -> Series:
        self.asked.append((family, matchers, start, end, step))
        asked = question(family, matchers, start, end, step)
        times, rows = asked.timestamps, self._rows(family, matchers)
        values = np.array([np.where(times > self.since, value, np.nan) for _, value in rows]).reshape(
            len(rows), len(times)
        )
        return Series(asked.family, [row for row, _ in rows], times, values, asked.step)

    async def increase(self, family: str, matchers: Mapping[str, str], start: float, end: float) -> Increase:
        rows = self._rows(family, matchers)
        seconds = end - max(start, self.since)
        return Increase(
            known_family(family, matchers), [row for row, _ in rows], np.array([value * seconds for _, value in rows])
        )

    async def increments(
        self,
        family: str,
        matchers: Mapping[str, str],
        start: float,
        end: float,
        step: float,
        stood: dict[tuple[str, ...], float] | None = None,  # noqa: ARG002
    ) -> Series:
        found = await self.series(family, matchers, start, end, step)
        return replace(found, values=found.values * found.step)

    async def close(self) -> None:
        """Nothing to close."""
