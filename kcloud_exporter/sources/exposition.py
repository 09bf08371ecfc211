"""The exposition parser: bytes of the text format 0.0.4 or OpenMetrics 1.0 → rows and floats.

A steady page is split, looked up and converted; labels are read only when a series first appears. What a real
Prometheus would refuse is refused as a whole: a body with one bad line may lack others. By our own policy a
label that is no UTF-8, or too large, costs only its series.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from kcloud_exporter.errors import RejectReason, SourceError
from kcloud_exporter.model import Floats, Labels, Rows, SeriesTable

UNWANTED, REJECTED_UTF8, REJECTED_LIMIT = -1, -2, -3
_REJECTED: Final[dict[int, RejectReason]] = {REJECTED_UTF8: "utf8", REJECTED_LIMIT: "label_limit"}
_CHUNK: Final = 1 << 20
"""Bytes per piece: no single C call may hold the interpreter for long."""

_SERIES: Final = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(rb'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:\\.|[^\\"])*)"[ \t]*', re.DOTALL)
_FLOAT: Final = re.compile(
    rb"[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_PLAIN_ENDS: Final = b"0123456789."
_META: Final = re.compile(rb"#[ \t]+(HELP|TYPE|UNIT)[ \t]+([a-zA-Z_:][a-zA-Z0-9_:]*)(?:[ \t](.*))?", re.DOTALL)
_TYPES: Final = frozenset(
    (b"counter", b"gauge", b"histogram", b"summary", b"untyped", b"unknown", b"info", b"stateset", b"gaugehistogram")
)


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """What one answer may contain. A series beyond the label limits is rejected; beyond `series` the whole body is."""

    series: int = 2_000_000
    labels: int = 64
    label_name_bytes: int = 256
    label_value_bytes: int = 4096


@dataclass(frozen=True, slots=True)
class Parsed:
    """Parallel columns of one body: rows of the series table, values, Unix seconds (None: the body has none)."""

    rows: Rows
    values: Floats
    timestamps: Floats | None
    rejected: Counter[RejectReason] = field(default_factory=Counter)
    warnings: tuple[str, ...] = ()


class SeriesIndex:
    """Raw bytes of a series, exactly as one endpoint prints it → its row in the series table.

    Negative rows are answers too: nobody wants it, or it is rejected (then it is counted each time).
    """

    def __init__(
        self, table: SeriesTable, wanted: Callable[[str], bool], target_labels: Labels, limits: ParseLimits
    ) -> None:
        self.table, self.limits = table, limits
        self.rows: dict[bytes, int] = {}
        self.timed = False
        self._wanted, self._target_labels = wanted, target_labels
        self._canonical: dict[int, int] = {}

    def add(self, raw: bytes, name: str, labels: Labels) -> int:
        """Register a series that appears for the first time under these bytes."""
        if not self._wanted(name):
            row = UNWANTED
        elif self._beyond_limits(labels):
            row = REJECTED_LIMIT
        else:
            row = self._row(name, labels)
        self.rows[raw] = row
        return row

    def reject(self, raw: bytes, code: int) -> int:
        """Register a series that is refused, so that it is counted each time."""
        self.rows[raw] = code
        return code

    def _beyond_limits(self, labels: Labels) -> bool:
        limits = self.limits
        return len(labels) > limits.labels or any(
            len(k) > limits.label_name_bytes or len(v.encode("utf-8", "surrogatepass")) > limits.label_value_bytes
            for k, v in labels.items()
        )

    def _row(self, name: str, labels: Labels) -> int:
        """The row of a label set: however its labels are ordered, and with or without empty ones, it is one series."""
        merged: Labels = {"__name__": name}
        merged.update((k, v) for k, v in labels.items() if v)
        for key, value in self._target_labels.items():
            exposed = merged.get(key)
            if exposed:
                merged[f"exported_{key}"] = exposed
            merged[key] = value
        canonical = hash(frozenset(merged.items()))
        row = self._canonical.get(canonical)
        if row is not None and self.table.labels[row] == merged:
            return row
        row = self._canonical[canonical] = self.table.add(merged)
        return row

    def moved(self, table: SeriesTable, new_row: dict[int, int]) -> SeriesIndex:
        """This index over a successor table that keeps only some rows; what is unwanted is learned again."""
        index = SeriesIndex(table, self._wanted, self._target_labels, self.limits)
        index.timed = self.timed
        index.rows = {raw: new_row[row] for raw, row in self.rows.items() if row in new_row}
        index._canonical = {key: new_row[row] for key, row in self._canonical.items() if row in new_row}
        return index


class _RaggedError(Exception):
    """A line that ends inside a quoted label: legal, and rare enough to read the body the slow way."""


def parse_text(body: bytes, index: SeriesIndex, *, openmetrics: bool) -> Parsed:
    """Parse one whole body. Raises SourceError `parse` or `series_limit`; then nothing of the body counts."""
    if openmetrics:
        body = _without_eof(body)
    try:
        return _parse((body[a:b].split(b"\n") for a, b in _chunks(body)), index, openmetrics=openmetrics)
    except _RaggedError:
        return _parse([_joined(body)], index, openmetrics=openmetrics)


def _without_eof(body: bytes) -> bytes:
    end = body.removesuffix(b"\n")
    if not (end == b"# EOF" or end.endswith(b"\n# EOF")):
        raise SourceError("parse", "OpenMetrics without # EOF: the answer is not whole")
    return end.removesuffix(b"# EOF")


def _chunks(body: bytes) -> Iterator[tuple[int, int]]:
    start, size = 0, len(body)
    while start < size:
        end = body.find(b"\n", start + _CHUNK)
        end = size if end < 0 else end
        yield start, end
        start = end + 1


def _joined(body: bytes) -> list[bytes]:
    """Lines in which a quoted label may span several: a line with an open quote takes the next one in."""
    lines: list[bytes] = []
    held = b""
    for line in body.split(b"\n"):
        held = held + b"\n" + line if held else line
        if held.startswith(b"#") or len(re.findall(rb'(?<!\\)(?:\\\\)*"', held)) % 2 == 0:
            lines.append(held)
            held = b""
    return [*lines, held] if held else lines


def _parse(pieces: Iterable[list[bytes]], index: SeriesIndex, *, openmetrics: bool) -> Parsed:
    rows: list[int] = []
    values: list[bytes] = []
    stamps: list[bytes] = []
    timed = index.timed
    for lines in pieces:
        if timed:
            halves = [line.rpartition(b" ") for line in lines]
            parts = [half[0].rpartition(b" ") for half in halves]
        else:
            parts = [line.rpartition(b" ") for line in lines]
        found = list(map(index.rows.get, [part[0] for part in parts]))
        texts = [part[2] for part in parts]
        times = [half[2] for half in halves] if timed else [b""] * len(lines)
        if None in found:
            found, texts, times = _with_new(lines, found, texts, times, index, openmetrics=openmetrics)
        rows += found  # type: ignore[arg-type]
        values += texts
        stamps += times
        if len(rows) > index.limits.series:
            raise SourceError("series_limit", f"more than {index.limits.series} series in one answer")
    return _columns(rows, values, stamps, index, openmetrics=openmetrics)


def _with_new(
    lines: list[bytes],
    found: list[int | None],
    texts: list[bytes],
    times: list[bytes],
    index: SeriesIndex,
    *,
    openmetrics: bool,
) -> tuple[list[int | None], list[bytes], list[bytes]]:
    """Read the lines that the look-up did not know: new series, comments, unusual spacing, other timestamps."""
    kept: list[int] = []
    for at, row in enumerate(found):
        if row is not None:
            kept.append(at)
            continue
        sample = _line(lines[at], index, openmetrics=openmetrics)
        if sample is not None:
            found[at], texts[at], times[at] = sample
            kept.append(at)
    if len(kept) == len(lines):
        return found, texts, times
    return [found[at] for at in kept], [texts[at] for at in kept], [times[at] for at in kept]


def _line(line: bytes, index: SeriesIndex, *, openmetrics: bool) -> tuple[int, bytes, bytes] | None:
    """(row, value, timestamp) of one line; None for a comment or an empty one."""
    if not line.strip(b" \t"):
        return None
    if line.startswith(b"#"):
        _comment(line)
        return None
    text = line.lstrip(b" \t")
    name = _SERIES.match(text)
    if name is None:
        raise _bad(line, "it begins with no metric name")
    end = name.end()
    brace = end + len(text[end:]) - len(text[end:].lstrip(b" \t"))
    labels: list[tuple[bytes, bytes]] = []
    if text[brace : brace + 1] == b"{":
        labels, end = _labels(text, brace + 1, line)
    rest = text[end:]
    if openmetrics and b" # " in rest:
        rest = rest.partition(b" # ")[0]
    tokens = rest.replace(b"\t", b" ").split(b" ")
    tokens = [token for token in tokens if token]
    if not 1 <= len(tokens) <= 2 or (end == name.end() and rest[:1] not in b" \t"):
        raise _bad(line, "after the series stand a value and at most a timestamp")
    raw = text[:end]
    row = index.rows.get(raw)
    if row is None:
        row = _register(raw, name[0], labels, line, index)
    return row, tokens[0], tokens[1] if len(tokens) == 2 else b""


def _register(raw: bytes, name: bytes, labels: list[tuple[bytes, bytes]], line: bytes, index: SeriesIndex) -> int:
    if len({key for key, _ in labels}) < len(labels):
        raise _bad(line, "a label name stands twice")
    try:
        decoded = {key.decode(): _unescaped(value.decode()) for key, value in labels}
    except UnicodeDecodeError:
        return index.reject(raw, REJECTED_UTF8)
    return index.add(raw, name.decode(), decoded)


def _labels(text: bytes, at: int, line: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """Labels from behind `{` to behind `}`. A trailing comma is allowed, as Prometheus does."""
    labels: list[tuple[bytes, bytes]] = []
    while True:
        match = _LABEL.match(text, at)
        if match:
            labels.append((match[1], match[2]))
            at = match.end()
            if text[at : at + 1] == b",":
                at += 1
                continue
        while text[at : at + 1] in (b" ", b"\t"):
            at += 1
        if text[at : at + 1] == b"}":
            return labels, at + 1
        if len(re.findall(rb'(?<!\\)(?:\\\\)*"', text)) % 2:
            raise _RaggedError
        raise _bad(line, "its labels are malformed")


def _unescaped(value: str) -> str:
    if "\\" not in value:
        return value
    return _ESCAPE.sub(lambda m: {"n": "\n", "\\": "\\", '"': '"'}.get(m[1], m[0]), value)


def _comment(line: bytes) -> None:
    """Comments are free text, but HELP and TYPE name a metric, and TYPE one of the known types."""
    words = line[1:].split(None, 2)
    if line[1:2] not in (b" ", b"\t") or not words or words[0] not in (b"HELP", b"TYPE"):
        return
    if len(words) < 2 or not _SERIES.fullmatch(words[1]):
        raise _bad(line, f"{words[0].decode()} names no metric")
    if words[0] == b"TYPE" and (len(words) < 3 or words[2].strip(b" \t") not in _TYPES):
        raise _bad(line, "it names no known type")


def _columns(
    rows: list[int], texts: list[bytes], times: list[bytes], index: SeriesIndex, *, openmetrics: bool
) -> Parsed:
    values = _floats(texts)
    row = np.array(rows, np.int32)
    stamps = _times(times, openmetrics=openmetrics)
    index.timed = stamps is not None
    rejected: Counter[RejectReason] = Counter()
    if len(row) and row.min() < 0:
        for code, reason in _REJECTED.items():
            if count := int((row == code).sum()):
                rejected[reason] = count
        wanted = row >= 0
        row, values = row[wanted], values[wanted]
        stamps = stamps[wanted] if stamps is not None else None
    if len(row) and np.bincount(row, minlength=1).max() > 1:
        _, first = np.unique(row, return_index=True)
        first.sort()
        rejected["duplicate"] = len(row) - len(first)
        row, values = row[first], values[first]
        stamps = stamps[first] if stamps is not None else None
    return Parsed(row, values, stamps, rejected)


def _floats(texts: list[bytes]) -> Floats:
    """All values at once; what Go's ParseFloat would refuse is refused, whatever Python makes of it."""
    unusual = b"".join(texts).translate(None, b"0123456789.eE+-")
    if unusual:
        for text in texts:
            if text.translate(None, b"0123456789.eE+-") and not _FLOAT.fullmatch(text):
                raise SourceError("parse", f"{text[:40]!r} is no value")
    try:
        values = np.array(list(map(float, texts)), np.float64)
    except ValueError as exc:
        raise SourceError("parse", str(exc)) from exc
    infinite = np.flatnonzero(np.isinf(values))
    for at in infinite.tolist():
        if b"i" not in texts[at].lower():
            raise SourceError("parse", f"{texts[at][:40]!r} is out of range")
    return values


def _times(times: list[bytes], *, openmetrics: bool) -> Floats | None:
    """Unix seconds, NaN where a line has none; None when no line has one. Text prints milliseconds."""
    if not any(times):
        return None
    allowed = _FLOAT if openmetrics else re.compile(rb"[0-9]{1,18}")
    everything = b"".join(times)
    if not everything.isdigit() or openmetrics:
        for text in times:
            if text and not allowed.fullmatch(text):
                raise SourceError("parse", f"{text[:40]!r} is no timestamp")
    seconds = np.array([float(text) if text else np.nan for text in times], np.float64)
    return seconds if openmetrics else seconds / 1000.0


def _bad(line: bytes, why: str) -> SourceError:
    return SourceError("parse", f"{line[:80].decode('utf-8', 'replace')!r}: {why}")
