"""Plot: CPU of a cycle over the number of series, both axes logarithmic, as an SVG that any browser shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from kcloud_exporter.bench.measure import Result

_WIDTH, _HEIGHT = 760, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 190, 50, 60
_COLOURS: Final = {
    "kcloud-exporter": "#0b7a75",
    "recording rules": "#b4770f",
    "conventional": "#a3324b",
    "copying the text": "#7a7f87",
}


class _Axis(NamedTuple):
    """A logarithmic axis over whole decades, from `low` to `high` (exponents of 10), on pixels."""

    low: int
    high: int
    begin: float
    end: float

    def at(self, value: float) -> float:
        return self.begin + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.begin)


def plot(results: Sequence[Result]) -> str:
    """The picture. Needs at least one result."""
    lines = {name: points for name, points in _lines(results) if points}
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    across = _Axis(*_decades(xs), _LEFT, _WIDTH - _RIGHT)
    up = _Axis(*_decades(ys), _HEIGHT - _BOTTOM, _TOP)
    label = "CPU seconds of a cycle by number of source series"
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="28" font-size="16">CPU seconds of one cycle, by source series</text>',
        *_grid(across, up),
    ]
    for name, points in lines.items():
        parts += _line(name, [(across.at(x), up.at(y)) for x, y in points])
    parts += [*_legend(lines), "</svg>"]
    return "\n".join(parts) + "\n"


def _lines(results: Sequence[Result]) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    ordered = sorted(results, key=lambda r: r.series)
    yield "conventional", [(r.series, c) for r in ordered if (c := r.conventional_cpu_seconds)]
    yield "recording rules", [(r.series, r.rules_cpu_seconds) for r in ordered if r.rules_cpu_seconds]
    yield "kcloud-exporter", [(r.series, r.steady_cpu_seconds) for r in ordered]
    yield "copying the text", [(r.series, c) for r in ordered if (c := r.floors.get("copy the text"))]


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _grid(across: _Axis, up: _Axis) -> Iterator[str]:
    for power in range(across.low, across.high + 1):
        x = across.at(10.0**power)
        yield f'<line x1="{x:.1f}" y1="{up.end}" x2="{x:.1f}" y2="{up.begin}" stroke="#e3e5e8"/>'
        yield f'<text x="{x:.1f}" y="{up.begin + 22}" text-anchor="middle" fill="#444">{10**power:,}</text>'
    for power in range(up.low, up.high + 1):
        y = up.at(10.0**power)
        yield f'<line x1="{across.begin}" y1="{y:.1f}" x2="{across.end}" y2="{y:.1f}" stroke="#e3e5e8"/>'
        yield f'<text x="{across.begin - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#444">{10.0**power:g} s</text>'


def _line(name: str, points: Sequence[tuple[float, float]]) -> Iterator[str]:
    colour = _COLOURS[name]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in points)


def _legend(names: Sequence[str] | dict[str, list[tuple[float, float]]]) -> Iterator[str]:
    for at, name in enumerate(names):
        x, y = _WIDTH - _RIGHT + 20, _TOP + 14 + 24 * at
        yield f'<rect x="{x}" y="{y - 9}" width="14" height="10" fill="{_COLOURS[name]}"/>'
        yield f'<text x="{x + 20}" y="{y}" fill="#222">{escape(name)}</text>'
