"""Energy per unit of work of a namespace: joules of all its pods over units done, in a sliding window.

The window evens out that counters of work are read now and then, and energy in every cycle. A cycle in which the
energy of a pod that works is unknown, or lacks a meter that was there before, tells nothing: neither its joules nor
its units are taken, for a quotient of half the energy would look like efficiency.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import numpy as np

from kcloud_exporter.derive.energy import Interval
from kcloud_exporter.derive.ledger import Ledger
from kcloud_exporter.model import Mask, Table
from kcloud_exporter.readings import Entities, Readings

WINDOW_SECONDS: Final = 300.0
_Done = dict[tuple[str, str], tuple[float, float]]


class EnergyPerWork:
    """The window of one cluster: per cycle and (namespace, unit) the joules and the units."""

    def __init__(self) -> None:
        self._window: deque[tuple[float, _Done]] = deque()
        self._entities: Entities | None = None
        self._pods: dict[tuple[str, str], list[int]] = {}
        self._indexed = 0

    def ratios(
        self, work: Table, watts: Table, readings: Readings, ledger: Ledger, span: Interval, now: float
    ) -> list[tuple[tuple[str, str, str], float]]:
        """(cluster, namespace, unit) → joules per unit. Absent when nothing was done or the energy is unknown now.

        `work` holds the units of this cycle by (cluster, namespace, pod, unit), `watts` the power of this cycle by
        (cluster, namespace); `now` is monotonic.
        """
        while self._window and self._window[0][0] <= now - WINDOW_SECONDS:
            self._window.popleft()
        shown = np.flatnonzero(~np.isnan(work.values)).tolist()
        if not shown:
            return []
        cluster = work.keys.rows[0][0]
        units: dict[tuple[str, str], float] = {}
        unknown: set[str] = set()
        known = ~np.isnan(ledger.pod_power).all(axis=1) & ~ledger.node_lacking[readings.entities.pod_node.view]
        for at in shown:
            _, namespace, pod, unit = work.keys.rows[at]
            done = float(work.values[at])
            units[namespace, unit] = units.get((namespace, unit), 0.0) + done
            if done > 0 and pod and not self._powered(namespace, pod, known, readings.entities):
                unknown.add(namespace)
        power = dict(zip((key[1] for key in watts.keys.rows), watts.values.tolist(), strict=False))
        cycle: _Done = {}
        for (namespace, unit), done in units.items():
            joules = power.get(namespace, math.nan) * span.seconds
            if span.seconds > 0 and not math.isnan(joules) and namespace not in unknown:
                cycle[namespace, unit] = (joules, done)
        self._window.append((now, cycle))
        return [((cluster, *key), ratio) for key in cycle if (ratio := self._ratio(key)) is not None]

    def _ratio(self, key: tuple[str, str]) -> float | None:
        both = [done[key] for _, done in self._window if key in done]
        units = math.fsum(u for _, u in both)
        return math.fsum(j for j, _ in both) / units if units > 0 else None

    def _powered(self, namespace: str, pod: str, known: Mask, entities: Entities) -> bool:
        """Whether the ledger knows the power of a pod, on whichever node it is."""
        if entities is not self._entities:
            self._entities, self._pods, self._indexed = entities, {}, 0
        for row in range(self._indexed, len(entities.pods)):
            self._pods.setdefault(entities.pods.keys[row][1:], []).append(row)
        self._indexed = len(entities.pods)
        return any(known[row] for row in self._pods.get((namespace, pod), ()))
