"""Workbook: rows as an Excel file, written row by row. The sheet "About" tells where they come from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

import pyarrow as pa
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter

from kcloud_exporter.export.safe import cell

ACCENT: Final = "1F4E79"
_TIME: Final = "yyyy-mm-dd hh:mm:ss"
_FORMATS: Final = {
    "completeness_ratio": "0.0%",
    "power_watts": "#,##0.0",
    "energy_joules": "#,##0",
    "value": "#,##0.####",
}


class SheetWriter:
    """One sheet of rows and one about them."""

    def __init__(self, out: IO[bytes], schema: pa.Schema, about: Mapping[str, Any]) -> None:
        self._out, self._about = out, about
        self._book = Workbook(write_only=True)
        self._told = self._book.create_sheet("About")
        self._sheet = self._book.create_sheet("Data")
        self._sheet.freeze_panes = "A2"
        for at, name in enumerate(schema.names, 1):
            self._sheet.column_dimensions[get_column_letter(at)].width = max(14, len(name) + 4)
        self._sheet.auto_filter.ref = f"A1:{get_column_letter(len(schema.names))}1"
        self._sheet.append([_header(self._sheet, "timestamp (UTC)" if n == "timestamp" else n) for n in schema.names])

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        columns = []
        for name in batch.schema.names:
            values = batch[name].to_pylist()
            if pa.types.is_timestamp(batch[name].type):
                columns.append([self._shaped(value.replace(tzinfo=None), _TIME) for value in values])
            elif pa.types.is_floating(batch[name].type):
                form = _FORMATS.get(name, "General")
                columns.append([None if value is None else self._shaped(value, form) for value in values])
            else:
                columns.append([text_cell(self._sheet, value) for value in values])
        for row in zip(*columns, strict=True):
            self._sheet.append(row)

    def _shaped(self, value: Any, form: str) -> Any:
        it = WriteOnlyCell(self._sheet, value)
        it.number_format = form
        return it

    def finish(self, totals: Mapping[str, Any]) -> None:
        """Tell the provenance and write the file."""
        write_about(self._told, {**self._about, "totals": dict(totals)})
        save(self._book, self._out)


def save(book: Workbook, out: IO[bytes]) -> None:
    """Write a workbook to something that cannot seek."""
    with tempfile.TemporaryFile() as whole:
        book.save(whole)
        whole.seek(0)
        shutil.copyfileobj(whole, out, 1 << 20)


def text_cell(sheet: Any, text: str | None) -> Any:
    """A cell that holds text and nothing else, whatever it begins with."""
    if text is None:
        return None
    clean = cell(text)
    if clean[:1] not in ("=", "#"):
        return clean
    it = WriteOnlyCell(sheet, clean)
    it.data_type = "s"
    return it


def _header(sheet: Any, text: str) -> Any:
    it = WriteOnlyCell(sheet, text)
    it.font = Font(bold=True, color="FFFFFF")
    it.fill = PatternFill("solid", fgColor=ACCENT)
    it.alignment = Alignment(vertical="center")
    return it


def write_about(sheet: Any, about: Mapping[str, Any]) -> None:
    """The provenance as two columns."""
    sheet.column_dimensions["A"].width, sheet.column_dimensions["B"].width = 34, 72
    for name, value in flat(about):
        label = WriteOnlyCell(sheet, name)
        label.font = Font(bold=True, color=ACCENT)
        sheet.append([text_cell(sheet, name) if name[:1] in "=#" else label, _value(sheet, value)])


def _value(sheet: Any, value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, int | float) else text_cell(sheet, str(value))


def flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested data as dotted names and values."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{cell(str(name))}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{cell(str(name))}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{cell(str(name))}", value
