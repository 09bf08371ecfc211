"""Charts as vector drawings: areas, lines and bars over time, and bars by size. Unknown is a gap, never nought."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray
from reportlab.graphics.shapes import Drawing, Group, Line, Path, PolyLine, Rect, String
from reportlab.lib.colors import Color, HexColor
from reportlab.pdfbase.pdfmetrics import stringWidth

from kcloud_exporter.export.fonts import Fonts
from kcloud_exporter.model import Floats

INK: Final = HexColor("#1b2733")
MUTED: Final = HexColor("#6b7a89")
GRID: Final = HexColor("#e3e8ee")
ACCENT: Final = HexColor("#1f6feb")
MISSING: Final = HexColor("#f3d9d4")
PALETTE: Final = tuple(
    HexColor(code)
    for code in (
        "#1f6feb",
        "#12a594",
        "#f2a33a",
        "#8e5bd6",
        "#e5566d",
        "#6b7a89",
        "#3aa0d8",
        "#7cb342",
        "#c2703d",
        "#b0b8c1",
    )
)
COMPONENT_COLOURS: Final = {
    "gpu": HexColor("#1f6feb"),
    "npu": HexColor("#8e5bd6"),
    "tpu": HexColor("#3aa0d8"),
    "cpu": HexColor("#12a594"),
    "memory": HexColor("#f2a33a"),
    "other": HexColor("#b0b8c1"),
}
_TICKS: Final = 4
_LABEL, _GAP = 7, 6.0
"""Points: the size of the text of an axis, and the least space between two of its labels."""
_LEFT, _BOTTOM, _TOP, _RIGHT = 44.0, 22.0, 16.0, 18.0
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Layer:
    """One named row of numbers over the steps of a chart; NaN is unknown."""

    name: str
    values: Floats
    colour: Color


@dataclass(frozen=True, slots=True)
class Axis:
    """The steps of a chart: where labelled ones stand, and the unit of its numbers."""

    ticks: Sequence[tuple[float, str]]
    unit: str
    form: Callable[[float], str]


def apart(labels: Sequence[str], width: float, fonts: Fonts) -> int:
    """Every how many of the labels below a chart of so many points can be shown, so that none touches its neighbour."""
    longest = max((stringWidth(label, fonts.regular, _LABEL) for label in labels), default=0.0)
    return max(math.ceil(len(labels) * (longest + _GAP) / (width - _LEFT - _RIGHT)), 1)


def scale_of(top: float, bottom: float = 0.0) -> list[float]:
    """Round numbers from `bottom` to `top` or a little above, for the grid."""
    if not math.isfinite(top) or top <= bottom:
        top = bottom + 1.0
    rough = (top - bottom) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough * 0.999)
    first = math.floor(bottom / step + 1e-9) * step
    count = math.ceil((top - first) / step - 1e-9)
    return [first + step * n for n in range(count + 1)]


class Plot:
    """A frame with a grid, to which layers are added."""

    def __init__(
        self, width: float, height: float, steps: int, axis: Axis, grid: Sequence[float], fonts: Fonts
    ) -> None:
        self.drawing = Drawing(width, height)
        self._fonts, self._axis, self._grid = fonts, axis, grid
        self._x0, self._y0 = _LEFT, _BOTTOM
        self._w, self._h = width - _LEFT - _RIGHT, height - _BOTTOM - _TOP
        self._steps = steps
        self._back()

    def x(self, step: float) -> float:
        """Where a step stands."""
        return self._x0 + self._w * step / max(self._steps, 1)

    def y(self, value: float) -> float:
        """Where a number stands."""
        low, high = self._grid[0], self._grid[-1]
        return self._y0 + self._h * (value - low) / (high - low)

    def _back(self) -> None:
        for value in self._grid:
            y = self.y(value)
            self.drawing.add(Line(self._x0, y, self._x0 + self._w, y, strokeColor=GRID, strokeWidth=0.6))
            self._text(self._x0 - 5, y - 2.5, self._axis.form(value), "end")
        self._text(self._x0 - 5, self._y0 + self._h + _TOP - 7, self._axis.unit, "end", colour=INK)
        for step, label in self._axis.ticks:
            x = self.x(step)
            self.drawing.add(Line(x, self._y0, x, self._y0 - 3, strokeColor=MUTED, strokeWidth=0.5))
            self._text(x, self._y0 - 12, label, "middle")

    def _text(self, x: float, y: float, text: str, anchor: Literal["middle", "end"], colour: Color = MUTED) -> None:
        self.drawing.add(
            String(x, y, text, textAnchor=anchor, fontName=self._fonts.regular, fontSize=_LABEL, fillColor=colour)
        )

    def missing(self, unknown: Mask, opacity: float = 0.55) -> None:
        """Tint the steps of which nothing is known, or not everything."""
        for first, last in runs(unknown):
            x = self.x(first)
            self.drawing.add(box(x, self._y0, self.x(last) - x, self._h, MISSING, opacity=opacity))

    def areas(self, layers: Sequence[Layer]) -> None:
        """Areas stacked on one another. Where no layer is known nothing is drawn; one that is unknown has no height."""
        if not layers:
            return
        stack = np.zeros(self._steps)
        known = np.logical_or.reduce([~np.isnan(layer.values) for layer in layers])
        for layer in layers:
            top = stack + np.nan_to_num(layer.values)
            for first, last in runs(known):
                path = Path(fillColor=layer.colour, strokeColor=None)
                # A step has a width: its value holds for all of it.
                path.moveTo(self.x(first), self.y(stack[first]))
                for step in range(first, last):
                    path.lineTo(self.x(step), self.y(top[step]))
                    path.lineTo(self.x(step + 1), self.y(top[step]))
                for step in range(last - 1, first - 1, -1):
                    path.lineTo(self.x(step + 1), self.y(stack[step]))
                    path.lineTo(self.x(step), self.y(stack[step]))
                path.closePath()
                self.drawing.add(path)
            stack = top

    def bars(self, layers: Sequence[Layer]) -> None:
        """Bars stacked on one another, one per step."""
        stack = np.zeros(self._steps)
        for layer in layers:
            for step in np.flatnonzero(~np.isnan(layer.values)).tolist():
                low, value = self.y(stack[step]), float(layer.values[step])
                wide = (self.x(step + 1) - self.x(step)) * 0.72
                x = self.x(step) + (self.x(step + 1) - self.x(step)) * 0.14
                self.drawing.add(box(x, low, wide, self.y(stack[step] + value) - low, layer.colour))
                stack[step] += value

    def line(self, layer: Layer, width: float = 1.4) -> None:
        """A line that breaks where nothing is known."""
        for first, last in runs(~np.isnan(layer.values)):
            points = [
                at for step in range(first, last) for at in (self.x(step + 0.5), self.y(float(layer.values[step])))
            ]
            if last - first == 1:
                points += [points[0] + 1, points[1]]
            self.drawing.add(PolyLine(points, strokeColor=layer.colour, strokeWidth=width, strokeLineJoin=1))


def box(x: float, y: float, w: float, h: float, colour: Color, radius: float = 0, opacity: float = 1) -> Rect:
    """A filled rectangle without a border."""
    shape: Rect = cast("Any", Rect)(x, y, w, h, radius, radius, fillColor=colour, strokeColor=None, fillOpacity=opacity)
    return shape


def runs(mask: Mask) -> list[tuple[int, int]]:
    """(first, after the last) of each unbroken run of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def legend(names: Sequence[tuple[str, Color]], width: float, fonts: Fonts, size: float = 7.5) -> Drawing:
    """Coloured squares with names, on as many lines as they need."""
    rows: list[list[tuple[float, str, Color]]] = [[]]
    x = 0.0
    for name, colour in names:
        wide = 14 + stringWidth(name, fonts.regular, size) + 14
        if x + wide > width and rows[-1]:
            rows.append([])
            x = 0.0
        rows[-1].append((x, name, colour))
        x += wide
    drawing = Drawing(width, 13.0 * len(rows))
    for number, row in enumerate(rows):
        y = 13.0 * (len(rows) - 1 - number) + 3
        for x, name, colour in row:
            drawing.add(box(x, y, 8, 8, colour, radius=1.5))
            drawing.add(String(x + 12, y + 1, name, fontName=fonts.regular, fontSize=size, fillColor=INK))
    return drawing


def fitted(text: str, width: float, font: str, size: float) -> str:
    """The text, cut with an ellipsis where it would be wider."""
    if stringWidth(text, font, size) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if stringWidth(text[:middle] + "…", font, size) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low] + "…"


def ranking(rows: Sequence[tuple[str, float, str, Color]], width: float, fonts: Fonts) -> Drawing:
    """Horizontal bars: (name, size, what is said of it, colour)."""
    row_height = 17.0
    drawing = Drawing(width, row_height * len(rows))
    most = max((size for _, size, _, _ in rows), default=0.0) or 1.0
    label, value = width * 0.30, width * 0.20
    for number, (name, size, told, colour) in enumerate(rows):
        y = row_height * (len(rows) - 1 - number)
        group = Group()
        shown = fitted(name, label - 8, fonts.regular, 8)
        group.add(String(0, y + 5, shown, fontName=fonts.regular, fontSize=8, fillColor=INK))
        room = width - label - value
        group.add(box(label, y + 3, room, row_height - 7, GRID, radius=2))
        group.add(box(label, y + 3, max(room * size / most, 1), row_height - 7, colour, radius=2))
        group.add(String(width, y + 5, told, textAnchor="end", fontName=fonts.regular, fontSize=8, fillColor=INK))
        drawing.add(group)
    return drawing


def strip(values: Floats, width: float, height: float = 9.0, left: float = _LEFT) -> Drawing:
    """A strip that tells how complete each step is: full colour is all, pale is little, tinted red is nothing."""
    drawing = Drawing(width, height)
    room = width - left - _RIGHT
    for step, value in enumerate(values.tolist()):
        known = not math.isnan(value) and value > 0
        colour = PALETTE[1] if known else MISSING
        x = left + room * step / len(values)
        drawing.add(
            box(x, 0, room / len(values) + 0.2, height - 2, colour, opacity=max(0.15, value**2) if known else 1)
        )
    return drawing
