"""The fast parser of the text format 0.0.4 and of OpenMetrics 1.0: bytes → columns. No I/O.

Three ways through a page, each slower and each exact; what one cannot vouch for is left to the next:

1. *same lines as last time*: every line begins with the key that stood there on the last page. Strip it, and
   what is left must be a space and a number. Checked by the sum of all lengths and by the layout of the rest.
2. *known series*: split the number off, look the rest of the line up among the known series.
3. *everything else*: the full grammar, for the first sight of a series and for odd lines.

A page is read in pieces, so that no single call into C holds the interpreter for long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, compress

import numpy as np

from kcloud_exporter.errors import SourceError
from kcloud_exporter.model import Floats, Rows
from kcloud_exporter.sources import grammar, numbers
from kcloud_exporter.sources.series import (
    FRAGMENT,
    NO_SAMPLE,
    LineOrder,
    Parsed,
    ParseLimits,
    SeriesIndex,
    columns,
)

__all__ = ["ParseLimits", "Parsed", "SeriesIndex", "parse_text"]

_PIECE_BYTES = 1 << 18
_MISS = -1
_PROBED = 64
"""Lines that are looked at before a whole piece is read the other way, with timestamps or without."""
_Columns = tuple[Floats, Floats | None]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one piece of a page gave: the slot of every line, the numbers of every sample.

    `was` is where its lines stood in the last page; -1 where it does not repeat one.
    """

    slots: Rows
    values: Floats
    timestamps: Floats | None
    was: int = -1

    @property
    def followed(self) -> bool:
        """Whether it repeats lines of the last page."""
        return self.was >= 0


def parse_text(body: bytes | Iterable[bytes], index: SeriesIndex, openmetrics: bool, page: int = 0) -> Parsed:
    """Read one page, as a whole or as it comes. New series are added to the index and its table.

    `page` tells apart the pages that one index reads in turn, so that each is compared with its own predecessor.
    Raises SourceError: `parse` (the whole page is discarded, as Prometheus does), `series_limit`, and what `body` does.
    """
    index.begin()
    order = index.orders.get(page)
    pieces: list[_Piece] = []
    try:
        if openmetrics:
            whole = body if isinstance(body, bytes) else b"".join(body)
            body = whole[: _end_of_samples(whole)]
        pieces.extend(_pieces(_Text((body,) if isinstance(body, bytes) else body), index, openmetrics, order))
    finally:
        index.end(page, sum(len(p.slots) for p in pieces))
    slots = np.concatenate([p.slots for p in pieces]) if pieces else np.empty(0, np.int32)
    values = np.concatenate([p.values for p in pieces]) if pieces else np.empty(0)
    if order is None or len(order.slots) != len(slots) or not all(p.followed for p in pieces):
        index.remember_order(page, slots, [(len(p.slots), p.was) for p in pieces])
    codes = index.codes_of(slots)
    return columns(index, codes[codes != NO_SAMPLE], values, _joined_timestamps(pieces))


class _Text:
    """What of a page has not been read yet. It is taken in pieces of whole lines, and more comes when it is needed."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._here, self._at = b"", 0

    def take(self) -> bytes | None:
        """The next piece without its last newline; None when there is none."""
        while (cut := self._here.find(b"\n", self._at + _PIECE_BYTES)) < 0:
            if not self._more():
                rest, self._here, self._at = self._here[self._at :], b"", 0
                return rest.removesuffix(b"\n") if rest else None
        piece, self._at = self._here[self._at : cut], cut + 1
        return piece

    def rest(self) -> bytes:
        """All that there is behind the last piece."""
        return b"".join([self._here[self._at :], *self._chunks])

    def put_back(self, rest: bytes) -> None:
        """Go on with this."""
        self._here, self._at = rest, 0

    def _more(self) -> bool:
        """Whether something has come; when it has, it holds a newline, unless it is the end."""
        found = [self._here[self._at :]]
        for chunk in self._chunks:
            found.append(chunk)
            if b"\n" in chunk:
                break
        self._here, self._at = b"".join(found), 0
        return len(found) > 1


def _pieces(text: _Text, index: SeriesIndex, openmetrics: bool, order: LineOrder | None) -> Iterator[_Piece]:
    line = samples = 0
    while (taken := text.take()) is not None:
        lines = taken.split(b"\n")
        piece = None
        if order is not None:
            piece = _follow(lines, len(taken), index, order, line, openmetrics=openmetrics)
        if piece is not None:
            line += len(lines)
        else:
            piece = _read(taken, lines, text, index, openmetrics=openmetrics)
            line = order.after(piece.slots) if order is not None else 0
        samples += len(piece.values)
        if samples > index.limits.series:
            raise SourceError("series_limit", f"more than {index.limits.series} series")
        yield piece


def _read(taken: bytes, lines: list[bytes], text: _Text, index: SeriesIndex, *, openmetrics: bool) -> _Piece:
    """Read a piece that does not repeat the last page's."""
    try:
        return _Reader(taken + b"\n", lines, index, openmetrics=openmetrics).read()
    except SourceError as exc:
        if exc.reason != "parse" or not (rest := text.rest()):
            raise
        # A label value may hold a raw newline, so that the last sample of a piece goes on in what comes after it.
        whole = taken + b"\n" + rest
        reader = _Reader(whole, lines, index, openmetrics=openmetrics)
        piece = reader.read()
        text.put_back(whole[max(len(taken) + 1, reader.read_to) :])
        return piece


def _end_of_samples(body: bytes) -> int:
    """Where the samples of an OpenMetrics page end: at `# EOF`, which nothing but a newline may follow."""
    end = len(body.removesuffix(b"\n")) - len(b"# EOF")
    if end < 0 or body[end : end + 5] != b"# EOF" or (end > 0 and body[end - 1 : end] != b"\n"):
        raise SourceError("parse", "the page does not end with # EOF")
    return end


def _follow(
    lines: list[bytes], size: int, index: SeriesIndex, order: LineOrder, first: int, *, openmetrics: bool
) -> _Piece | None:
    """Read lines that are expected to repeat the last page from line `first` on; None if they do not."""
    last = first + len(lines)
    if last > len(order.keys):
        return None
    rest = list(map(bytes.removeprefix, lines, order.keys[first:last]))
    is_sample = order.is_sample[first:last]
    if not is_sample.all():
        if any(compress(rest, ~is_sample)):
            return None
        rest = list(compress(rest, is_sample))
    joined = b"\n".join(rest)
    separators = max(len(rest) - 1, 0)
    # A line without its key is not shortened, so that any mismatch makes the rest longer than it has to be.
    if len(joined) - separators != size - (len(lines) - 1) - int(order.lengths[first:last].sum()):
        return None
    found = _bulk(joined, len(rest), index, openmetrics=openmetrics)
    return None if found is None else _Piece(order.slots[first:last], *found, was=first)


def _bulk(joined: bytes, count: int, index: SeriesIndex, *, openmetrics: bool) -> _Columns | None:
    if index.timestamped:
        return numbers.bulk_timestamped(joined, count, milliseconds=not openmetrics)
    values = numbers.bulk(joined, count)
    return None if values is None else (values, None)


class _Reader:
    """The lines at the beginning of `body`, one by one. `read_to` is where reading has come to in it."""

    def __init__(self, body: bytes, lines: list[bytes], index: SeriesIndex, *, openmetrics: bool) -> None:
        self._body, self._lines, self._index = body, lines, index
        self._openmetrics = openmetrics
        self._offsets: list[int] = []
        self._slots: list[int] = []
        self._texts: list[bytes | None] = []
        self.read_to = 0

    def read(self) -> _Piece:
        """Slots of all lines and numbers of all samples. Raises SourceError("parse")."""
        index = self._index
        missing = self._look_up(timestamped=index.timestamped)
        if len(missing) > len(self._lines) // 2 and self._reads_better(missing, timestamped=not index.timestamped):
            index.timestamped = not index.timestamped
            missing = self._look_up(timestamped=index.timestamped)
        if missing:
            # `name {a="b"}`, with a space, looks like the bare name with an odd number: it may begin a series.
            missing += [i for i, text in enumerate(self._texts) if text is not None and b"{" in text]
            for i in sorted(set(missing)):
                if self._slots[i] != FRAGMENT and not self._put_together(i):
                    self._understand(i)
        if len(missing) >= len(self._lines):  # a page that is all new tells only now how it prints its numbers
            index.timestamped = b" " in (self._texts[-1] or b"")
        texts = [text for text in self._texts if text is not None]
        joined = b" " + b"\n ".join(texts) if texts else b""
        found = _bulk(joined, len(texts), index, openmetrics=self._openmetrics)
        if found is None:
            found = self._one_by_one()
        return _Piece(np.array(self._slots, np.int32), *found)

    def _reads_better(self, missing: list[int], *, timestamped: bool) -> bool:
        """Whether any of the first lines that were not found are found when read the other way."""
        numbers = 2 if timestamped else 1
        return any(self._lines[i].rsplit(b" ", numbers)[0] in self._index.slots for i in missing[:_PROBED])

    def _look_up(self, *, timestamped: bool) -> list[int]:
        """Fill slots and texts (what stands behind the series) of known lines; the numbers of the others."""
        get = self._index.slots.get
        slots: list[int] = []
        texts: list[bytes | None] = []
        if timestamped:
            for line in self._lines:
                parts = line.rsplit(b" ", 2)
                slots.append(get(parts[0], _MISS) if len(parts) == 3 else _MISS)
                texts.append(b" ".join(parts[1:]))
        else:
            for line in self._lines:
                key, _, text = line.rpartition(b" ")
                slots.append(get(key, _MISS))
                texts.append(text)
        self._slots, self._texts = slots, texts
        return [i for i, slot in enumerate(slots) if slot == _MISS]

    def _put_together(self, i: int) -> bool:
        """Whether line `i` is a series whose name and labels this page has shown before, only not together.

        Its numbers are still to be read: if they turn out to be none, the line is read by the grammar after all.
        """
        line, index = self._lines[i], self._index
        brace, end = line.find(b"{"), line.rfind(b"} ") + 1
        if not 0 < brace < end:
            return False
        slot = index.put_together(line[:end], line[:brace], line[brace:end])
        if slot is None:
            return False
        self._slots[i], self._texts[i] = slot, line[end + 1 :]
        return True

    def _understand(self, i: int) -> None:
        """Read line `i` (and those that belong to it) by the grammar."""
        line, index = self._lines[i], self._index
        if line[:1] in b"# \t":  # an empty line as well
            comment = index.comments.get(line)
            if comment is None and grammar.is_comment(line, openmetrics=self._openmetrics):
                comment = index.add_comment(line)
            if comment is not None:
                self._slots[i], self._texts[i] = comment, None
                return
        if not self._offsets:
            self._offsets = list(accumulate((len(each) + 1 for each in self._lines), initial=0))
        try:
            sample = grammar.match_sample(self._body, self._offsets[i], openmetrics=self._openmetrics)
            text = sample.value if sample.time is None else sample.value + b" " + sample.time
            slot = index.slots.get(sample.series)
            if slot is None:
                slot = index.add(sample.series, sample.name, sample.labels)
        except ValueError as exc:
            raise _refused(exc, line) from None
        self._slots[i], self._texts[i] = slot, text
        self._remember_spacing(line, sample.series, text, slot)
        self.read_to = max(self.read_to, sample.end)
        for k in range(i + 1, len(self._lines)):
            if self._offsets[k] >= sample.end:
                break
            self._slots[k], self._texts[k] = FRAGMENT, None

    def _remember_spacing(self, line: bytes, series: bytes, text: bytes, slot: int) -> None:
        """Two spaces before the number, say: let the whole of what stands before it be a key as well."""
        key = line.removesuffix(b" " + text)
        if len(key) < len(line) and key != series and key.rstrip(b" \t") == series:
            self._index.alias(key, slot)

    def _one_by_one(self) -> _Columns:
        """All numbers of the piece by the exact grammar, for pages that print some of them in unusual ways."""
        values: list[float] = []
        stamps: list[float] = []
        for i in range(len(self._lines)):
            text = self._texts[i]
            if text is None:
                continue
            try:
                value, stamp = grammar.numbers_of(text, openmetrics=self._openmetrics)
            except ValueError:
                self._understand(i)
                try:
                    value, stamp = grammar.numbers_of(self._texts[i] or b"", openmetrics=self._openmetrics)
                except ValueError as exc:
                    raise _refused(exc, self._lines[i]) from None
            values.append(value)
            stamps.append(np.nan if stamp is None else stamp)
        return np.array(values, np.float64), np.array(stamps, np.float64)


def _refused(exc: ValueError, line: bytes) -> SourceError:
    return SourceError("parse", f"{exc}: {line[:80].decode(errors='backslashreplace')!r}")


def _joined_timestamps(pieces: list[_Piece]) -> Floats | None:
    if all(p.timestamps is None for p in pieces):
        return None
    return np.concatenate([np.full(len(p.values), np.nan) if p.timestamps is None else p.timestamps for p in pieces])
