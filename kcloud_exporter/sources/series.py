"""The index of one endpoint: raw bytes of a series → slot → row of the source's series table.

A series is understood once, when it first appears. `slot` is dense per endpoint and stays that of its series while
pages show it; its *code* is the row of the table, or one of the negative codes below.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kcloud_exporter.errors import RejectReason, SourceError
from kcloud_exporter.model import Floats, Labels, Rows, SeriesTable
from kcloud_exporter.sources.grammar import label_pairs
from kcloud_exporter.sources.hashes import Hashes

UNWANTED: Final = -1
"""Its name is in no vendor table: validated, then passed over."""
NOT_UTF8: Final = -2
OVER_LIMIT: Final = -3
NO_SAMPLE: Final = -4
"""A comment, a blank line, or a later line of a series whose label holds a raw newline."""
REJECTED: Final[dict[int, RejectReason]] = {NOT_UTF8: "utf8", OVER_LIMIT: "label_limit"}

FRAGMENT: Final = 0
"""The slot of lines that are no line of their own."""
_NO_KEY: Final = b"\n"
"""The key of slots that are not looked up: no line begins with it."""

_SPARE_KEYS = 10_000
_LONGEST_KEY = 64 * 1024


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """How much of one answer is believed: series per answer, labels per series, bytes per label name and value."""

    series: int = 2_000_000
    labels: int = 64
    label_name_bytes: int = 256
    label_value_bytes: int = 4096


@dataclass(frozen=True, slots=True)
class Parsed:
    """One understood answer: parallel columns, each row at most once, only wanted series.

    `timestamps` are Unix seconds with NaN where the sample had none; None when no sample had one.
    `warnings` are what a query API said beside its data (a partial response, for example).
    """

    rows: Rows
    values: Floats
    timestamps: Floats | None
    rejected: dict[RejectReason, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LineOrder:
    """The lines (or samples) of the last page, in order: key and slot of each, and the lengths of the keys."""

    keys: list[bytes]
    slots: Rows
    lengths: Rows
    is_sample: NDArray[np.bool_]

    def after(self, slots: Rows) -> int:
        """Where to go on when the last of `slots` was just read, so that one new series upsets one piece only."""
        at = np.flatnonzero(self.slots == slots[-1]) if len(slots) else slots
        return int(at[0]) + 1 if len(at) else len(self.slots)


class _Block(NamedTuple):
    """The labels of a series but for its name, a number that stands for them, and a code where they are refused."""

    labels: Labels
    number: int
    code: int


class SeriesIndex:
    """Owns the slots of one endpoint. Not thread-safe: one parse at a time."""

    def __init__(
        self, table: SeriesTable, wanted: Callable[[str], bool], target_labels: Labels, limits: ParseLimits
    ) -> None:
        self.table, self.wanted, self.target_labels, self.limits = table, wanted, dict(target_labels), limits
        self._names: dict[bytes, str] = {}
        self._canonical = Hashes()
        self._blocks: dict[bytes, _Block] = {}
        self._page_lines: dict[int, int] = {}
        self.forget()

    def forget(self) -> None:
        """Drop all slots; rows stay where they are in the table and are found again by their labels."""
        self.slots: dict[bytes, int] = {}
        self.comments: dict[bytes, int] = {}
        self.keys: list[bytes] = [_NO_KEY]
        self.codes = array("i", [NO_SAMPLE])
        self._free: list[int] = []
        self.orders: dict[int, LineOrder] = {}
        self.timestamped = False

    def begin(self) -> None:
        """Before a page: one that changes its series each time must not fill memory."""
        if len(self.keys) - len(self._free) > 2 * sum(self._page_lines.values()) + _SPARE_KEYS:
            self.forget()

    def end(self, page: int, lines: int) -> None:
        """After a page of so many lines: what helped to understand its new series is of no more use."""
        self._page_lines[page] = lines
        self._blocks.clear()

    def add_comment(self, line: bytes) -> int:
        """The slot of a valid comment or blank line."""
        slot = self._new_slot(line, NO_SAMPLE)
        self.comments[line] = slot
        return slot

    def alias(self, key: bytes, slot: int) -> None:
        """Let `key` (the same series with other white space around it) find `slot` as well."""
        if len(key) <= _LONGEST_KEY:
            self.slots[key] = self._new_slot(key, self.codes[slot])

    def put_together(self, key: bytes, name: bytes, labels: bytes) -> int | None:
        """A series whose name and label block are both known to be well-formed, because this page has shown them.

        Returns its slot, and None where that is not so.
        """
        block, wanted = self._blocks.get(labels), self._names.get(name)
        if block is None or wanted is None:
            return None
        slot = self.slots.get(key)
        return self._add(key, wanted, block) if slot is None else slot

    def _wanted(self, name: bytes) -> str:
        """The name of a series (ASCII, validated), or an empty text where no vendor table has it."""
        found = self._names.get(name)
        if found is None:
            if len(self._names) > _SPARE_KEYS:
                self._names.clear()
            text = sys.intern(name.decode())
            found = self._names[name] = text if self.wanted(text) else ""
        return found

    def add(self, key: bytes, name: bytes, labels: bytes) -> int:
        """A series that was not seen before: its matched name and label block. Returns its slot.

        Raises ValueError for a label name that stands twice.
        """
        # Many metrics tell of one thing with the same labels: a page that is new is full of blocks that are not.
        block = self._blocks.get(labels)
        if block is None:
            block = self._blocks[labels] = self._understood(labels)
        return self._add(key, self._wanted(name), block)

    def _add(self, key: bytes, name: str, block: _Block) -> int:
        return self.add_code(key, (block.code or self._find(name, block)) if name else UNWANTED)

    def add_labels(self, key: bytes, labels: Labels) -> int:
        """A series given as decoded labels (from JSON), `__name__` among them. Returns its slot."""
        exposed, unset = self._exposed([pair for pair in labels.items() if pair[0] != "__name__"])
        name = self._wanted(labels.get("__name__", "").encode(errors="replace"))
        if not name:
            return self.add_code(key, UNWANTED)
        if self._is_over_limit(exposed, len(key)):
            return self.add_code(key, OVER_LIMIT)
        return self.add_code(key, self._find(name, self._merged(exposed, unset)))

    def _understood(self, labels: bytes) -> _Block:
        try:
            pairs, is_utf8 = label_pairs(labels.decode()) if labels else [], True
        except UnicodeDecodeError:
            pairs, is_utf8 = label_pairs(labels.decode(errors="replace")), False
        exposed, unset = self._exposed(pairs)
        if self._is_over_limit(exposed, len(labels)):
            return _Block({}, 0, OVER_LIMIT)
        return self._merged(exposed, unset) if is_utf8 else _Block({}, 0, NOT_UTF8)

    def add_code(self, key: bytes, code: int) -> int:
        """A series of which only the code is of interest. Returns its slot.

        A very long key is not remembered, so that no endpoint can fill memory with them.
        """
        slot = self._new_slot(key, code)
        if len(key) <= _LONGEST_KEY:
            self.slots[key] = slot
        else:
            self.keys[slot] = _NO_KEY
        return slot

    def remember_order(self, page: int, slots: Rows, repeated: Sequence[tuple[int, int]] = ()) -> None:
        """Keep the lines of a page, to be compared with those of the next one.

        `repeated` are the page's stretches as (lines, where they stood in the last page, or -1): most are as before.
        """
        before = self.orders.get(page)
        keys: list[bytes] = []
        lengths: list[Rows] = []
        for count, was in repeated or ((len(slots), -1),):
            if before is not None and was >= 0:
                keys += before.keys[was : was + count]
                lengths.append(before.lengths[was : was + count])
                continue
            new = [self.keys[slot] for slot in slots[len(keys) : len(keys) + count].tolist()]
            keys += new
            lengths.append(np.fromiter(map(len, new), np.int32, count))
        joined = np.concatenate(lengths) if lengths else np.empty(0, np.int32)
        self.orders[page] = LineOrder(keys, slots, joined, self.codes_of(slots) != NO_SAMPLE)

    def codes_of(self, slots: Rows) -> Rows:
        """The code of each slot."""
        found: Rows = np.array(self.codes, dtype=np.int32)[slots]
        return found

    def move(self, table: SeriesTable, new_rows: Rows) -> None:
        """Go on over a compacted table. `new_rows[old row]` is the new row, -1 for a dropped one.

        Series that the last pages have not shown lose their slots, wanted or not: each is understood again when it
        appears.
        """
        self.table, self._canonical = table, self._canonical.moved(new_rows)
        codes = np.array(self.codes, np.int32)
        is_row = np.flatnonzero(codes >= 0)
        rows = new_rows[codes[is_row]]
        free = np.ones(len(codes), np.bool_)
        free[[FRAGMENT, *self.comments.values()]] = False
        for order in self.orders.values():
            free[order.slots] = False
        free[is_row[rows < 0]] = True
        codes[is_row] = rows
        codes[free] = NO_SAMPLE
        self.codes = array("i", codes.tobytes())
        # A page that was not asked for since then may still speak of rows that are no more.
        self.orders = {page: order for page, order in self.orders.items() if not free[order.slots].any()}
        self._free = np.flatnonzero(free).tolist()
        for slot in self._free:
            if self.slots.get(self.keys[slot]) == slot:
                del self.slots[self.keys[slot]]
            self.keys[slot] = _NO_KEY

    def _new_slot(self, key: bytes, code: int) -> int:
        if self._free:
            slot = self._free.pop()
            self.keys[slot], self.codes[slot] = key, code
            return slot
        self.keys.append(key)
        self.codes.append(code)
        return len(self.keys) - 1

    def _exposed(self, pairs: list[tuple[str, str]]) -> tuple[Labels, set[str]]:
        """The labels as a dict of interned strings, and the names with an empty value, which are as good as absent."""
        exposed = dict(zip(map(sys.intern, [n for n, _ in pairs]), map(sys.intern, [v for _, v in pairs]), strict=True))
        unset: set[str] = set()
        if len(exposed) < len(pairs) or "" in exposed.values():
            # As in Prometheus, one empty value unsets a name however often it stands there.
            unset = {name for name, value in pairs if not value}
            exposed = {name: value for name, value in exposed.items() if name not in unset}
            if len(exposed) < sum(name not in unset for name, _ in pairs):
                raise ValueError("a label name stands twice")
        if "__name__" in exposed or "__name__" in unset:
            raise ValueError("a label name stands twice")
        return exposed, unset

    def _is_over_limit(self, exposed: Labels, size: int) -> bool:
        """Whether there are too many labels, or one is too long; `size` is the bytes of all of them."""
        limits = self.limits
        if len(exposed) > limits.labels:
            return True
        if size <= min(limits.label_name_bytes, limits.label_value_bytes):
            return False
        return any(
            len(name) > limits.label_name_bytes or len(value.encode()) > limits.label_value_bytes
            for name, value in exposed.items()
        )

    def _merged(self, exposed: Labels, unset: set[str]) -> _Block:
        """Target labels win; what they displace becomes `exported_<name>`, as with honor_labels: false."""
        merged: Labels = {**exposed, **self.target_labels}
        if len(merged) != len(exposed) + len(self.target_labels):
            taken = exposed.keys() | self.target_labels.keys() | unset
            for label in sorted((label for label in self.target_labels if label in exposed), key=len):
                renamed = f"exported_{label}"
                while renamed in taken:
                    renamed = f"exported_{renamed}"
                taken = taken | {renamed}
                merged[sys.intern(renamed)] = exposed[label]
        return _Block(merged, hash(frozenset(merged.items())), 0)

    def _find(self, name: str, block: _Block) -> int:
        """The row of these labels whatever their order, appended to the table when it is new."""
        at = Hashes.first(hash((name, block.number)))
        while (row := self._canonical.get(at)) is not None:
            if self.table.names[row] == name and self.table.labels[row] == block.labels:
                return row
            at += 1
        if len(self.table) >= 2 * self.limits.series:
            raise SourceError("series_limit", f"{len(self.table)} series, living and dead")
        row = self.table.add(name, block.labels)
        self._canonical.put(at, row)
        return row


def columns(index: SeriesIndex, codes: Rows, values: Floats, timestamps: Floats | None) -> Parsed:
    """Drop what is unwanted, rejected or there for the second time, and count it. All arguments are parallel."""
    if not len(codes) == len(values) == (len(values) if timestamps is None else len(timestamps)):
        raise SourceError("internal", f"{len(codes)} series but {len(values)} values")
    if len(codes) > index.limits.series:
        raise SourceError("series_limit", f"{len(codes)} series, the limit is {index.limits.series}")
    rejected: dict[RejectReason, int] = {}
    kept = codes >= 0
    if not kept.all():
        for code, reason in REJECTED.items():
            if count := int((codes == code).sum()):
                rejected[reason] = count
        codes, values = codes[kept], values[kept]
        timestamps = None if timestamps is None else timestamps[kept]
    seen = np.zeros(len(index.table), dtype=np.bool_)
    seen[codes] = True
    if (repeated := len(codes) - int(seen.sum())) > 0:
        rejected["duplicate"] = repeated
        first = np.sort(np.unique(codes, return_index=True)[1])
        codes, values = codes[first], values[first]
        timestamps = None if timestamps is None else timestamps[first]
    if timestamps is not None and np.isnan(timestamps).all():
        timestamps = None
    return Parsed(codes, values, timestamps, rejected)
