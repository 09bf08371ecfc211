"""Labels come from strangers: no formula, no markup, no control character of theirs has an effect in any file."""

from __future__ import annotations

import csv
import io
import json
import socket
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from kcloud_exporter.export.safe import CELL, cell, csv_text, markup
from tests.export.making import Kept, keep
from tests.fuzz.mutants import TIMES

HOSTILE = (
    '=HYPERLINK("http://evil/","x")', "=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\x00=1", "＝1+1",
    "#N/A", "#DIV/0!", "TRUE", "1e5", "0012", "a,b", 'quo"te', "semi;colon", "new\nline", "bell\x07", "\x1b[31mred",
    "<b>bold</b>", "<img src='http://127.0.0.1:1/x'/>", "a<b", "&amp;", "<a href='http://evil'>x</a>", "<para>",
    "서울", "😀", '"}',
    "\u202eevil", "\ufeffbom", "'quoted", "x" * 40_000, "../../etc/passwd", "name\r\nX-Evil: 1", "},{",
)  # fmt: skip
FORMULA = tuple("=+-@\t\r\n\x00＝＋－＠")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return keep(tmp_path_factory.mktemp("hostile") / "history", HOSTILE, gap=False)


SAID = {"breakdown_by": "namespace", "step": "1h", "cluster": "seoul-a"}


async def test_json_and_parquet_hold_the_names_exactly(kept: Kept) -> None:
    data, _ = await kept.file("power", {**SAID, "format": "json"})
    assert {row["namespace"] for row in json.loads(data)["data"]} == set(HOSTILE)
    assert b"NaN" not in data
    data, _ = await kept.file("power", {**SAID, "format": "parquet"})
    assert set(pq.read_table(pa.BufferReader(data))["namespace"].to_pylist()) == set(HOSTILE)


async def test_no_cell_of_a_csv_begins_like_a_formula_and_every_name_can_be_told(kept: Kept) -> None:
    data, _ = await kept.file("power", {**SAID, "format": "csv"})
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))

    assert {len(row) for row in rows} == {7}
    for row in rows[1:]:
        assert not [text for text in row[:4] if text.startswith(FORMULA)]
    assert {row[2] for row in rows[1:]} == {csv_text(name) for name in HOSTILE}


async def test_a_sheet_holds_text_and_numbers_and_not_one_formula(kept: Kept) -> None:
    data, _ = await kept.file("power", {**SAID, "format": "excel"})
    book = openpyxl.load_workbook(io.BytesIO(data))

    kinds = {it.data_type for sheet in book for row in sheet.iter_rows() for it in row}
    assert kinds <= {"s", "n", "d", "b"}, "no f, no e"
    names = {str(row[2]) for row in book["Data"].iter_rows(min_row=2, values_only=True)}
    # XML takes every line break for \n.
    assert names == {cell(name).replace("\r\n", "\n").replace("\r", "\n") for name in HOSTILE}
    assert max(map(len, names)) == CELL


async def test_a_pdf_holds_the_names_as_text_and_nothing_of_them_as_markup(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: Any) -> None:
        raise AssertionError("a PDF asks nobody")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    data, _ = await kept.file("power", {**SAID, "format": "pdf"})
    reader = PdfReader(io.BytesIO(data))
    text = "".join(page.extract_text() for page in reader.pages)

    assert "<b>bold</b>" in text
    assert "<img src=" in text
    assert "a<b" in text
    assert not [page for page in reader.pages if "/Annots" in page], "no link"
    assert not [page for page in reader.pages if "/XObject" in str(page["/Resources"])], "no image"


@settings(max_examples=300 * TIMES)
@given(st.text(max_size=50))
def test_any_text_is_safe_in_every_form(text: str) -> None:
    assert not csv_text(text).startswith(FORMULA)
    assert "\x00" not in csv_text(text)
    assert csv_text(text).removeprefix("'") == text.removeprefix("'").replace("\x00", "\ufffd")
    assert "<" not in markup(text)
    assert "\n" not in markup(text)
    book = openpyxl.Workbook()
    book.active.append([cell(text)])  # type: ignore[union-attr]  # raises for a character that no cell may have
    assert len(cell(text * 1000)) <= CELL
