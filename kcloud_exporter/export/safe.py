"""Safe text: labels come from strangers, and programs that open files run formulas, markup and control codes."""

from __future__ import annotations

import re
from typing import Final
from xml.sax.saxutils import escape

CELL: Final = 32_767
"""Characters of one cell of a sheet."""
_CUT: Final = " … [cut]"
_STRANGE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_BREAKS: Final = re.compile("[\r\n\u0085\u2028\u2029]")
_FORMULA: Final = tuple("=+-@\t\r\n\x00＝＋－＠")
"""What a cell begins with that a spreadsheet takes for a formula; the wide forms count in East Asia."""


def plain(text: str) -> str:
    """The text without characters that XML, and so a sheet or a PDF, cannot hold: each is replaced by U+FFFD."""
    return _STRANGE.sub("\ufffd", text)


def cell(text: str) -> str:
    """Text for a cell of a sheet: without control characters, cut where a cell ends, and marked when it was cut."""
    clean = plain(text)
    return clean if len(clean) <= CELL else clean[: CELL - len(_CUT)] + _CUT


def csv_text(text: str) -> str:
    """Text for CSV: what would begin a formula gets an apostrophe in front, and nothing else is changed but NUL."""
    clean = text.replace("\x00", "\ufffd")
    return f"'{clean}" if text.startswith(_FORMULA) else clean


def markup(text: str, longest: int = 200) -> str:
    """Text for a paragraph of a PDF: on one line, cut, and with nothing in it that is markup."""
    clean = _BREAKS.sub(" ", plain(text))
    return escape(clean if len(clean) <= longest else clean[: longest - 1] + "…")
