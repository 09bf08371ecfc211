"""Connecting: what one has to know of each exporter before its numbers are right; a file per vendor in `connect/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "connect"


@dataclass(frozen=True, slots=True)
class Connecting:
    """An example of a target, with the exporter's usual port and path, and what to know, as Markdown."""

    target: str
    notes: str


def connecting() -> dict[str, Connecting]:
    """Vendor table → what is known of connecting its exporter; the first line of a file is `target: URL`."""
    found = {}
    for path in sorted(_FOLDER.glob("*.md")):
        first, _, notes = path.read_text(encoding="utf-8").partition("\n")
        found[path.stem] = Connecting(first.removeprefix("target: "), notes.strip())
    return found
