"""Pieces: how counters stand in a SQLite file, and how everything that is read is checked.

    meta     'schema' → its number; 'head' → schema, cycle and a digest over all totals
    labels   label tuples of a (scope, family), appended piece by piece, each with a checksum
    totals   values of a (scope, family), with a checksum over them and over the checksums of their labels

SQLite checks its log, but not the pages of the main file, and a page may vanish as a whole; the head tells.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from kcloud_exporter.model import Floats

SCHEMA: Final = 2
TABLES: Final = (
    "DROP TABLE IF EXISTS meta",
    "DROP TABLE IF EXISTS labels",
    "DROP TABLE IF EXISTS totals",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    """CREATE TABLE labels (
  scope TEXT NOT NULL, family TEXT NOT NULL, first INTEGER NOT NULL, rows TEXT NOT NULL, checksum BLOB NOT NULL,
  PRIMARY KEY (scope, family, first)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE totals (
  scope TEXT NOT NULL, family TEXT NOT NULL, count INTEGER NOT NULL, extra TEXT NOT NULL, payload BLOB NOT NULL,
  checksum BLOB NOT NULL, PRIMARY KEY (scope, family)) STRICT, WITHOUT ROWID""",
)
"""What makes an empty set of tables."""
_DISK: Final = frozenset(
    (
        *(sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM),
        *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN),
    )
)
TIMES: Final = frozenset(("seen", "monotonic", "boot"))
"""What `extra` calls the time up to which the counters of a scope count."""
Key = tuple[str, str]
"""(scope, family). A scope is a cluster or a site."""


@dataclass(slots=True)
class Stored:
    """The counters of one family of one scope: label tuples, their values, and what else belongs to them.

    Without any labels the values are bare numbers.
    """

    keys: list[tuple[str, ...]]
    values: Floats
    extra: dict[str, float | str] = field(default_factory=dict)

    def without_time(self) -> Stored:
        """The same, silent about up to when it counts: beside newer counters it would let time count twice."""
        return replace(self, extra={name: value for name, value in self.extra.items() if name not in TIMES})


Books = Mapping[Key, Stored]


@dataclass(slots=True)
class Copy:
    """What one file holds. `faults` names everything in it that is not what was written; without any it is whole."""

    origin: str
    schema: int = 0
    cycle: int = -1
    books: dict[Key, Stored] = field(default_factory=dict)
    chains: dict[Key, bytes] = field(default_factory=dict)
    sums: dict[Key, bytes] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """A file that has never been written to."""
        return not self.schema and not self.faults


class NewerSchemaError(Exception):
    """A later version of the program has written the file; the argument is its schema."""


def checksum(scope: str, family: str, number: int, data: bytes) -> bytes:
    """16 bytes that tell this piece from any other."""
    head = f"{scope}\0{family}\0{number}\0".encode()
    return hashlib.blake2b(head + data, digest_size=16).digest()


def chained(chain: bytes, piece: bytes) -> bytes:
    """The checksum of all pieces of labels so far."""
    return hashlib.blake2b(chain + piece, digest_size=16).digest()


def head_of(cycle: int, sums: Mapping[Key, bytes]) -> str:
    """The head of a file: proves that every total stands in it, and of which cycle they are."""
    digest = hashlib.blake2b(digest_size=16)
    for (scope, family), piece in sorted(sums.items()):
        digest.update(f"{scope}\0{family}\0".encode() + piece)
    text = json.dumps({"schema": SCHEMA, "cycle": cycle, "totals": digest.hexdigest()})
    return f"{checksum('', 'head', 0, text.encode()).hex()} {text}"


def read_copy(db: sqlite3.Connection, origin: str) -> Copy:
    """Everything that can be read and is what was written.

    Raises NewerSchemaError; sqlite3.Error where the disk, and not the file, is the trouble.
    """
    db.text_factory = lambda text: text.decode("utf-8", "replace")
    copy = Copy(origin)
    if not _has_tables(db, copy):
        return copy
    meta = {row[0]: row[1] for row in _rows(db, "meta", "key", copy)}
    head = _head(meta.get("head"))
    _schema(copy, meta.get("schema"), head)
    labels = _labels(db, copy)
    for row in _rows(db, "totals", "scope, family", copy):
        try:
            _total(copy, labels, *row)
        except (TypeError, AttributeError, ValueError):
            copy.faults.append("a row of totals")
    if copy.schema == 1:
        copy.cycle = 0
    elif head is None:
        copy.faults.append("the head")
    else:
        copy.cycle = int(head["cycle"])
        if meta["head"] != head_of(copy.cycle, copy.sums) and not copy.faults:
            copy.faults.append("totals are missing")
    return copy


def raise_if_disk(exc: Exception) -> None:
    """Raise the error again when it speaks of the disk, of rights or of memory, and not of what a file holds."""
    if (getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF) in _DISK:
        raise exc


def _has_tables(db: sqlite3.Connection, copy: Copy) -> bool:
    """Whether there is something to read. A file without any table has never been written to."""
    try:
        found = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except (sqlite3.Error, UnicodeDecodeError) as exc:  # the message itself may quote a damaged schema
        raise_if_disk(exc)
        copy.faults.append(str(exc))
        return False
    if found and "meta" not in found:
        copy.faults.append("no table meta")
    return "meta" in found


def _rows(db: sqlite3.Connection, table: str, order: str, copy: Copy) -> Iterator[tuple[Any, ...]]:
    """The rows of a table from its begin; where that ends at a damaged page, those from its end as well."""
    seen = 0
    for direction in ("ASC", "DESC"):
        columns = ", ".join(f"{column} {direction}" for column in order.split(", "))
        try:
            for row in db.execute(f"SELECT * FROM {table} ORDER BY {columns}"):  # noqa: S608 - our own names
                seen += 1
                yield row
        except (sqlite3.Error, UnicodeDecodeError) as exc:
            raise_if_disk(exc)
            if direction == "ASC":
                copy.faults.append(f"{table}: {exc}")
        else:
            return


def _schema(copy: Copy, text: str | None, head: dict[str, Any] | None) -> None:
    number = int(text) if isinstance(text, str) and text.isascii() and text.isdecimal() else 0
    told = int(head["schema"]) if head is not None else number
    if not number or number != told:
        copy.faults.append("the schema")
        number = told or SCHEMA
    elif number > SCHEMA:
        raise NewerSchemaError(number)
    copy.schema = number


def _head(text: str | None) -> dict[str, Any] | None:
    """The fields of a head that is what was written, or None."""
    found, _, body = (text or "").partition(" ")
    if found != checksum("", "head", 0, body.encode()).hex():
        return None
    fields: dict[str, Any] = json.loads(body)
    return fields


def _labels(db: sqlite3.Connection, copy: Copy) -> dict[Key, list[tuple[str, ...]]]:
    """The label tuples of each (scope, family), as far as they are whole; notes the checksum of their pieces."""
    pieces: dict[Key, dict[int, tuple[str, bytes]]] = {}
    for scope, family, first, rows, found in _rows(db, "labels", "scope, family, first", copy):
        pieces.setdefault((scope, family), {})[first] = (rows, found)
    labels: dict[Key, list[tuple[str, ...]]] = {}
    for key, of in pieces.items():
        known = labels[key] = []
        while len(known) in of:
            first = len(known)
            rows, found = of[first]
            if not isinstance(rows, str) or found != checksum(*key, first, rows.encode()):
                break
            known.extend(map(tuple, json.loads(rows)))
            copy.chains[key] = chained(copy.chains.get(key, b""), found)
    return labels


def _total(
    copy: Copy,
    labels: Mapping[Key, list[tuple[str, ...]]],
    scope: str,
    family: str,
    count: int,
    extra: str,
    payload: bytes,
    found: bytes,
) -> None:
    key, keys = (scope, family), labels.get((scope, family), [])
    # Schema 1 has no checksum over the labels of a total.
    chain = copy.chains.get(key, b"") if copy.schema > 1 else b""
    if found != checksum(scope, family, count, chain + payload + extra.encode()) or len(keys) != count:
        copy.faults.append(f"{family} of {scope}")
        return
    values = np.frombuffer(payload, np.float64).copy()
    copy.books[key] = Stored(keys, values, json.loads(extra))
    copy.sums[key] = found
