"""Listing: rows of a dataset as a PDF: what they add up to, a chart of power over time, the rows, the provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any

import numpy as np
import pyarrow as pa
from reportlab.platypus import Flowable, Spacer

from kcloud_exporter.export.charts import ACCENT, Axis, Layer, Plot, scale_of
from kcloud_exporter.export.document import Paper
from kcloud_exporter.export.fonts import fonts
from kcloud_exporter.export.tables import texts


class ListingWriter:
    """Holds the rows, of which there are few, and lays them out at the end."""

    def __init__(self, out: IO[bytes], schema: pa.Schema, about: Mapping[str, Any]) -> None:
        self._out, self._schema, self._about = out, schema, about
        self._rows: list[tuple[str, ...]] = []
        self._power: dict[float, float] = {}

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        columns = [column.to_pylist() for column in texts(batch).values()]
        self._rows.extend(tuple(_shown(value) for value in row) for row in zip(*columns, strict=True))
        if "power_watts" in batch.schema.names:
            times = batch["timestamp"].cast(pa.int64()).to_pylist()
            for at, watts in zip(times, batch["power_watts"].to_pylist(), strict=True):
                if watts is not None:
                    self._power[at] = self._power.get(at, 0.0) + watts

    def finish(self, totals: Mapping[str, Any]) -> None:
        """Lay out the pages."""
        about = {**self._about, "totals": dict(totals)}
        window = self._about["window"]
        face = fonts("en")
        paper = Paper(
            title=f"{self._about['dataset'].capitalize()} export",
            subtitle=f"{window['start']} – {window['end']}, every {window['step_seconds']:g} s, UTC",
            foot=f"kcloud-exporter {self._about['version']} · {self._about['generated_at']}",
            fonts=face,
            wide=True,
        )
        story: list[Flowable] = []
        if not self._about["complete"]:
            story += [paper.note(incomplete(self._about["completeness"])), Spacer(1, 6)]
        if self._power:
            story += [paper.heading("Power over time"), self._chart(paper), Spacer(1, 8)]
        if totals.get("energy_kwh") is not None:
            story += [paper.text(f"Energy of all rows: {totals['energy_kwh']:,.3f} kWh", 9, bold=True), Spacer(1, 6)]
        if self._rows:
            widths = [
                max(len(name), *(min(len(row[n]), 40) for row in self._rows[:200]))
                for n, name in enumerate(self._schema.names)
            ]
            story += [
                paper.table(self._schema.names, self._rows, [max(w, 8) for w in widths], long=True),
                Spacer(1, 10),
            ]
        else:
            story += [paper.text("History knows nothing of this window."), Spacer(1, 10)]
        story += paper.about("About this file", about)
        if face.note:
            story.append(paper.text(face.note, 7))
        paper.build(
            story, self._out, {"subject": "power and energy", "creator": f"kcloud-exporter {self._about['version']}"}
        )

    def _chart(self, paper: Paper) -> Flowable:
        window = self._about["window"]
        start = datetime.fromisoformat(window["start"]).timestamp()
        step = float(window["step_seconds"])
        points = round((datetime.fromisoformat(window["end"]).timestamp() - start) / step)
        values = np.full(points, np.nan)
        for at, watts in self._power.items():
            values[min(round((at - start) / step) - 1, points - 1)] = watts / 1e3
        grid = scale_of(float(np.nanmax(values)))
        marks = range(0, points + 1, math.ceil(points / 6))
        ticks = [(n, datetime.fromtimestamp(start + n * step, UTC).strftime("%m-%d %H:%M")) for n in marks]
        plot = Plot(paper.width, 150, points, Axis(ticks, "kW", lambda value: f"{value:g}"), grid, paper.fonts)
        plot.missing(np.isnan(values))
        plot.areas([Layer("power", values, ACCENT)])
        return plot.drawing


def incomplete(completeness: Mapping[str, float]) -> str:
    """What is said above numbers that are lower bounds."""
    lacking = [f"{name} {ratio:.1%}" for name, ratio in completeness.items() if ratio < 0.999] or ["nothing is known"]
    return f"Incomplete: totals are lower bounds. Measured part of nodes and time: {', '.join(lacking[:12])}."


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.4g}" if 0 < abs(value) < 1 else f"{value:,.2f}"
