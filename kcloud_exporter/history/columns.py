"""Columns: between rows of history and Arrow tables. Label columns are dictionaries, so a label is a number here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kcloud_exporter.catalogue import Family
from kcloud_exporter.history.layout import LABELS, SCHEMA
from kcloud_exporter.history.recorder import Block
from kcloud_exporter.model import Floats, Rows

Codes = NDArray[np.int64]
_TEXT: Final = pa.string()


@dataclass(frozen=True, slots=True)
class Readings:
    """Rows of one family: `values[i]` was read at `times[i]` (Unix seconds) of `labels[series[i]]`."""

    labels: list[tuple[str, ...]]
    series: Rows
    times: Floats
    values: Floats


def tables(blocks: Sequence[Block]) -> Iterator[pa.Table]:
    """One table per family of the blocks of one cluster, sorted by labels and time."""
    ordered = sorted(blocks, key=lambda b: b.family.name)
    for name, group in groupby(ordered, key=lambda b: b.family.name):
        found = list(group)
        yield sorted_rows(pa.concat_tables([_table(name, block) for block in found]))


def _table(name: str, block: Block) -> pa.Table:
    count = len(block.at)
    columns: dict[str, Any] = {
        "timestamp": np.full(count, round(block.timestamp * 1e3), np.int64),
        "family": pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([name])).cast(_TEXT),
        "value": block.values,
    }
    rows = [block.labels[at] for at in block.at.tolist()]
    for position, label in enumerate(block.family.labels):
        if label != "cluster":
            columns[label] = pa.array([row[position] for row in rows], _TEXT)
    nothing = pa.nulls(count, _TEXT)
    return pa.table(
        [pa.array(columns[f.name], f.type) if f.name in columns else nothing for f in SCHEMA], schema=SCHEMA
    )


def sorted_rows(table: pa.Table) -> pa.Table:
    """The rows of one family by labels, then time; rows that stand there twice stand there once."""
    order = [codes for label in LABELS if label in table.schema.names and (codes := _ranks(table[label])) is not None]
    times = _milliseconds(table)
    taken = np.lexsort([times, *reversed(order)])
    same = np.ones(max(len(taken) - 1, 0), bool)
    for column in (*order, times):
        same &= column[taken][1:] == column[taken][:-1]
    # Of two readings of the same moment the later written one stands: it has seen more of its interval.
    last = np.append(~same, True)[: len(taken)]
    return table.take(pa.array(taken[last]))


def _ranks(column: pa.ChunkedArray) -> Codes | None:
    """A number per value that sorts like the text; None for a column without any text."""
    if column.null_count == len(column):
        return None
    encoded = column.combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    rank = np.empty(len(encoded.dictionary) + 1, np.int64)
    rank[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(encoded.dictionary))
    rank[-1] = -1
    ranks: Codes = rank[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]
    return ranks


def _milliseconds(table: pa.Table | pa.RecordBatch) -> Codes:
    column = table["timestamp"].cast(pa.int64())
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    numbers: Codes = column.to_numpy(zero_copy_only=False)
    return numbers


def readings_of(batch: pa.RecordBatch, family: Family, cluster: str) -> Readings:
    """The rows of a batch that holds one family only. Sorted input makes few series; any order is right."""
    times = _milliseconds(batch) / 1e3
    values: Floats = batch["value"].to_numpy(zero_copy_only=False)
    columns = [_encoded(batch, label) for label in family.labels if label != "cluster"]
    changes = np.zeros(len(times), bool)
    changes[:1] = True
    for codes, _ in columns:
        changes[1:] |= codes[1:] != codes[:-1]
    starts = np.flatnonzero(changes)
    texts = [[dictionary[code] for code in codes[starts].tolist()] for codes, dictionary in columns]
    inner: Sequence[tuple[str, ...]] = list(zip(*texts, strict=True)) if texts else [()] * len(starts)
    at = family.labels.index("cluster") if "cluster" in family.labels else None
    found: dict[tuple[str, ...], int] = {}
    run = [found.setdefault(row if at is None else (*row[:at], cluster, *row[at:]), len(found)) for row in inner]
    series = np.repeat(np.array(run, np.int32), np.diff(np.append(starts, len(times))))
    return Readings(list(found), series, times, values)


def _encoded(batch: pa.RecordBatch, label: str) -> tuple[Codes, list[str]]:
    """A code per row, and what the codes stand for; no text is an empty label, as everywhere in this field."""
    if label not in batch.schema.names:  # a file of an older version
        return np.zeros(len(batch), np.int64), [""]
    column = batch[label]
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    dictionary = [text or "" for text in column.dictionary.to_pylist()]
    codes: Codes = pc.fill_null(column.indices, len(dictionary)).to_numpy(zero_copy_only=False)
    return codes, [*dictionary, ""]


def of_blocks(
    blocks: Sequence[Block], family: Family, matchers: Mapping[str, str], start: float, end: float
) -> Iterator[Readings]:
    """The rows of blocks that are not on disk yet."""
    wanted = [(family.labels.index(label), value) for label, value in matchers.items()]
    for block in blocks:
        if block.family != family or not start < block.timestamp <= end:
            continue
        rows = [block.labels[at] for at in block.at.tolist()]
        kept = [i for i, row in enumerate(rows) if all(row[at] == value for at, value in wanted)]
        if kept:
            count = len(kept)
            yield Readings(
                [rows[i] for i in kept],
                np.arange(count, dtype=np.int32),
                np.full(count, block.timestamp),
                block.values[kept],
            )
