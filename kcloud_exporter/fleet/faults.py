"""Failures on request: what an exporter may do instead of answering well."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from aiohttp import web

from kcloud_exporter.fleet.pages import Place

FaultKind: TypeAlias = Literal[
    "down",      # the connection closes without an answer
    "hang",      # accepted, and never answered
    "slow",      # the body comes in small pieces, over SLOW_SECONDS
    "http500",
    "garbage",   # 200 with something that is no exposition
    "truncate",  # half of the promised bytes, then the connection closes
    "empty",     # 200 without any device row
]  # fmt: skip
FAULTS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
SLOW_SECONDS: Final = 3.0
GARBAGE: Final = b'<html><head><title>502</title></head>\x00\xff{"oops": [1,5} 1,5\n'
_PIECES: Final = 10


@dataclass(frozen=True, slots=True)
class _Fault:
    kind: FaultKind
    until: float


class FaultBoard:
    """Which exporters fail at the moment, and how. `clock` gives seconds, so that tests need not wait."""

    def __init__(self, places: Iterable[Place], clock: Callable[[], float] = time.monotonic) -> None:
        self._places = tuple(places)
        self._clock = clock
        self._faults: dict[Place, _Fault] = {}
        self._changed = asyncio.Event()
        self._closed = False

    def set(self, match: str, kind: FaultKind | Literal["clear"], seconds: float | None = None) -> list[Place]:
        """Let every exporter whose `cluster/node/vendor` contains or matches `match` fail from now on.

        For `seconds`, or until cleared. Returns the exporters concerned. An invalid expression is only
        compared as text.
        """
        matched = [place for place in self._places if _matches(match, place)]
        until = float("inf") if seconds is None else self._clock() + seconds
        for place in matched:
            if kind == "clear":
                self._faults.pop(place, None)
            else:
                self._faults[place] = _Fault(kind, until)
        self._wake()
        return matched

    def current(self, place: Place) -> FaultKind | None:
        """What is wrong with one exporter now."""
        fault = self._faults.get(place)
        if fault and fault.until <= self._clock():
            del self._faults[place]
            return None
        return fault.kind if fault else None

    async def wait_while_hanging(self, place: Place) -> None:
        """Return when the exporter hangs no more, or the fleet closes."""
        while not self._closed and self.current(place) == "hang":
            changed = self._changed
            left = self._faults[place].until - self._clock()
            try:
                async with asyncio.timeout(None if left == float("inf") else max(left, 0.01)):
                    await changed.wait()
            except TimeoutError:
                continue

    def close(self) -> None:
        """Let go of every request that hangs."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _matches(match: str, place: Place) -> bool:
    name = f"{place.cluster}/{place.node}/{place.vendor}"
    if match in name:
        return True
    try:
        return re.search(match, name) is not None
    except re.error:
        return False


def without_devices(page: str) -> str:
    """A page from which every series is gone but those of the exporter's own process."""
    kept = ("go_", "process_", "kepler_build_info", "kepler_exporter_build_info")
    lines = page.splitlines(keepends=True)
    return "".join(line for line in lines if line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith(kept))


async def drip(request: web.BaseRequest, response: web.StreamResponse, body: bytes) -> web.StreamResponse:
    """Send a body in pieces, over SLOW_SECONDS."""
    response.content_length = len(body)
    await response.prepare(request)
    size = max(1, len(body) // _PIECES)
    for at in range(0, len(body), size):
        await response.write(body[at : at + size])
        await asyncio.sleep(SLOW_SECONDS / _PIECES)
    return response


async def cut_off(request: web.BaseRequest, response: web.StreamResponse, body: bytes) -> web.StreamResponse:
    """Promise a whole body, send half of it and close the connection."""
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    hang_up(request)
    return response


def hang_up(request: web.BaseRequest) -> None:
    """Close the connection; what was written before still goes out."""
    if request.transport:
        request.transport.close()
