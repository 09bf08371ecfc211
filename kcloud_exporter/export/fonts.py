"""Fonts of PDFs. One that knows Hangul is embedded where the system has it (Debian: fonts-nanum).

Otherwise Korean text is set in a font that PDF readers bring themselves, and everything else in Helvetica.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFError, TTFont

_FOLDERS: Final = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path("/usr/share/fonts/truetype/nanum"))
_PAIRS: Final = (
    ("NanumBarunGothic.ttf", "NanumBarunGothicBold.ttf"),
    ("NanumGothic.ttf", "NanumGothicBold.ttf"),
    ("UnDotum.ttf", "UnDotumBold.ttf"),
)
_NOT_EMBEDDED: Final = "HYGothic-Medium"


@dataclass(frozen=True, slots=True)
class Fonts:
    """Names of the regular and the bold font, and what to say of them; empty: nothing."""

    regular: str
    bold: str
    note: str = ""


@cache
def fonts(language: str) -> Fonts:
    """The fonts of a language."""
    for regular, bold in _PAIRS:
        paths = [_find(regular), _find(bold)]
        if None in paths:
            continue
        try:
            pdfmetrics.registerFont(TTFont("kcloud", paths[0]))
            pdfmetrics.registerFont(TTFont("kcloud-bold", paths[1]))
        except (TTFError, OSError):
            continue
        pdfmetrics.registerFontFamily("kcloud", "kcloud", "kcloud-bold", "kcloud", "kcloud-bold")
        return Fonts("kcloud", "kcloud-bold")
    if language == "ko":
        pdfmetrics.registerFont(UnicodeCIDFont(_NOT_EMBEDDED))
        note = "글꼴이 포함되지 않았습니다. 시스템에 fonts-nanum 을 설치하면 포함됩니다."
        return Fonts(_NOT_EMBEDDED, _NOT_EMBEDDED, note)
    note = "No font with Hangul was found: names in other scripts may not show. Install fonts-nanum to embed one."
    return Fonts("Helvetica", "Helvetica-Bold", note)


def _find(name: str) -> str | None:
    for folder in _FOLDERS:
        for path in sorted(folder.rglob(name)) if folder.is_dir() else ():
            return str(path)
    return None
