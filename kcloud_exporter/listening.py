"""Listening: how a server stops without leaving a connection behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, Protocol

_TURNS: Final = 3
"""Turns of the event loop between a connection's arrival and the server's knowing of it."""


class Listener(Protocol):
    """A listening socket."""

    def fileno(self) -> int:
        """Its descriptor."""


async def accept_no_more(listening: Iterable[Listener]) -> None:
    """Accept nothing new, and let the server know of what was accepted, so that closing it closes that as well.

    A connection whose server is closed between the two is closed by nobody.
    """
    for sock in listening:
        asyncio.get_running_loop().remove_reader(sock.fileno())
    for _ in range(_TURNS):
        await asyncio.sleep(0)
