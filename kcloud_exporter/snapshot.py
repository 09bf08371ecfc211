"""SnapshotStore: the one mutable cell of the data path. Publishing replaces one reference."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from kcloud_exporter.model import Snapshot


class SnapshotStore:
    """Holds the current snapshot and tells waiting readers of the next one."""

    def __init__(self) -> None:
        self._current: Snapshot | None = None
        self._changed = asyncio.Event()

    @property
    def current(self) -> Snapshot | None:
        """The last published snapshot; None before the first cycle has ended."""
        return self._current

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the snapshot and wake everybody who waits in `updates`."""
        self._current = snapshot
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def updates(self) -> AsyncIterator[Snapshot]:
        """Every snapshot from now on. A slow reader skips to the newest; it never holds anybody up."""
        seen = self._current
        while True:
            changed = self._changed
            if self._current is None or self._current is seen:
                await changed.wait()
            else:
                seen = self._current
                yield seen
