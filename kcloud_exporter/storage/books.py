"""Counters of clusters and sites between the books in memory and the store on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from kcloud_exporter.derive.energy import EnergyBook, Totals
from kcloud_exporter.derive.work import WorkBook
from kcloud_exporter.storage.counters import CounterStore, Stored

BACKUP_SECONDS: Final = 3600.0
_GAP, _SEEN = "gap_seconds", "seen"
_META, _MARKS = "cluster", "marks of work"


class Counters:
    """Hands out what was on disk, and writes what is in the books. Without a store everything stays in memory."""

    def __init__(self, store: CounterStore | None, now: float) -> None:
        self._store, self._now = store, now
        self._loaded: dict[tuple[str, str], Stored] = store.load() if store else {}
        self._books: dict[str, EnergyBook] = {}
        self._sites: dict[str, dict[str, Totals]] = {}
        self._backed_up = now

    def cluster(self, name: str) -> EnergyBook:
        """The book of a cluster, where it stopped. One that was removed and comes back continues.

        The time between the last write and now is a gap: nobody saw what was drawn in it.
        """
        known = self._books.get(name)
        if known is not None:
            return known
        scope = f"cluster/{name}"
        meta = self._loaded.get((scope, _META))
        gap = away = 0.0
        if meta is not None:
            away = max(0.0, self._now - meta.extra.get(_SEEN, self._now))
            gap = meta.extra.get(_GAP, 0.0) + away
        book = self._books[name] = EnergyBook(self._totals(scope), gap, self._work(scope, away))
        return book

    def _work(self, scope: str, away: float) -> WorkBook:
        stored = self._loaded.get((scope, _MARKS))
        marks = zip(stored.keys, stored.values.tolist(), strict=True) if stored else ()
        return WorkBook({key: mark for key, mark in marks if not math.isnan(mark)}, away)

    def site(self, name: str) -> dict[str, Totals]:
        """The counters of a site by family."""
        if name not in self._sites:
            self._sites[name] = self._totals(f"site/{name}")
        return self._sites[name]

    def _totals(self, scope: str) -> dict[str, Totals]:
        return {
            family: Totals(stored.keys, stored.values, self._now)
            for (of, family), stored in self._loaded.items()
            if of == scope and family not in (_META, _MARKS)
        }

    def save(self, clusters: Mapping[str, EnergyBook], sites: Mapping[str, Mapping[str, Totals]], now: float) -> None:
        """Write one cycle durably. Raises StorageError."""
        if self._store is None:
            return
        books: dict[tuple[str, str], Stored] = {}
        for name, book in clusters.items():
            scope = f"cluster/{name}"
            books[(scope, _META)] = Stored([], Totals().values, {_GAP: book.gap_seconds, _SEEN: now})
            books.update({(scope, family): Stored(t.keys, t.values) for family, t in book.totals.items()})
            books[(scope, _MARKS)] = Stored(*book.work.marks())
        for name, families in sites.items():
            books.update({(f"site/{name}", family): Stored(t.keys, t.values) for family, t in families.items()})
        self._store.save(books)
        if now - self._backed_up > BACKUP_SECONDS:
            self._backed_up = now
            self._store.backup()

    def close(self) -> None:
        """Let another process have the store."""
        if self._store is not None:
            self._store.close()
