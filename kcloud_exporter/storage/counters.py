"""CounterStore: counters on disk (SQLite, WAL, synchronous=FULL), one transaction per cycle.

A cycle writes one BLOB of float64 per (scope, family) and only the label tuples that are new, so that a large
fleet costs megabytes and one fsync, not a row per counter. Every piece carries a checksum of its own: SQLite
checks its write-ahead log, but not the pages of the main file.

Damage is never answered with a silent reset: the file is set aside under another name, the newest backup that
is whole takes its place, and `recovered` tells it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import numpy as np

from kcloud_exporter.errors import StorageError
from kcloud_exporter.model import Floats

SCHEMA: Final = 1
_FILE, _LOCK, _BACKUP = "counters.sqlite", "lock", "counters.backup.sqlite"
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS labels (
  scope TEXT NOT NULL, family TEXT NOT NULL, first INTEGER NOT NULL, rows TEXT NOT NULL, checksum BLOB NOT NULL,
  PRIMARY KEY (scope, family, first)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS totals (
  scope TEXT NOT NULL, family TEXT NOT NULL, count INTEGER NOT NULL, extra TEXT NOT NULL, payload BLOB NOT NULL,
  checksum BLOB NOT NULL, PRIMARY KEY (scope, family)) STRICT, WITHOUT ROWID;
"""


@dataclass(slots=True)
class Stored:
    """The counters of one family of one scope: label tuples, their values, and what else belongs to them."""

    keys: list[tuple[str, ...]]
    values: Floats
    extra: dict[str, float] = field(default_factory=dict)


Books = Mapping[tuple[str, str], Stored]
"""(scope, family) → counters. A scope is a cluster or a site."""


class CounterStore:
    """The counters of one process on disk. One process at a time: a second one is refused."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.recovered = ""
        self._lock = _lock(folder)
        self._written: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = {}
        try:
            self._db, self._books = self._begin()
        except StorageError:
            self._lock.close()
            raise
        for key, stored in self._books.items():
            self._written[key] = _end(stored)

    def _begin(self) -> tuple[sqlite3.Connection, dict[tuple[str, str], Stored]]:
        try:
            db = _open(self._folder / _FILE)
            return db, _read(db)
        except (sqlite3.DatabaseError, DamageError) as exc:
            return self._recover(exc)

    def load(self) -> dict[tuple[str, str], Stored]:
        """Everything that was on disk when the store was opened."""
        return self._books

    def save(self, books: Books) -> None:
        """Write one cycle durably. On return it is on disk; on StorageError nothing of it is.

        Rows are append-only per (scope, family), or some are taken out and the others keep their order.
        """
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                for (scope, family), stored in books.items():
                    self._save(scope, family, stored)
        except sqlite3.Error as exc:
            raise StorageError(f"{self._folder / _FILE}: {exc}") from exc
        self._written.update({key: _end(stored) for key, stored in books.items()})

    def _save(self, scope: str, family: str, stored: Stored) -> None:
        before, last = self._written.get((scope, family), (0, ()))
        # Labels are unique and keep their order: where the last one stands still, none before it was taken out.
        if before and stored.keys[before - 1 : before] != [last]:
            self._db.execute("DELETE FROM labels WHERE scope = ? AND family = ?", (scope, family))
            before = 0
        if len(stored.keys) > before:
            rows = json.dumps(stored.keys[before:], ensure_ascii=False, separators=(",", ":"))
            self._db.execute(
                "INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?, ?)",
                (scope, family, before, rows, _checksum(scope, family, before, rows.encode())),
            )
        payload = stored.values.tobytes()
        extra = json.dumps(stored.extra, sort_keys=True)
        self._db.execute(
            "INSERT OR REPLACE INTO totals VALUES (?, ?, ?, ?, ?, ?)",
            (
                scope,
                family,
                len(stored.keys),
                extra,
                payload,
                _checksum(scope, family, len(stored.keys), payload + extra.encode()),
            ),
        )

    def backup(self) -> None:
        """A second copy beside the first, whole or not at all; what recovery falls back to."""
        target = self._folder / (_BACKUP + ".new")
        target.unlink(missing_ok=True)
        try:
            copy = sqlite3.connect(target)
            with copy:
                self._db.backup(copy)
            copy.close()
            with target.open("rb") as file:
                os.fsync(file.fileno())
            target.replace(self._folder / _BACKUP)
        except (sqlite3.Error, OSError) as exc:
            raise StorageError(f"{target}: {exc}") from exc

    def close(self) -> None:
        """Close the file and let another process have it."""
        self._db.close()
        self._lock.close()

    def _recover(self, damage: Exception) -> tuple[sqlite3.Connection, dict[tuple[str, str], Stored]]:
        """Set the damaged file aside and go on from the backup, or from nothing; say so either way."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        for suffix in ("", "-wal", "-shm"):
            path = self._folder / (_FILE + suffix)
            if path.exists():
                path.replace(self._folder / f"damaged-{stamp}-{_FILE}{suffix}")
        backup = self._folder / _BACKUP
        if backup.exists():
            shutil.copyfile(backup, self._folder / _FILE)
            try:
                db = _open(self._folder / _FILE)
                self.recovered = f"from the backup, because: {damage}"
                return db, _read(db)
            except (sqlite3.DatabaseError, DamageError) as exc:
                (self._folder / _FILE).replace(self._folder / f"damaged-{stamp}-{_BACKUP}")
                damage = exc
        self.recovered = f"from nothing, because: {damage}"
        return _open(self._folder / _FILE), {}


class DamageError(Exception):
    """A piece of the file is not what was written."""


def _end(stored: Stored) -> tuple[int, tuple[str, ...]]:
    """How many rows there are, and the last of them."""
    return len(stored.keys), stored.keys[-1] if stored.keys else ()


def _lock(folder: Path) -> IO[str]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")
    except OSError as exc:
        raise StorageError(f"{folder}: {exc.strerror}; give a folder that can be written with --storage.path") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        lock.close()
        raise StorageError(f"{folder} is in use by another kcloud-exporter; two would count everything twice") from exc
    return lock


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.executescript(_TABLES)
    found = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if found is None:
        db.execute("INSERT INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
    elif int(found[0]) > SCHEMA:
        db.close()
        raise StorageError(f"{path} was written by a newer version (schema {found[0]}, this one reads {SCHEMA})")
    return db


def _read(db: sqlite3.Connection) -> dict[tuple[str, str], Stored]:
    keys: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for scope, family, first, rows, checksum in db.execute("SELECT * FROM labels ORDER BY scope, family, first"):
        if checksum != _checksum(scope, family, first, rows.encode()):
            raise DamageError(f"labels of {family} of {scope}")
        known = keys.setdefault((scope, family), [])
        if len(known) != first:
            raise DamageError(f"labels of {family} of {scope} have a hole at {len(known)}")
        known.extend(map(tuple, json.loads(rows)))
    books: dict[tuple[str, str], Stored] = {}
    for scope, family, count, extra, payload, checksum in db.execute("SELECT * FROM totals"):
        if checksum != _checksum(scope, family, count, payload + extra.encode()):
            raise DamageError(f"values of {family} of {scope}")
        rows_of = keys.get((scope, family), [])
        values = np.frombuffer(payload, np.float64).copy()
        if not len(rows_of) == count == len(values):
            raise DamageError(f"{family} of {scope}: {len(rows_of)} labels, {len(values)} values, {count} expected")
        books[(scope, family)] = Stored(rows_of, values, json.loads(extra))
    return books


def _checksum(scope: str, family: str, number: int, data: bytes) -> bytes:
    head = f"{scope}\0{family}\0{number}\0".encode()
    return hashlib.blake2b(head + data, digest_size=16).digest()
