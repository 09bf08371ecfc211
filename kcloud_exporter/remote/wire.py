"""Wire: a snapshot as messages of remote write 1.0 (protobuf, before snappy).

    WriteRequest { 1: TimeSeries* }   TimeSeries { 1: Label*, 2: Sample }   Label { 1: name, 2: value }
    Sample { 1: value (double), 2: timestamp (int64, ms) }

All samples of a message have one timestamp, so that everything of a series but its value can be kept from cycle to
cycle. What vanishes is sent once more as a stale marker, so that it ends at once and not after five minutes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np

from kcloud_exporter.catalogue import Family
from kcloud_exporter.exposition.renderer import families_of
from kcloud_exporter.model import Floats, Keys, Mask, Snapshot, Table

BATCH: Final = 10_000
"""Series in one message."""
STALE: Final = struct.pack("<Q", 0x7FF0000000000002)
"""The NaN by which Prometheus knows that a series has ended."""
_STAMP_BYTES: Final = 6
"""Length of a timestamp of our time (2004 to 2109) in milliseconds as a varint."""


def varint(number: int) -> bytes:
    """A protobuf varint of a number that is not negative."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(payload)) + payload


def _label(name: str, value: str) -> bytes:
    return _field(1, _field(1, name.encode()) + _field(2, value.encode("utf-8", "replace")))


class Encoder:
    """Turns snapshots into messages. Owns the encoded labels of every series, and what was shown last."""

    def __init__(self, external_labels: dict[str, str]) -> None:
        self._external = external_labels
        self._series: WeakKeyDictionary[Keys, dict[str, list[bytes]]] = WeakKeyDictionary()
        self._shown: dict[tuple[str, str], tuple[Keys, Mask]] = {}

    def messages(self, snapshot: Snapshot) -> Iterator[tuple[bytes, int]]:
        """(message, how many series are in it) of one snapshot, in the order of the catalogue."""
        pieces: list[bytes] = []
        for series, values in self._families(snapshot):
            pieces += _time_series(series, values, snapshot.timestamp)
            while len(pieces) >= 4 * BATCH:
                yield b"".join(pieces[: 4 * BATCH]), BATCH
                pieces = pieces[4 * BATCH :]
        if pieces:
            yield b"".join(pieces), len(pieces) // 4

    def _families(self, snapshot: Snapshot) -> Iterator[tuple[list[bytes], list[bytes]]]:
        seen = set()
        for family in families_of(snapshot):
            for scope, tables in (("", snapshot.fleet), *((c.name, c.tables) for c in snapshot.clusters.values())):
                table = tables.get(family.name)
                if table is not None:
                    seen.add((family.name, scope))
                    yield from self._table(family, scope, table)
        for key in self._shown.keys() - seen:
            keys, was = self._shown.pop(key)
            known = self._series.get(keys, {}).get(key[0], [])
            ended = [known[row] for row in np.flatnonzero(was).tolist()]
            yield ended, [STALE] * len(ended)

    def _table(self, family: Family, scope: str, table: Table) -> Iterator[tuple[list[bytes], list[bytes]]]:
        series = self._encoded(family, table.keys, len(table.values))
        shown = np.isfinite(table.values)
        at = np.flatnonzero(shown).tolist()
        yield [series[row] for row in at], _doubles(table.values[shown])
        ended = self._ended(family, scope, table.keys, shown)
        yield ended, [STALE] * len(ended)
        self._shown[family.name, scope] = (table.keys, shown)

    def _ended(self, family: Family, scope: str, keys: Keys, shown: Mask) -> list[bytes]:
        """The series that were shown in the snapshot before, and are not now."""
        before, was = self._shown.get((family.name, scope), (keys, np.zeros(0, bool)))
        known = self._series.get(before, {}).get(family.name, [])
        if before is keys:
            gone = was & ~shown[: len(was)]
            return [known[row] for row in np.flatnonzero(gone).tolist()]
        now = {keys.rows[row] for row in np.flatnonzero(shown).tolist()}
        return [known[row] for row in np.flatnonzero(was).tolist() if before.rows[row] not in now]

    def _encoded(self, family: Family, keys: Keys, count: int) -> list[bytes]:
        known = self._series.setdefault(keys, {}).setdefault(family.name, [])
        known.extend(self._head(family, row) for row in keys.rows[len(known) : count])
        return known

    def _head(self, family: Family, row: tuple[str, ...]) -> bytes:
        """A series up to its sample. Labels are sorted and empty ones left out, as receivers demand."""
        labels = {**self._external, **dict(zip(family.labels, row, strict=True)), "__name__": family.name}
        body = b"".join(_label(name, value) for name, value in sorted(labels.items()) if value)
        return b"\x0a" + varint(len(body) + _SAMPLE_BYTES) + body


_SAMPLE_BYTES: Final = 2 + 1 + 8 + 1 + _STAMP_BYTES


def _time_series(series: list[bytes], values: list[bytes], timestamp: float) -> list[bytes]:
    stamp = varint(round(timestamp * 1000))
    if len(stamp) != _STAMP_BYTES:
        raise ValueError(f"{timestamp} is no time of our days")
    parts: list[bytes] = [b"\x12" + bytes((_SAMPLE_BYTES - 2,)) + b"\x09"] * (4 * len(series))
    parts[0::4] = series
    parts[2::4] = values
    parts[3::4] = [b"\x10" + stamp] * len(series)
    return parts


def _doubles(values: Floats) -> list[bytes]:
    data = np.ascontiguousarray(values, "<f8").tobytes()
    return [data[at : at + 8] for at in range(0, len(data), 8)]
