"""Routes: one row per path. What surrounds every answer is done here once: parameters, ETag, compression, threads."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from aiohttp import web

from kcloud_exporter.api.answers import Answer, encode
from kcloud_exporter.api.parameters import Parameter, read
from kcloud_exporter.api.view import View, Views
from kcloud_exporter.errors import HistoryError, RequestError
from kcloud_exporter.history.series import History
from kcloud_exporter.model import Snapshot
from kcloud_exporter.web.metrics import accepts_gzip
from kcloud_exporter.web.problems import problem
from kcloud_exporter.web.status import PageSource, Status

PREFIX: Final = "/api/v1"
_SMALL: Final = 20_000
"""Series of a snapshot from which an answer is drawn on the spot; with more it is drawn in a thread."""
_THREADS: Final = 2
"""Threads for large answers; not those of the cycle, which must not wait for clients."""
_WAITING: Final = 32
"""Large answers that wait for a thread; more questions are refused."""
_KEPT_BYTES: Final = 32 * 2**20
_OVERHEAD: Final = 1024
"""Bytes that a kept answer costs besides its body."""
_KNOWN: Final = 1024
"""Paths with their query that are remembered as read."""
_STALE_CHECK_SECONDS: Final = 1.0
_WORTH_COMPRESSING: Final = 1_000
_HISTORY_STATUS: Final = {"bad_request": 400, "too_large": 422, "unavailable": 503}
NO_HISTORY: Final = "no history is kept; configure `history:` (backend embedded or prometheus) and restart"
Values: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """What the API is given: the newest snapshot, the state of the program, history if any, and the page of metrics."""

    snapshot: Callable[[], Snapshot | None]
    status: Callable[[], Status]
    history: Callable[[], History | None]
    page: PageSource


@dataclass(frozen=True, slots=True)
class Moment:
    """What a route may look at: one view of one snapshot, and the doors to everything else."""

    view: View
    deps: ApiDeps

    @property
    def history(self) -> History:
        """History. Raises RequestError (503) where none is kept."""
        history = self.deps.history()
        if history is None:
            raise RequestError(503, NO_HISTORY)
        return history


Draw: TypeAlias = Callable[[View, Values], Answer]
"""Draws an answer from one snapshot alone."""
Ask: TypeAlias = Callable[[Moment, Values], Awaitable[Answer]]
"""Makes an answer that needs more than the snapshot: history, or the state of the program."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path. `model` is that of `data`; exactly one of `draw` and `ask` makes it."""

    path: str
    resource_type: str
    summary: str
    description: str
    parameters: Sequence[Parameter]
    model: Any
    draw: Draw | None = None
    ask: Ask | None = None

    @property
    def tag(self) -> str:
        """The domain: the first part of the path."""
        return self.path.split("/")[1]


class Answers:
    """Finished answers of the newest snapshot, by what was asked; each is drawn once, however many ask."""

    def __init__(self, deps: ApiDeps) -> None:
        self.deps = deps
        self._views = Views()
        self._snapshot: Snapshot | None = None
        self._stale = ""
        self._kept: OrderedDict[tuple[str, bool], asyncio.Future[bytes]] = OrderedDict()
        self._bytes = 0
        self._checked = -math.inf
        self._known: dict[str, tuple[Values, str, str]] = {}
        self._run = secrets.token_hex(4)
        self._threads = ThreadPoolExecutor(_THREADS, "api")
        self._waiting = 0

    def now(self) -> tuple[View, str]:
        """The view of the newest snapshot, and why it is too old if it is. Raises RequestError (503) without one."""
        snapshot = self.deps.snapshot()
        if snapshot is None:
            raise RequestError(503, "there is no snapshot yet: the first cycle has not ended")
        now = time.monotonic()
        if snapshot is not self._snapshot or now > self._checked + _STALE_CHECK_SECONDS:
            status = self.deps.status()
            stale = "" if status.ready else status.ready_reason
            self._checked = now
            if snapshot is not self._snapshot or bool(stale) != bool(self._stale):
                self._kept.clear()
                self._known.clear()
                self._bytes = 0
                self._snapshot, self._stale = snapshot, stale
        return self._views.of(snapshot), self._stale

    def question(self, route: Route, request: web.Request) -> tuple[Values, str, str]:
        """(values, question, ETag) of a request; the same text is read once per snapshot. Raises RequestError."""
        known = self._known.get(request.raw_path)
        if known is None:
            values = read(route.parameters, request.match_info, request.query.items())
            asked = question_of(route, values)
            known = values, asked, self.tag(asked)
            if len(self._known) < _KNOWN:
                self._known[request.raw_path] = known
        return known

    def tag(self, question: str) -> str:
        """The ETag of the answer to a question by the newest snapshot. Weak: compressed or not, it is the same."""
        cycle = self._snapshot.cycle if self._snapshot else 0
        at = self._snapshot.timestamp if self._snapshot else 0.0
        told = f"{self._run} {cycle} {at} {bool(self._stale)} {question}"
        return f'W/"{hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=12).hexdigest()}"'

    async def body(self, route: Route, values: Values, question: str, *, packed: bool) -> bytes:
        """The finished bytes. Raises RequestError and HistoryError."""
        view, stale = self.now()
        if route.ask is not None:
            answer = await route.ask(Moment(view, self.deps), values)
            return await self._here_or_there(
                view, lambda: _packed(encode(answer, route.resource_type, view, stale), packed)
            )
        if route.draw is None:
            raise TypeError(f"{route.path} has nothing that answers")
        key, draw = (question, packed), route.draw
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept.result() if kept.done() else await asyncio.shield(kept)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._kept[key] = future
        try:
            body = await self._here_or_there(
                view, lambda: _packed(encode(draw(view, values), route.resource_type, view, stale), packed)
            )
        except BaseException as exc:
            if self._kept.get(key) is future:
                del self._kept[key]
            future.set_exception(exc if isinstance(exc, Exception) else RequestError(503, "the answer was given up"))
            future.exception()  # seen: whoever else waits gets it too
            raise
        future.set_result(body)
        if self._kept.get(key) is future:
            self._keep(key, len(body))
        return body

    async def _here_or_there(self, view: View, work: Callable[[], bytes]) -> bytes:
        """Small fleets are answered at once; for a large one the event loop must not wait."""
        if view.series <= _SMALL:
            return work()
        if self._waiting >= _WAITING:
            raise RequestError(503, "too many questions at the same time")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def _keep(self, key: tuple[str, bool], size: int) -> None:
        self._bytes += size + _OVERHEAD
        while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
            oldest, future = next(iter(self._kept.items()))
            if oldest == key or not future.done():
                break
            del self._kept[oldest]
            self._bytes -= len(future.result()) + _OVERHEAD


def _packed(body: bytes, packed: bool) -> bytes:
    return gzip.compress(body, 4, mtime=0) if packed and len(body) >= _WORTH_COMPRESSING else body


def question_of(route: Route, values: Values) -> str:
    """What was asked, in one way only: the same for every order and spelling of the same parameters."""
    return f"{route.path} {sorted((name, repr(value)) for name, value in values.items())}"


def handler(route: Route, answers: Answers) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler of one route."""
    cacheable = route.draw is not None

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            answers.now()
            values, question, tag = answers.question(route, request)
            headers = {"Vary": "Accept-Encoding", "Cache-Control": "private, no-cache" if cacheable else "no-store"}
            if cacheable:
                headers["ETag"] = tag
                if _matches(request.headers.get("If-None-Match", ""), tag):
                    # Only what would be answered 200 may be 304: the tag can only have come from such an answer.
                    return web.Response(status=304, headers=headers)
            packed = accepts_gzip(request.headers.get("Accept-Encoding", ""))
            body = await answers.body(route, values, question, packed=packed)
        except RequestError as exc:
            retry = {"Retry-After": "5"} if exc.status == 503 else None
            return problem(exc.status, str(exc), exc.details, headers=retry)
        except HistoryError as exc:
            return problem(_HISTORY_STATUS[exc.reason], str(exc))
        if body[:2] == b"\x1f\x8b":
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers, content_type="application/json")

    return handle


def _matches(header: str, tag: str) -> bool:
    """Whether If-None-Match names the tag. `*` is only meant for things that change by requests, so it names none."""
    return tag.removeprefix("W/") in {each.strip().removeprefix("W/") for each in header.split(",")}
