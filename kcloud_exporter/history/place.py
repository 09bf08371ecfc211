"""Place: where history is, so that another process can read it too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kcloud_exporter.history.embedded import FileReader
from kcloud_exporter.history.prometheus import PrometheusHistory
from kcloud_exporter.history.recorder import Block
from kcloud_exporter.history.series import History
from kcloud_exporter.sources.access import Access


@dataclass(frozen=True, slots=True)
class Place:
    """A folder and the rows that are not in it yet, or the URL of a store. Can be pickled."""

    folder: Path | None = None
    waiting: tuple[Block, ...] = ()
    url: str = ""
    access: Access | None = None

    def open(self) -> History:
        """The read side of it."""
        if self.folder is None:
            return PrometheusHistory(self.url, self.access)
        return _Reader(self.folder, self.waiting)

    @property
    def kind(self) -> str:
        """What a file's provenance says of it."""
        return "embedded" if self.folder is not None else "prometheus"


class _Reader(FileReader):
    """Files of another process, and the rows that it has not written yet."""

    def __init__(self, folder: Path, waiting: tuple[Block, ...]) -> None:
        super().__init__(folder)
        self._rows = list(waiting)

    def waiting(self) -> list[Block]:
        return self._rows
