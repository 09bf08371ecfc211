"""The answers of the query API: instant vectors and matrices → columns. No I/O.

The raw bytes of a `metric` object are the key of its series, so that a steady answer costs one typed decode, one
look-up per series and one bulk conversion of the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from kcloud_exporter.errors import SourceError
from kcloud_exporter.model import Floats, Rows
from kcloud_exporter.sources import numbers
from kcloud_exporter.sources.series import NOT_UTF8, Parsed, SeriesIndex, columns

_PIECE_BYTES = 1 << 20
_NEXT: Final = b',{"metric":'
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
    index.begin(page, result.count(b'{"metric":'))
    slots: list[Rows] = []
    values: list[Floats] = []
    stamps: list[Floats] = []
    total = 0
    for samples in _pieces(result):
        present = [s for s in samples if (s.value is not None if kind == "vector" else s.values)]
        total += len(present)
        if total > index.limits.series:
            raise SourceError("series_limit", f"more than {index.limits.series} series")
        slots.append(_slots_of(present, index))
        if kind == "vector":
            values.append(_floats([s.value[1] for s in present if s.value]))
        else:
            newest = [s.values[-1] for s in present if s.values]
            values.append(_floats([text for _, text in newest]))
            stamps.append(np.array([time for time, _ in newest], np.float64))
    codes = index.codes_of(np.concatenate(slots) if slots else np.empty(0, np.int32))
    parsed = columns(
        index,
        codes,
        np.concatenate(values) if values else np.empty(0),
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


def _pieces(result: bytes) -> Iterator[list[_Sample]]:
    """Decode an array of samples in pieces, so that no single call holds the interpreter for long."""
    at = 0
    try:
        while (cut := result.find(_NEXT, at + _PIECE_BYTES)) >= 0:
            yield _SAMPLES.decode((b"[" if at else b"") + result[at:cut] + b"]")
            at = cut + 1
        yield _SAMPLES.decode((b"[" if at else b"") + result[at:])
    except _MALFORMED as exc:
        raise SourceError("parse", f"no samples: {exc}") from None


def _slots_of(samples: list[_Sample], index: SeriesIndex) -> Rows:
    get = index.slots.get
    keys = [bytes(s.metric) for s in samples]
    slots = [get(key, -1) for key in keys]
    if -1 in slots:
        for i, slot in enumerate(slots):
            if slot < 0:
                slots[i] = _first_sight(keys[i], index)
    return np.array(slots, np.int32)


def _first_sight(key: bytes, index: SeriesIndex) -> int:
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
