"""Counters of clusters and sites between the books in memory and the store on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from kcloud_exporter.derive.energy import EnergyBook, Progress, SiteBook, Totals
from kcloud_exporter.derive.work import WorkBook
from kcloud_exporter.model import Floats
from kcloud_exporter.storage.boot import boot_identity
from kcloud_exporter.storage.counters import CounterStore, DamagedError, Key, Stored

BACKUP_SECONDS: Final = 3600.0
_GAP, _SEEN, _MONOTONIC, _BOOT = "gap_seconds", "seen", "monotonic", "boot"
_META, _SAMPLES, _MARKS = "cluster", "last samples", "marks of work"
"""Families that are none: the state of a scope, the last samples of its sources' counters, and its marks of work."""
_NO_SAMPLES: Final = np.empty(0)


class Counters:
    """Hands out what was on disk, and writes what is in the books. Without a store everything stays in memory."""

    def __init__(self, store: CounterStore | None, now: float, boot: str | None = None) -> None:
        self._store, self._now = store, now
        self._boot = boot_identity() if boot is None else boot
        self._loaded: dict[Key, Stored] = store.load() if store else {}
        self._clusters: dict[str, EnergyBook] = {}
        self._sites: dict[str, SiteBook] = {}
        self._samples: dict[str, Floats] = {}

    def cluster(self, name: str) -> EnergyBook:
        """The book of a cluster, where it stopped. One that was removed and comes back continues."""
        book = self._clusters.get(name)
        if book is None:
            scope = f"cluster/{name}"
            meta = self._loaded.get((scope, _META))
            gap = float(meta.extra.get(_GAP, 0.0)) if meta else 0.0
            progress = self._progress(meta)
            away = 0.0 if progress.wall is None else max(0.0, self._now - progress.wall)
            book = self._clusters[name] = EnergyBook(self._totals(scope), gap, self._work(scope, away), progress)
        return book

    def _work(self, scope: str, away: float) -> WorkBook:
        stored = self._loaded.get((scope, _MARKS))
        marks = zip(stored.keys, stored.values.tolist(), strict=True) if stored else ()
        return WorkBook({key: mark for key, mark in marks if not math.isnan(mark)}, away)

    def site(self, name: str) -> SiteBook:
        """The counters of a site, where they stopped."""
        book = self._sites.get(name)
        if book is None:
            scope = f"site/{name}"
            book = SiteBook(self._totals(scope), self._progress(self._loaded.get((scope, _META))))
            self._sites[name] = book
        return book

    def last_samples(self, name: str) -> Floats:
        """The last samples of a cluster's counters as they were given to `save`; none of another boot."""
        known = self._samples.get(name)
        if known is not None:
            return known
        scope = f"cluster/{name}"
        stored = self._loaded.get((scope, _SAMPLES))
        same_boot = self._progress(self._loaded.get((scope, _META))).monotonic is not None
        return stored.values if stored is not None and same_boot else _NO_SAMPLES

    def _progress(self, meta: Stored | None) -> Progress:
        """Up to when a scope was counted. A monotonic time says something in the boot that it is of, and no other."""
        if meta is None:
            return Progress()
        wall, monotonic = meta.extra.get(_SEEN), meta.extra.get(_MONOTONIC)
        same_boot = bool(self._boot) and meta.extra.get(_BOOT) == self._boot
        return Progress(
            float(monotonic) if monotonic is not None and same_boot else None,
            float(wall) if wall is not None else None,
        )

    def _totals(self, scope: str) -> dict[str, Totals]:
        return {
            family: Totals(stored.keys, stored.values, self._now)
            for (of, family), stored in self._loaded.items()
            if of == scope and family not in (_META, _SAMPLES, _MARKS)
        }

    def save(
        self,
        clusters: Mapping[str, EnergyBook],
        sites: Mapping[str, SiteBook],
        samples: Mapping[str, Floats] | None = None,
    ) -> str:
        """Write one cycle durably. Raises StorageError.

        Returns what was wrong with the store and had to be repaired; empty when nothing was.
        """
        self._samples.update(samples or {})
        if self._store is None:
            return ""
        try:
            self._store.save(self._stored(clusters, sites))
        except DamagedError as exc:
            # What no book in memory holds, a cluster that was removed before this process began, stands as loaded.
            everything = self._loaded | self._stored(self._clusters, self._sites)
            self._store.rewrite(everything, str(exc))
            return self._store.recovered
        return ""

    def _stored(self, clusters: Mapping[str, EnergyBook], sites: Mapping[str, SiteBook]) -> dict[Key, Stored]:
        stored: dict[Key, Stored] = {}
        for name, book in clusters.items():
            scope = f"cluster/{name}"
            stored[(scope, _META)] = Stored([], _NO_SAMPLES, {_GAP: book.gap_seconds, **self._times(book.progress)})
            stored[(scope, _SAMPLES)] = Stored([], self._samples.get(name, _NO_SAMPLES))
            stored[(scope, _MARKS)] = Stored(*book.work.marks())
            stored.update(_families(scope, book.totals))
        for name, site in sites.items():
            scope = f"site/{name}"
            stored[(scope, _META)] = Stored([], _NO_SAMPLES, self._times(site.progress))
            stored.update(_families(scope, site.totals))
        return stored

    def _times(self, progress: Progress) -> dict[str, float | str]:
        times: dict[str, float | str] = {}
        if progress.wall is not None:
            times[_SEEN] = progress.wall
        if progress.monotonic is not None:
            times |= {_MONOTONIC: progress.monotonic, _BOOT: self._boot}
        return times

    def backup(self, now: float) -> None:
        """Make a backup if the last one is old. Raises StorageError."""
        if self._store is not None and self._store.backup_age(now) > BACKUP_SECONDS:
            self._store.backup()

    def close(self) -> None:
        """Let another process have the store."""
        if self._store is not None:
            self._store.close()


def _families(scope: str, totals: Mapping[str, Totals]) -> dict[Key, Stored]:
    return {(scope, family): Stored(t.keys, t.values) for family, t in totals.items()}
