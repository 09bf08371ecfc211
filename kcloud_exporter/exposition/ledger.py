"""Ledger page: all families of a snapshot as text, and nothing that depends on when and by whom it is asked for."""

from __future__ import annotations

from kcloud_exporter.exposition.page import series_section
from kcloud_exporter.exposition.renderer import Renderer, header
from kcloud_exporter.model import Snapshot


def ledger_page(renderer: Renderer, snapshot: Snapshot) -> bytes:
    """The page of /metrics in the text format without the snapshot's age and the metrics of the process itself."""
    sections = [*renderer.sections(snapshot)]
    sections.append(series_section(sum(section.series for section in sections)))
    parts = [part for of in sections for part in (header(of.family, openmetrics=False), *of.parts.values())]
    return b"".join(parts)
