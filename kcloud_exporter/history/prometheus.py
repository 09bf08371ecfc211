"""PrometheusHistory: history from a store that scrapes this exporter: Prometheus, Thanos, Mimir or VictoriaMetrics.

Queries are made of names of the catalogue and label equalities, and of nothing else. A value at `t` is asked for as
`avg_over_time(family{...}[step])`: the same intervals (t - step, t] as in files of our own, so both answer the same.
Long windows are asked for in pages, and a page that the store finds too large in halves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from kcloud_exporter.catalogue import Family
from kcloud_exporter.errors import HistoryError, SourceError
from kcloud_exporter.history.kept import resolution
from kcloud_exporter.history.series import (
    Increase,
    Question,
    Series,
    check_cells,
    known_counter,
    look_back,
    question,
    whole_window,
)
from kcloud_exporter.model import Floats
from kcloud_exporter.sources.access import Access
from kcloud_exporter.sources.http import Connection, decoded

log = logging.getLogger(__name__)
PAGE_POINTS: Final = 2_000
"""Steps of one query; the usual limit of a store is 11,000."""
_PIECE_SECONDS: Final = 6 * 3600.0
"""How much of a counter is asked for at a time, so that no query loads a month of samples."""
_BODY_BYTES: Final = 128 * 2**20
_TIMEOUT: Final = 60.0
_AT_ONCE: Final = 4
_STATUS: Final = frozenset({200, 400, 413, 422, 500, 503})
_TOO_MUCH: Final = (
    "too many samples",
    "exceeded maximum resolution",
    "too many points",
    "maxSamples",
    "max samples",
    "max-series",
    "limit",
    "exceeds",
)
"""What stores say of a query that would be answered if it were smaller."""

Labels = tuple[str, ...]


class _Row(msgspec.Struct, gc=False):
    metric: dict[str, str]
    values: list[tuple[float, str]] = []
    value: tuple[float, str] | None = None


class _Data(msgspec.Struct):
    result_type: str = msgspec.field(name="resultType")
    result: list[_Row]


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    error: str = ""


_DECODER = msgspec.json.Decoder(_Answer)


class _TooMuchError(Exception):
    """The store would answer if less were asked of it."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A counter in one piece of a window: its first and last reading, and whether it fell in between."""

    first: float
    last: float
    fell: bool


class PrometheusHistory:
    """Asks one store. Safe to use by many at the same time; a few queries run at once."""

    def __init__(self, url: str, access: Access | None = None, *, page_points: int = PAGE_POINTS) -> None:
        self._url, self._page_points = url.rstrip("/"), page_points
        self._connection = Connection(access, connections=_AT_ONCE, body_bytes=_BODY_BYTES)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def series(self, family: str, matchers: Mapping[str, str], start: float, end: float, step: float) -> Series:
        """See History.series."""
        asked = question(family, matchers, start, end, step)
        return await self._grid(asked, "max", "avg_over_time" if asked.family.type == "gauge" else "last_over_time")

    async def _grid(self, asked: Question, fold: str, function: str) -> Series:
        """A function over each step, folded over what differs in labels that are none of ours."""
        over = _range(asked.family, asked.matchers, asked.step)
        expression = f"{fold} by ({', '.join(asked.family.labels)}) ({function}({over}))"
        rows: dict[Labels, int] = {}
        pages: list[tuple[Any, Any, Floats]] = []
        for first in range(0, asked.points, self._page_points):
            await self._page(expression, asked, first, min(first + self._page_points, asked.points), rows, pages)
            check_cells(len(rows), asked.points)
        values = np.full((len(rows), asked.points), np.nan)
        for at, column, found in pages:
            values[at, column] = found
        order = sorted(rows, key=lambda labels: labels)
        taken = np.array([rows[labels] for labels in order], np.int64)
        return Series(asked.family, order, asked.timestamps, values[taken], asked.step)

    async def _page(
        self, expression: str, asked: Question, first: int, last: int, rows: dict[Labels, int], pages: list[Any]
    ) -> None:
        """Steps first..last of the answer, each value at its row and column."""
        times = asked.timestamps
        try:
            result = await self._ask(
                "query_range",
                {
                    "query": expression,
                    "start": f"{times[first]:.3f}",
                    "end": f"{times[last - 1]:.3f}",
                    "step": f"{asked.step:.3f}",
                    "nocache": "1",  # VictoriaMetrics moves the steps otherwise
                },
            )
        except _TooMuchError as exc:
            if last - first == 1:
                raise _refused(exc) from exc
            middle = (first + last) // 2
            await self._page(expression, asked, first, middle, rows, pages)
            await self._page(expression, asked, middle, last, rows, pages)
            return
        for row in result:
            at = rows.setdefault(_labels(asked.family, row), len(rows))
            found = np.array([(when, float(value)) for when, value in row.values], np.float64).reshape(-1, 2)
            column = np.rint((found[:, 0] - asked.start) / asked.step).astype(np.int64) - 1
            inside = (column >= 0) & (column < asked.points)
            pages.append((at, column[inside], found[inside, 1]))

    async def increase(self, family: str, matchers: Mapping[str, str], start: float, end: float) -> Increase:
        """See History.increase."""
        of = whole_window(family, matchers, start, end).family
        stood = await self._stood(of, matchers, start)
        came: dict[Labels, float] = {}
        begin = start
        while begin < end:
            until = min(begin + _PIECE_SECONDS, end)
            await self._count(of, matchers, begin, until, stood, came)
            begin = until
        labels = sorted(came)
        return Increase(of, labels, np.array([came[key] for key in labels], np.float64))

    async def increments(
        self,
        family: str,
        matchers: Mapping[str, str],
        start: float,
        end: float,
        step: float,
        stood: dict[Labels, float] | None = None,
    ) -> Series:
        """See History.increments."""
        known_counter(family, matchers)
        asked = question(family, matchers, start, end, step)
        first, last, highest = await asyncio.gather(
            self._grid(asked, "min", "min_over_time"),
            self._grid(asked, "max", "last_over_time"),
            self._grid(asked, "max", "max_over_time"),
        )
        before_it = {**(stood or {}), **await self._stood(asked.family, matchers, start)}
        at = np.array([before_it.get(labels, np.nan) for labels in last.labels], np.float64)
        came = np.full_like(last.values, np.nan)
        for step_at in range(asked.points):
            low, top, now = first.values[:, step_at], highest.values[:, step_at], last.values[:, step_at]
            before = np.where(np.isnan(at), low, at)
            # A counter that fell began anew: it came as far as its highest reading before, and again from nought.
            fell = np.where(now < before, now, (top - before) + now)
            came[:, step_at] = np.where((now >= before) & (top <= now), now - before, fell)
            at = np.where(np.isnan(now), at, now)
        if stood is not None:
            stood.update(zip(last.labels, at.tolist(), strict=True))
        return Series(asked.family, last.labels, asked.timestamps, came, asked.step)

    async def _stood(self, family: Family, matchers: Mapping[str, str], at: float) -> dict[Labels, float]:
        """Where each counter stood at a moment."""
        try:
            return await self._instant("max", "last_over_time", family, matchers, at - look_back(family), at)
        except _TooMuchError as exc:
            raise _refused(exc) from exc

    async def _count(
        self,
        family: Family,
        matchers: Mapping[str, str],
        start: float,
        end: float,
        stood: dict[Labels, float],
        came: dict[Labels, float],
    ) -> None:
        """Add what came in (start, end] to `came`, and note in `stood` where each counter stands at its end."""
        span = end - start
        try:
            pieces = await self._pieces(family, matchers, start, end)
        except _TooMuchError as exc:
            if span <= 2 * (resolution(family) or 0.0):
                raise _refused(exc) from exc
            pieces = None
        if pieces is None or (any(p.fell for p in pieces.values()) and span > (resolution(family) or 0.0)):
            middle = start + round(span / 2, 3)
            await self._count(family, matchers, start, middle, stood, came)
            await self._count(family, matchers, middle, end, stood, came)
            return
        for labels, piece in pieces.items():
            before = stood.get(labels, piece.first)
            # A counter that fell began anew.
            more = piece.last - before if piece.last >= before else piece.last
            came[labels] = came.get(labels, 0.0) + more
            stood[labels] = piece.last

    async def _pieces(
        self, family: Family, matchers: Mapping[str, str], start: float, end: float
    ) -> dict[Labels, _Piece]:
        first, last, resets = await asyncio.gather(
            self._instant("min", "min_over_time", family, matchers, start, end),
            self._instant("max", "last_over_time", family, matchers, start, end),
            self._instant("max", "resets", family, matchers, start, end),
        )
        return {key: _Piece(first.get(key, value), value, resets.get(key, 0.0) > 0) for key, value in last.items()}

    async def _instant(
        self, fold: str, function: str, family: Family, matchers: Mapping[str, str], start: float, end: float
    ) -> dict[Labels, float]:
        over = _range(family, matchers, end - start)
        expression = f"{fold} by ({', '.join(family.labels)}) ({function}({over}))"
        result = await self._ask("query", {"query": expression, "time": f"{end:.3f}", "nocache": "1"})
        return {_labels(family, row): float(row.value[1]) for row in result if row.value is not None}

    async def _ask(self, path: str, data: Mapping[str, str]) -> Sequence[_Row]:
        """The result of one query. Raises HistoryError, or _TooMuchError."""
        async with self._turns:
            try:
                fetched = await self._connection.fetch(
                    "POST",
                    f"{self._url}/api/v1/{path}",
                    _TIMEOUT,
                    headers={"Accept": "application/json"},
                    data=data,
                    accept=_STATUS,
                )
                body = await asyncio.to_thread(decoded, fetched, _BODY_BYTES)
            except SourceError as exc:
                if exc.reason == "body_size":
                    raise _TooMuchError(str(exc)) from exc
                detail = self._connection.hide(str(exc))
                log.warning("the store of history does not answer", extra={"reason": exc.reason, "detail": detail})
                raise HistoryError("unavailable", f"the store of history does not answer ({exc.reason})") from exc
        try:
            answer = await asyncio.to_thread(_DECODER.decode, body)
        except msgspec.DecodeError as exc:
            log.warning("the store of history answers nonsense", extra={"detail": self._connection.hide(str(exc))})
            raise HistoryError("unavailable", f"the store of history answers with status {fetched.status}") from exc
        if answer.status == "success" and answer.data is not None:
            return answer.data.result
        said = self._connection.hide(answer.error)
        if any(text in said for text in _TOO_MUCH):
            raise _TooMuchError(said[:200])
        log.warning("the store of history refuses a query", extra={"detail": said[:500]})
        raise HistoryError("unavailable", "the store of history refuses the query; the exporter's log says why")


def _refused(why: _TooMuchError) -> HistoryError:
    return HistoryError("too_large", f"the store of history refuses: {why}; ask for less at a time")


def _range(family: Family, matchers: Mapping[str, str], seconds: float) -> str:
    """A range selector over (t - seconds, t]. Older stores count both ends in, so it is a millisecond shorter."""
    equal = ", ".join(f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in matchers.items())
    return f"{family.name}{{{equal}}}[{max(math.floor(seconds * 1e3 + 1e-6) - 1, 1)}ms]"


def _labels(family: Family, row: _Row) -> Labels:
    return tuple(row.metric.get(label, "") for label in family.labels)
