"""CounterStore: counters on disk (SQLite, WAL, synchronous=FULL), one transaction per cycle.

A cycle writes one BLOB of float64 per (scope, family) and only the label tuples that are new, so that a large
fleet costs megabytes and one fsync, not a row per counter. Every piece carries a checksum of its own, and the
number of the last cycle stands beside the store as well (see `mark`), so that nothing is lost unnoticed.

Damage is never answered with a silent reset: the files are set aside under other names, the best that all copies
hold together takes their place, and `recovered` tells it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from kcloud_exporter.errors import StorageError
from kcloud_exporter.storage.mark import Mark, MarkDamageError
from kcloud_exporter.storage.pieces import (
    SCHEMA,
    TABLES,
    Books,
    Copy,
    Key,
    NewerSchemaError,
    Stored,
    chained,
    checksum,
    head_of,
)
from kcloud_exporter.storage.recovery import BACKUP, MAIN, NEW, best_of, log_of, read_alone, read_main, set_aside

__all__ = ["Books", "CounterStore", "DamagedError", "Key", "Stored"]

_LOCK: Final = "lock"
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class _Written:
    """What stands in the file: its cycle; per family how many rows and the last of them; the checksums."""

    cycle: int
    rows: dict[Key, tuple[int, tuple[str, ...]]]
    chains: dict[Key, bytes]
    sums: dict[Key, bytes]


class DamagedError(StorageError):
    """The file on disk can no longer be written to as it is: `rewrite` everything."""


class CounterStore:
    """The counters of one process on disk. One process at a time: a second one is refused."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.recovered = ""
        self._written = _Written(0, {}, {}, {})
        self._books: dict[Key, Stored] = {}
        self._inode = 0
        self._backup_is_whole = True
        with contextlib.ExitStack() as stack:
            stack.enter_context(_lock(folder))
            self._mark = Mark(folder)
            stack.callback(self._mark.close)
            try:
                self._db = self._begin()
                self._mark.write(self.cycle)
            except NewerSchemaError as exc:
                newer = f"was written by a newer version (schema {exc}, this one reads {SCHEMA})"
                raise StorageError(f"{folder / MAIN} {newer}; run that version, or give another folder") from exc
            except (sqlite3.Error, OSError) as exc:
                raise StorageError(f"{folder / MAIN}: {exc}; it must be readable and writable") from exc
            self._closing = stack.pop_all()

    @property
    def cycle(self) -> int:
        """The number of the cycle that is on disk."""
        return self._written.cycle

    def _begin(self) -> sqlite3.Connection:
        main, backup = read_main(self._folder), self._checked_backup()
        told = max(self._last_cycle(), backup.cycle)
        without_its_log = main.empty and log_of(self._folder)
        if main.faults or max(main.cycle, 0) < told or without_its_log or (main.empty and not backup.empty):
            damage = "; ".join(main.faults) or f"cycle {told} was on disk, {MAIN} ends at {max(main.cycle, 0)}"
            return self._recover(main, backup, told, damage)
        self._books = main.books
        db = self._connect()
        if main.schema == SCHEMA:
            rows = {key: _end(stored) for key, stored in main.books.items()}
            self._written = _Written(main.cycle, rows, main.chains, main.sums)
        else:
            # A new file, or one of schema 1: one transaction, so that it is the one or the other.
            self._written = _commit(db, _Written(0, {}, {}, {}), main.books, anew=True)
        return db

    def _last_cycle(self) -> int:
        """What the mark tells, 0 when it tells nothing; one that is damaged is told."""
        try:
            return self._mark.read()
        except MarkDamageError as exc:
            self.recovered = f"from {MAIN} as it is, because: {exc}"
            return 0

    def _checked_backup(self) -> Copy:
        """The backup, proved now: when it is needed it is too late. One that is damaged is told."""
        backup = read_alone(self._folder / BACKUP, "the backup")
        if backup.faults:
            self._backup_is_whole = False
            self.recovered = f"from {MAIN} as it is, because: {BACKUP}: {'; '.join(backup.faults)}"
        return backup

    def _recover(self, main: Copy, backup: Copy, told: int, damage: str) -> sqlite3.Connection:
        """Go on from the best that there is, and say so. The damaged files stay as they are until it is written."""
        self._books, source, cycle = best_of(self._folder, main, backup)
        cycle = max(cycle, 0)
        lost = f"; what was added in cycles {cycle + 1} to {told} is lost" if told > cycle else ""
        self.recovered = f"from {source}, because: {damage}{lost}"
        return self._replace(self._books, max(cycle, told))

    def load(self) -> dict[Key, Stored]:
        """Everything that was on disk when the store was opened."""
        return self._books

    def save(self, books: Books) -> None:
        """Write one cycle durably. On return it is on disk; on StorageError nothing of it is.

        Rows are append-only per (scope, family), or some are taken out and the others keep their order.
        Raises DamagedError when only `rewrite` can help.
        """
        try:
            if _inode(self._folder / MAIN) != self._inode:
                raise DamagedError(f"{self._folder / MAIN} is no longer the file that was opened")
            self._written = self._committed(books)
        except sqlite3.Error as exc:
            kind = DamagedError if getattr(exc, "sqlite_errorcode", 0) & 0xFF in _DAMAGE else StorageError
            raise kind(f"{self._folder / MAIN}: {exc}") from exc
        self._mark.write(self.cycle)

    def _committed(self, books: Books) -> _Written:
        """Write one cycle; on a full disk once more, after the log's room has been given back to it.

        In a steady fleet the main file has room for everything, so that even a full disk takes every cycle.
        """
        try:
            return _commit(self._db, self._written, books)
        except sqlite3.Error as exc:
            if getattr(exc, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL:
                raise
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return _commit(self._db, self._written, books)

    def rewrite(self, books: Books, reason: str) -> None:
        """Set the damaged files aside and write everything anew; `books` must hold all. Raises StorageError."""
        try:
            self._db = self._replace(books, self.cycle)
        except (sqlite3.Error, OSError) as exc:
            raise StorageError(f"{self._folder / NEW}: {exc}") from exc
        self.recovered = f"from memory, because: {reason}"

    def backup(self) -> None:
        """A second copy beside the first, whole or not at all; what recovery falls back to. Raises StorageError."""
        target = self._folder / f"{BACKUP}.new"
        try:
            target.unlink(missing_ok=True)
            with contextlib.closing(sqlite3.connect(target)) as copy:
                self._db.backup(copy)
            _sync(target)
            target.replace(self._folder / BACKUP)
            self._backup_is_whole = True
        except (sqlite3.Error, OSError) as exc:
            with contextlib.suppress(OSError):
                target.unlink(missing_ok=True)
            raise StorageError(f"{target}: {exc}") from exc

    def backup_age(self, now: float) -> float:
        """Seconds since the backup was made, by the file's own time; infinite when there is none that is any good."""
        try:
            age = now - (self._folder / BACKUP).stat().st_mtime
        except OSError:
            return float("inf")
        return age if age >= 0 and self._backup_is_whole else float("inf")

    def close(self) -> None:
        """Close the file and let another process have it."""
        self._db.close()
        self._closing.close()

    def _connect(self) -> sqlite3.Connection:
        path = self._folder / MAIN
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            # Only we use the file, so its index needs no shared memory, which a full disk would take from under us.
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
        except BaseException:
            db.close()
            raise
        self._inode = _inode(path)
        return db

    def _replace(self, books: Books, cycle: int) -> sqlite3.Connection:
        """Write everything into a new file and put it in the place of the damaged ones, which are set aside."""
        part, new = self._folder / f"{NEW}.part", self._folder / NEW
        part.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as db:
            written = _commit(db, _Written(cycle, {}, {}, {}), books, anew=True)
        _sync(part)
        part.replace(new)
        set_aside(self._folder, [MAIN, f"{MAIN}-wal", f"{MAIN}-shm"])
        old: sqlite3.Connection | None = getattr(self, "_db", None)
        if old is not None:
            with contextlib.suppress(sqlite3.Error):
                old.close()
        new.replace(self._folder / MAIN)
        _sync(self._folder)
        db = self._connect()
        self._written = written
        self._mark.write(written.cycle)
        return db


def _commit(db: sqlite3.Connection, written: _Written, books: Books, *, anew: bool = False) -> _Written:
    """Write one cycle in one transaction, into tables that are made anew where so said. Returns what stands then."""
    rows, chains, sums = dict(written.rows), dict(written.chains), dict(written.sums)
    with db:
        db.execute("BEGIN IMMEDIATE")
        if anew:
            for statement in TABLES:
                db.execute(statement)
        for key, stored in books.items():
            chains[key] = _labels(db, key, stored, rows.get(key, (0, ())), chains.get(key, b""))
            extra, payload = json.dumps(stored.extra, sort_keys=True), stored.values.tobytes()
            rows[key], count = _end(stored), len(stored.keys)
            sums[key] = checksum(*key, count, chains[key] + payload + extra.encode())
            db.execute(
                "INSERT OR REPLACE INTO totals VALUES (?, ?, ?, ?, ?, ?)", (*key, count, extra, payload, sums[key])
            )
        head = head_of(written.cycle + 1, sums)
        db.execute("INSERT OR REPLACE INTO meta VALUES ('head', ?), ('schema', ?)", (head, str(SCHEMA)))
    return _Written(written.cycle + 1, rows, chains, sums)


def _end(stored: Stored) -> tuple[int, tuple[str, ...]]:
    """How many rows there are, and the last of them."""
    return len(stored.keys), stored.keys[-1] if stored.keys else ()


def _labels(
    db: sqlite3.Connection, key: Key, stored: Stored, written: tuple[int, tuple[str, ...]], chain: bytes
) -> bytes:
    """Write the label tuples that are not on disk yet. Returns the checksum of all of them."""
    before, last = written
    # Labels are unique and keep their order: where the last one stands still, none before it was taken out.
    if before and stored.keys[before - 1 : before] != [last]:
        db.execute("DELETE FROM labels WHERE scope = ? AND family = ?", key)
        before, chain = 0, b""
    if len(stored.keys) > before:
        rows = json.dumps(stored.keys[before:], ensure_ascii=False, separators=(",", ":"))
        piece = checksum(*key, before, rows.encode())
        db.execute("INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?, ?)", (*key, before, rows, piece))
        chain = chained(chain, piece)
    return chain


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


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
