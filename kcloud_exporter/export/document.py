"""Document: pages of a PDF. Styles, head and foot of a page, cards, tables, and the page that tells the provenance."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

from reportlab.lib.colors import HexColor, white
from reportlab.lib.enums import TA_LEFT, TA_RIGHT
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    LongTable,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
)

from kcloud_exporter.export.charts import ACCENT, GRID, INK, MUTED, fitted
from kcloud_exporter.export.fonts import Fonts
from kcloud_exporter.export.safe import markup
from kcloud_exporter.export.workbook import flat

MARGIN: Final = 16 * mm
HEAD: Final = 18 * mm
_LONG_WORD: Final = 60
_ABOUT: Final = 150.0
"""Points of height that the provenance needs at least, so that its heading does not stand alone."""
PALE: Final = HexColor("#f6f8fa")
WARN: Final = HexColor("#fff4e5")
WARN_INK: Final = HexColor("#8a5300")


@dataclass(frozen=True, slots=True)
class Paper:
    """A document in the making: what stands at the head and foot of each page, and in which fonts."""

    title: str
    subtitle: str
    foot: str
    fonts: Fonts
    wide: bool = False

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of a page in points."""
        return landscape(A4) if self.wide else A4

    @property
    def width(self) -> float:
        """Points between the margins."""
        return self.size[0] - 2 * MARGIN

    def style(self, size: float = 8.5, *, bold: bool = False, colour: Any = INK, right: bool = False) -> ParagraphStyle:
        """A style of text."""
        font = self.fonts.bold if bold else self.fonts.regular
        name = f"{font}-{size}-{colour}-{right}"
        return ParagraphStyle(
            name,
            fontName=font,
            fontSize=size,
            leading=size * 1.42,
            textColor=colour,
            alignment=TA_RIGHT if right else TA_LEFT,
        )

    def text(self, text: str, size: float = 8.5, **look: Any) -> Paragraph:
        """A paragraph of text, in which nothing is markup."""
        style = self.style(size, **look)
        if any(len(word) > _LONG_WORD for word in text.split()):
            style = ParagraphStyle(f"{style.name}-anywhere", style, wordWrap="CJK")  # breaks anywhere, not at spaces
        return Paragraph(markup(text, 2000), style)

    def heading(self, text: str) -> Flowable:
        """The heading of a section."""
        return self.text(text, 12, bold=True)

    def note(self, text: str) -> Flowable:
        """What the reader has to know before the numbers, set apart."""
        table = Table([[self.text(text, 8.5, colour=WARN_INK)]], colWidths=[self.width])
        table.setStyle([("BACKGROUND", (0, 0), (-1, -1), WARN), ("ROUNDEDCORNERS", [4, 4, 4, 4]), *_padding(7)])
        return table

    def cards(self, cards: Sequence[tuple[str, str, str]], columns: int = 4) -> Flowable:
        """Numbers that stand out: (what, number, what is said of it)."""
        cells: list[list[Flowable]] = [
            [
                self.text(what, 7.5, colour=MUTED),
                self.text(number, 15, bold=True),
                self.text(more or " ", 7, colour=MUTED),
            ]
            for what, number, more in cards
        ]
        cells += [[Spacer(1, 1)] for _ in range(-len(cells) % columns)]
        rows = [cells[at : at + columns] for at in range(0, len(cells), columns)]
        gap = 6.0
        width = (self.width - gap * (columns - 1)) / columns
        spaced = [[cell for pair in row for cell in (pair, "")][:-1] for row in rows]
        table = Table(spaced, colWidths=([width, gap] * columns)[:-1], spaceAfter=4)
        table.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), *_padding(6)])
        for row in range(len(rows)):
            for column in range(columns):
                if row * columns + column < len(cards):
                    at = (2 * column, row)
                    table.setStyle([("BACKGROUND", at, at, PALE), ("LINEABOVE", at, at, 1.6, ACCENT)])
        return table

    def table(
        self, head: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float], *, long: bool = False
    ) -> Flowable:
        """A table; all columns but those that are text stand right. `widths` are parts of the page's width."""
        total = sum(widths)
        sizes = [self.width * width / total for width in widths]
        numeric = [bool(rows) and all(_is_number(row[n]) for row in rows) for n in range(len(head))]
        top = [self.text(name, 7.5, bold=True, colour=white, right=numeric[n]) for n, name in enumerate(head)]
        face = self.fonts.regular
        body = [[fitted(markup_free(text), sizes[n] - 9, face, 7.5) for n, text in enumerate(row)] for row in rows]
        kind = LongTable if long else Table
        table = kind([top, *body], colWidths=sizes, repeatRows=1)
        table.setStyle(
            [
                ("BACKGROUND", (0, 0), (-1, 0), HexColor("#22405f")),
                ("FONT", (0, 1), (-1, -1), self.fonts.regular, 7.5),
                ("TEXTCOLOR", (0, 1), (-1, -1), INK),
                ("ROWBACKGROUNDS", (0, 1), (-1, -1), [white, PALE]),
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, GRID),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                *_padding(3),
                *(("ALIGN", (n, 0), (n, -1), "RIGHT") for n, right in enumerate(numeric) if right),
            ]
        )
        return table

    def about(self, heading: str, about: Mapping[str, Any]) -> list[Flowable]:
        """The provenance as a table."""
        rows = [(name, _told(value)) for name, value in flat(about)]
        cells = [[self.text(name, 7.5, bold=True), self.text(value, 7.5)] for name, value in rows]
        table = LongTable(cells, colWidths=[self.width * 0.32, self.width * 0.68])
        table.setStyle(
            [("LINEBELOW", (0, 0), (-1, -1), 0.4, GRID), ("VALIGN", (0, 0), (-1, -1), "TOP"), *_padding(2.5)]
        )
        return [CondPageBreak(_ABOUT), self.heading(heading), Spacer(1, 4), table]

    def build(self, story: Sequence[Flowable], out: IO[bytes], metadata: Mapping[str, str]) -> None:
        """Lay the pages out and write them to something that cannot seek."""
        with tempfile.TemporaryFile() as whole:
            document = BaseDocTemplate(
                whole, pagesize=self.size, leftMargin=MARGIN, rightMargin=MARGIN, title=self.title,
                author="kcloud-exporter", subject=metadata.get("subject", ""), creator=metadata.get("creator", ""),
                keywords=[metadata.get("keywords", "")], lang=metadata.get("lang", "en"),
            )  # fmt: skip
            height = self.size[1] - HEAD - 2 * MARGIN
            frame = Frame(
                MARGIN, MARGIN, self.width, height + 4, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0
            )
            document.addPageTemplates([PageTemplate(frames=[frame], onPage=self._dress)])
            document.build(list(story))
            whole.seek(0)
            shutil.copyfileobj(whole, out, 1 << 20)

    def _dress(self, canvas: Canvas, document: BaseDocTemplate) -> None:
        """Head and foot of a page."""
        width, height = self.size
        canvas.saveState()
        top = height - MARGIN
        canvas.setFillColor(ACCENT)
        canvas.roundRect(MARGIN, top - 24, 4, 26, 2, stroke=0, fill=1)
        canvas.setFillColor(INK)
        canvas.setFont(self.fonts.bold, 15)
        canvas.drawString(
            MARGIN + 12, top - 10, fitted(markup_free(self.title), width - 2 * MARGIN - 12, self.fonts.bold, 15)
        )
        canvas.setFillColor(MUTED)
        canvas.setFont(self.fonts.regular, 8.5)
        shown = fitted(markup_free(self.subtitle), width - 2 * MARGIN - 12, self.fonts.regular, 8.5)
        canvas.drawString(MARGIN + 12, top - 22, shown)
        canvas.setStrokeColor(GRID)
        canvas.line(MARGIN, MARGIN - 5, width - MARGIN, MARGIN - 5)
        canvas.setFont(self.fonts.regular, 7)
        canvas.drawString(MARGIN, MARGIN - 15, self.foot)
        canvas.drawRightString(width - MARGIN, MARGIN - 15, str(document.page))
        canvas.restoreState()


def markup_free(text: str) -> str:
    """Text that is drawn as it is: on one line, cut, without control characters."""
    return markup(text, 300).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _told(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


_NUMBER: Final = re.compile(r"[+\-−]?\d[\d,.]*( ?(%|kWh|MWh|kW|W|kg|g|t|[A-Z]{3}))?( · [\d,.]+ [A-Z]{3})*")


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None or text in ("–", "unknown", "미상")


def _padding(points: float) -> list[tuple[Any, ...]]:
    return [
        (f"{side}PADDING", (0, 0), (-1, -1), points if side in ("TOP", "BOTTOM") else max(points, 4))
        for side in ("TOP", "BOTTOM", "LEFT", "RIGHT")
    ]
