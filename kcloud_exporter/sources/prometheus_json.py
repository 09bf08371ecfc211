"""The answers of the query API: instant vectors and matrices → columns. No I/O.

The raw bytes of a `metric` object are the key of its series, so that a steady answer costs one typed decode, one
look-up per series and one bulk conversion of the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Final

import msgspec
import numpy as np

from kcloud_exporter.errors import SourceError
from kcloud_exporter.model import Floats, Rows
from kcloud_exporter.sources import numbers
from kcloud_exporter.sources.series import NOT_UTF8, LineOrder, Parsed, SeriesIndex, columns

_PIECE_BYTES = 1 << 20
_METRIC: Final = b'{"metric":'
"""Begins an element, and nothing else: within a JSON string its quotes would be escaped."""


class _Sample(msgspec.Struct, gc=False):
    metric: msgspec.Raw
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] | None = None


class _Data(msgspec.Struct):
    result_type: str = msgspec.field(name="resultType")
    result: msgspec.Raw = msgspec.Raw(b"[]")


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    error_type: str = msgspec.field(name="errorType", default="")
    error: str = ""
    warnings: list[str] | None = None


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one piece of an answer gave: slot, value and (of a matrix) timestamp of every sample."""

    slots: Rows
    values: Floats
    timestamps: Floats | None
    followed: bool


_ANSWER = msgspec.json.Decoder(_Answer)
_SAMPLES = msgspec.json.Decoder(list[_Sample])
_LABELS = msgspec.json.Decoder(dict[str, str])
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LONE_SURROGATE: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def parse_vector(body: bytes, index: SeriesIndex, page: int = 0) -> Parsed:
    """Read one answer of `/api/v1/query`. New series are added to the index and its table.

    An instant vector is evaluated at one time, which says nothing of the samples' age: it has no timestamps.
    A matrix (a range selector) gives the newest sample of each series with its own timestamp.
    Raises SourceError: `query_error`, `parse`, `series_limit`.
    """
    answer = _decode_envelope(body)
    if answer.status != "success" or answer.data is None:
        raise SourceError("query_error", f"{answer.error_type}: {answer.error[:500]}")
    kind = answer.data.result_type
    if kind not in ("vector", "matrix"):
        raise SourceError("parse", f"the answer is a {kind[:20]!r}, not a vector or matrix")
    result = bytes(answer.data.result)
    index.begin()
    order = index.orders.get(page)
    pieces: list[_Piece] = []
    first = total = 0
    try:
        for text in _pieces(result):
            piece = _follow(text, order, first, matrix=kind == "matrix")
            if piece is None:
                piece = _read(text, index, matrix=kind == "matrix")
                first = order.after(piece.slots) if order is not None else 0
            else:
                first += len(piece.slots)
            total += len(piece.slots)
            if total > index.limits.series:
                raise SourceError("series_limit", f"more than {index.limits.series} series")
            pieces.append(piece)
    finally:
        index.end(page, total)
    slots = np.concatenate([p.slots for p in pieces])
    if order is None or len(order.slots) != len(slots) or not all(p.followed for p in pieces):
        index.remember_order(page, slots)
    stamps = [p.timestamps for p in pieces if p.timestamps is not None]
    parsed = columns(
        index,
        index.codes_of(slots),
        np.concatenate([p.values for p in pieces]),
        np.concatenate(stamps) if stamps else None,
    )
    return replace(parsed, warnings=tuple(answer.warnings or ()))


def error_text(body: bytes) -> str | None:
    """What the API says in an answer that is an error; None when this is no answer of the API."""
    try:
        answer = _ANSWER.decode(body)
    except _MALFORMED:
        return None
    return f"{answer.error_type}: {answer.error[:500]}" if answer.status == "error" else None


def _decode_envelope(body: bytes) -> _Answer:
    try:
        try:
            return _ANSWER.decode(body)
        except msgspec.DecodeError:
            # Half a surrogate pair is no reason to lose the other series: make it a byte that is no UTF-8 either.
            return _ANSWER.decode(_LONE_SURROGATE.sub(lambda m: b"\xff" if m[1] else m[0], body))
    except _MALFORMED as exc:
        raise SourceError("parse", f"no answer of the query API: {exc}") from None


def _pieces(result: bytes) -> Iterator[bytes]:
    """Cut an array between its elements into arrays, so that no single call holds the interpreter for long."""
    at = 0
    while (cut := result.find(b"," + _METRIC, at + _PIECE_BYTES)) >= 0:
        yield (b"[" if at else b"") + result[at:cut] + b"]"
        at = cut + 1
    yield (b"[" if at else b"") + result[at:]


def _follow(text: bytes, order: LineOrder | None, first: int, *, matrix: bool) -> _Piece | None:
    """Read an array that is expected to repeat the last answer from sample `first` on; None if it does not.

    Only for the compact JSON that servers print: what remains without the known parts must be bare numbers.
    """
    elements = text[1:-1].split(_METRIC)[1:]
    last = first + len(elements)
    if order is None or not elements or last > len(order.keys):
        return None
    rest = list(map(bytes.removeprefix, elements, order.keys[first:last]))
    if matrix:
        if not all(map(bytes.startswith, rest, repeat(b',"values":[['))):
            return None
        newest = b"".join([each.rpartition(b"[")[2] for each in rest]).removesuffix(b'"]]}')
        pairs = b" " + newest.replace(b'"]]},', b"\n ").replace(b',"', b" ")
        found = numbers.bulk_timestamped(pairs, len(rest), milliseconds=False)
        return None if found is None else _Piece(order.slots[first:last], found[1], found[0], followed=True)
    opening, quote, _ = rest[0].rpartition(b'"]}')[0].rpartition(b'"')
    joined = b"".join(rest).removeprefix(opening + quote).removesuffix(b'"]}')
    if not opening.startswith(b',"value":['):
        return None
    values = numbers.bulk(b" " + joined.replace(b'"]},' + opening + quote, b"\n "), len(rest))
    return None if values is None else _Piece(order.slots[first:last], values, None, followed=True)


def _read(text: bytes, index: SeriesIndex, *, matrix: bool) -> _Piece:
    """Read an array of samples element by element; native histograms are passed over."""
    try:
        samples = _SAMPLES.decode(text)
    except _MALFORMED as exc:
        raise SourceError("parse", f"no samples: {exc}") from None
    if matrix:
        rows = [(s, s.values[-1]) for s in samples if s.values]
    else:
        rows = [(s, s.value) for s in samples if s.value is not None]
    slots = [_slot_of(bytes(s.metric), index) for s, _ in rows]
    times = np.array([time for _, (time, _) in rows], np.float64) if matrix else None
    return _Piece(np.array(slots, np.int32), _floats([value for _, (_, value) in rows]), times, followed=False)


def _slot_of(key: bytes, index: SeriesIndex) -> int:
    if (known := index.slots.get(key)) is not None:
        return known
    try:
        labels = _LABELS.decode(key)
    except UnicodeDecodeError:
        return index.add_code(key, NOT_UTF8)
    except _MALFORMED as exc:
        raise SourceError("parse", f"no metric object: {exc}") from None
    return index.add_labels(key, labels)


def _floats(texts: list[str]) -> Floats:
    joined = (" " + "\n ".join(texts)).encode() if texts else b""
    found = numbers.bulk(joined, len(texts))
    if found is not None:
        return found
    try:
        return np.array([numbers.parse_float(text.encode()) for text in texts], np.float64)
    except ValueError as exc:
        raise SourceError("parse", str(exc)) from None
