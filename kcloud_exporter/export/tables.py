"""Tables: rows as JSON, CSV and Parquet, written as they come. Memory stays that of a few batches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any, Final, Protocol

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from kcloud_exporter.export.safe import csv_text

META: Final = b"kcloud_exporter"
"""Key of the provenance in the metadata of a Parquet file."""
_GROUP: Final = 131_072


class Writer(Protocol):
    """Writes one file. `finish` is called once, after all rows; a file without it is no whole file."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""

    def finish(self, totals: Mapping[str, Any]) -> None:
        """Add what the rows add up to, and end the file."""


def texts(batch: pa.RecordBatch) -> dict[str, Any]:
    """The columns of a batch with text in place of dictionaries and moments as RFC 3339 text."""
    found = {}
    for name in batch.schema.names:
        column = batch[name]
        if pa.types.is_timestamp(column.type):
            column = pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
        elif pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        found[name] = column
    return found


class JsonWriter:
    """One object: `data` is an array of rows, `metadata` the provenance with the totals."""

    def __init__(self, out: IO[bytes], schema: pa.Schema, about: Mapping[str, Any]) -> None:
        self._out, self._about, self._first = out, about, True
        self._names = schema.names
        head = {
            "timestamp": about["generated_at"],
            "cluster": about["filters"].get("cluster"),
            "resource_type": f"{about['dataset']}_export",
        }
        out.write(orjson.dumps(head)[:-1] + b',"data":[')

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        columns = [column.to_pylist() for column in texts(batch).values()]
        rows = [dict(zip(self._names, row, strict=True)) for row in zip(*columns, strict=True)]
        if rows:
            self._out.write((b"" if self._first else b",") + b"\n" + b",\n".join(map(orjson.dumps, rows)))
            self._first = False

    def finish(self, totals: Mapping[str, Any]) -> None:
        """End the array and tell the provenance."""
        self._out.write(b'\n],"metadata":' + orjson.dumps({**self._about, "totals": dict(totals)}) + b"}\n")


class CsvWriter:
    """A header and rows and nothing else: a comment would be a row to most readers. The provenance goes beside it."""

    def __init__(self, out: IO[bytes], schema: pa.Schema, about: Mapping[str, Any]) -> None:  # noqa: ARG002
        self._schema = pa.schema(
            [pa.field(f.name, f.type if pa.types.is_floating(f.type) else pa.string()) for f in schema]
        )
        options = arrow_csv.WriteOptions(include_header=True, quoting_style="needed")
        self._writer = arrow_csv.CSVWriter(out, self._schema, write_options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        columns = texts(batch)
        for name in batch.schema.names:
            if pa.types.is_dictionary(batch[name].type):
                encoded = batch[name]
                harmless = pa.array([csv_text(text) for text in encoded.dictionary.to_pylist()], pa.string())
                columns[name] = pa.DictionaryArray.from_arrays(encoded.indices, harmless).cast(pa.string())
        self._writer.write_batch(
            pa.RecordBatch.from_arrays([columns[n] for n in self._schema.names], schema=self._schema)
        )

    def finish(self, totals: Mapping[str, Any]) -> None:  # noqa: ARG002
        """End the file."""
        self._writer.close()


class ParquetWriter:
    """Typed columns; the provenance with the totals is in the file's metadata under `kcloud_exporter`."""

    def __init__(self, out: IO[bytes], schema: pa.Schema, about: Mapping[str, Any]) -> None:
        self._about, self._schema = about, schema
        self._writer = pq.ParquetWriter(out, schema, compression="zstd", use_dictionary=True, write_page_checksum=True)
        self._held: list[pa.RecordBatch] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self._held.append(batch)
        if sum(map(len, self._held)) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held, self._schema).unify_dictionaries())
            self._held = []

    def finish(self, totals: Mapping[str, Any]) -> None:
        """Add the provenance and end the file."""
        self._flush()
        self._writer.add_key_value_metadata({META: json.dumps({**self._about, "totals": dict(totals)}).encode()})
        self._writer.close()
