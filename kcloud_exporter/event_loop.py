"""The event loop, watched: how late it comes to what is due. Whatever holds it up delays every answer by as much."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

EVERY_SECONDS: Final = 0.1
"""How often one looks. A hold-up that is shorter may fall between two looks, and one that is longer cannot."""


@contextlib.asynccontextmanager
async def watched(lagged: Callable[[float], None]) -> AsyncIterator[None]:
    """While it lasts, `lagged` hears at every look by how many seconds it came late."""

    async def watch() -> None:
        while True:
            due = time.monotonic() + EVERY_SECONDS
            await asyncio.sleep(EVERY_SECONDS)
            lagged(max(0.0, time.monotonic() - due))

    task = asyncio.create_task(watch(), name="event loop lag")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
