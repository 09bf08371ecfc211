"""Provenance: where the numbers of a file come from, told inside the file itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from kcloud_exporter import __version__, catalogue
from kcloud_exporter.history.kept import FINE
from kcloud_exporter.history.series import MAX_POINTS, History
from kcloud_exporter.model import Floats
from kcloud_exporter.units import rfc3339

COMPLETE: Final = 0.999
"""From this part on a window counts as complete."""
_PIECE: Final = 10_000 * FINE


@dataclass(frozen=True, slots=True)
class Origin:
    """What a running program says of itself: the digest of its configuration, its policies, and its clusters."""

    config_sha256: str
    ledger: tuple[tuple[str, str], ...]
    clusters: tuple[str, ...]
    history: str
    sites: tuple[tuple[str, str], ...] = ()
    """Cluster and its site."""
    zones: tuple[tuple[str, str], ...] = ()
    """Site and the time zone of its tariff."""
    interval: float = FINE
    """Seconds from one cycle to the next."""

    def site_of(self, cluster: str) -> str:
        """The site of a cluster; one that is not configured stands alone."""
        return dict(self.sites).get(cluster, cluster)

    def zone(self, cluster: str | None) -> str:
        """The time zone of the cluster's site, or of the first site that has one; UTC otherwise."""
        zones = dict(self.zones)
        mine = [cluster] if cluster is not None else self.clusters
        return next((zones[self.site_of(name)] for name in mine if self.site_of(name) in zones), "UTC")


async def coverage(
    history: History, cluster: str | None, start: float, end: float, interval: float = FINE
) -> dict[str, Floats]:
    """Cluster → a value per minute of the window: the part of its nodes that was measured, 0 where nothing is known.

    A cycle speaks for the minutes until the next one, `interval` seconds later. A cluster that is never seen in the
    window is not there.
    """
    spoken_for = min(max(math.ceil(interval / FINE - 1e-9) - 1, 0), int(start // FINE))
    start -= spoken_for * FINE
    points = max(math.ceil((end - start) / FINE - 1e-9), 1)
    found: dict[str, Floats] = {}
    matchers = {"cluster": cluster} if cluster is not None else {}
    per = min(MAX_POINTS, int(_PIECE / FINE))
    for first in range(0, points, per):
        last = min(first + per, points)
        piece = await history.series(
            catalogue.CLUSTER_COMPLETENESS.name, matchers, start + first * FINE, start + last * FINE, FINE
        )
        for labels, values in zip(piece.labels, piece.values, strict=True):
            found.setdefault(labels[0], np.full(points, np.nan))[first:last] = values
    return {name: np.nan_to_num(_held(row, spoken_for)[spoken_for:]) for name, row in found.items()}


def _held(values: Floats, minutes: int) -> Floats:
    """Each known value held on for so many unknown minutes after it."""
    at = np.arange(len(values))
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, at))
    held: Floats = np.where((last >= 0) & (at - last <= minutes), values[last], np.nan)
    return held


def provenance(
    origin: Origin,
    *,
    dataset: str,
    start: float,
    end: float,
    step: float,
    filters: Mapping[str, str],
    completeness: Mapping[str, float],
    generated_at: float,
) -> dict[str, Any]:
    """All that is told of a file's origin before its rows are known."""
    least = min(completeness.values(), default=0.0)
    return {
        "program": "kcloud-exporter",
        "version": __version__,
        "config_sha256": origin.config_sha256,
        "ledger": dict(origin.ledger),
        "history": origin.history,
        "generated_at": rfc3339(generated_at, "seconds"),
        "dataset": dataset,
        "window": {
            "start": rfc3339(start, "seconds"),
            "end": rfc3339(end, "seconds"),
            "step_seconds": step,
            "timezone": "UTC",
        },
        "filters": dict(filters),
        "completeness": {name: round(ratio, 6) for name, ratio in sorted(completeness.items())},
        "complete": bool(completeness) and least >= COMPLETE,
        "units": "base units: watts, joules, seconds, bytes, celsius, ratios from 0 to 1",
        "absent": "an empty value is unknown, never nought",
    }
