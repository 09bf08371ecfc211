"""A Prometheus (or Thanos, Mimir, VictoriaMetrics) as source: a few requests per cycle, whatever the cluster's size."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote, urlencode

from kcloud_exporter.config.endpoints import host_port
from kcloud_exporter.errors import SourceError
from kcloud_exporter.model import Compaction, Mask, Outcome
from kcloud_exporter.sources.access import Access
from kcloud_exporter.sources.base import failure
from kcloud_exporter.sources.exposition import ParseLimits
from kcloud_exporter.sources.http import Connection, Fetched, clock
from kcloud_exporter.sources.intake import PrometheusIntake, Understood

log = logging.getLogger(__name__)
Method = Literal["auto", "query", "federate"]
_T = TypeVar("_T")

_SELECTOR_BYTES: Final = 5500
"""Percent-encoded bytes of names in one selector: with the rest of it a URL stays below 7 kB, which every proxy
takes, and a query below the 16 kB that VictoriaMetrics takes."""
_PROBE_AGAIN_SECONDS: Final = 3600.0
_NO_FEDERATE: Final = frozenset({400, 404, 405, 501})
_API_STATUS: Final = frozenset({200, 400, 422, 500, 503})
_OWN_PODS: Final = 'pod!=""'
_SPECIAL: Final = re.compile(r"([\\.+*?()|\[\]{}^$])")
_CONNECTIONS: Final = 8


class PrometheusSource:
    """One Prometheus of one cluster. All its requests share the deadline; one that fails, fails the source."""

    def __init__(
        self,
        *,
        cluster: str,
        url: str,
        gauges: Sequence[str],
        counters: Sequence[str] = (),
        method: Method = "auto",
        name: str | None = None,
        match: Mapping[str, str] | None = None,
        counter_window: float = 45.0,
        body_bytes: int = 64 * 2**20,
        limits: ParseLimits | None = None,
        access: Access | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cluster, self.names = cluster, (name or f"prometheus@{host_port(url)}",)
        self._url, self._method, self._steady = url.rstrip("/"), method, steady
        rest = sorted(set(gauges) - set(counters) - {"up"})
        matchers = dict(match or {})
        own_pods = _selector(["up"], matchers, _OWN_PODS)
        window = f"[{max(round(counter_window * 1000), 1)}ms]"
        gauge_selectors = [_selector(names, matchers) for names in _split(rest)]
        counter_selectors = [_selector(names, matchers) for names in _split(sorted(set(counters)))]
        self._queries = [own_pods, *gauge_selectors, *(selector + window for selector in counter_selectors)]
        self._pages = [[own_pods], *([selector] for selector in gauge_selectors + counter_selectors)]
        if len(self._pages) > 1:
            self._pages[0:2] = [self._pages[0] + self._pages[1]]
        wanted = frozenset([*rest, *counters, "up"])
        self.intake = PrometheusIntake(cluster, wanted.__contains__, limits or ParseLimits(), body_bytes)
        self._connection = Connection(access, connections=_CONNECTIONS, body_bytes=body_bytes)
        self._query_until = -1.0
        self._warned: tuple[str, ...] = ()

    async def collect(self, timeout_seconds: float) -> list[Outcome]:
        """Ask for all series once. See `Source.collect`."""
        begun, received_at = clock(), self._steady()
        self.intake.soon(self.intake.begin)
        try:
            understood = await self._ask(begun + timeout_seconds)
        except Exception as exc:  # noqa: BLE001 - the door: nothing goes further as an exception
            return [failure(self.cluster, self.names[0], exc, begun, self._connection.hide)]
        warnings = understood.parsed.warnings
        if warnings != self._warned:
            self._warned = warnings
            log.warning(
                "the upstream warns" if self._warned else "the upstream warns no more",
                extra={
                    "cluster": self.cluster,
                    "source": self.names[0],
                    "detail": self._connection.hide("; ".join(self._warned)[:500]),
                },
            )
        return [understood.scrape(self.cluster, self.names[0], received_at, clock() - begun)]

    def compact(self, needed: Mask) -> Compaction | None:
        """See `Source.compact`."""
        # In the parsing thread: an answer that is wanted no more may be read at this very moment.
        return self.intake.wait_for(partial(self.intake.compact, needed))

    async def close(self) -> None:
        """Close the connections and the parsing thread."""
        await self._connection.close()
        self.intake.close()

    async def _ask(self, deadline: float) -> Understood:
        if self._method == "query" or (self._method == "auto" and clock() < self._query_until):
            try:
                return await self._query(deadline)
            except SourceError:
                self._query_until = -1.0
                raise
        if self._method == "federate":
            return await self._federate(deadline)
        try:
            return await self._federate(deadline)
        except SourceError as exc:
            if not isinstance(exc, _NoFederateError) and exc.reason not in ("content_type", "redirect"):
                raise
            log.info(
                "no /federate here: querying instead",
                extra={"cluster": self.cluster, "source": self.names[0], "detail": self._connection.hide(str(exc))},
            )
        answer = await self._query(deadline)
        self._query_until = clock() + _PROBE_AGAIN_SECONDS
        return answer

    async def _federate(self, deadline: float) -> Understood:
        async def page(number: int, selectors: list[str]) -> int:
            fetched = await self._connection.fetch(
                "GET",
                f"{self._url}/federate?{urlencode([('match[]', s) for s in selectors], quote_via=quote)}",
                deadline - clock(),
                headers={"Accept": "text/plain;version=0.0.4"},
                accept=_NO_FEDERATE | {200},
            )
            if fetched.status != 200:
                raise _NoFederateError("http_5xx" if fetched.status >= 500 else "http_4xx", f"status {fetched.status}")
            return await self._read(number, fetched)

        return await self._joined([page(n, selectors) for n, selectors in enumerate(self._pages)])

    async def _query(self, deadline: float) -> Understood:
        async def answer(number: int, query: str) -> int:
            remaining = deadline - clock()
            fetched = await self._connection.fetch(
                "POST",
                f"{self._url}/api/v1/query",
                remaining,
                headers={"Accept": "application/json"},
                data={"query": query, "timeout": f"{max(round(remaining * 1000), 1)}ms"},
                accept=_API_STATUS,
            )
            return await self._read(number, fetched)

        return await self._joined([answer(-1 - n, query) for n, query in enumerate(self._queries)])

    async def _read(self, part: int, fetched: Fetched) -> int:
        """Read one answer; returns the number of the step that did it."""
        understood = await self.intake.run(partial(self.intake.answer, part, fetched))
        return understood.step

    async def _joined(self, requests: Sequence[Coroutine[Any, Any, int]]) -> Understood:
        steps = await _all_or_none(requests)
        return await self.intake.run(partial(self.intake.join, steps))


class _NoFederateError(SourceError):
    """The status says that there is no such path here, not that it is out of order."""


async def _all_or_none(requests: Sequence[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Run all at the same time; the first that fails cancels the others and is what is raised."""
    tasks = [asyncio.ensure_future(request) for request in requests]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _selector(names: Sequence[str], match: Mapping[str, str], extra: str = "") -> str:
    pattern = "|".join(_SPECIAL.sub(r"\\\1", name) for name in names)
    matchers = [f"__name__=~{_quoted(pattern)}", *(_matcher(label, value) for label, value in match.items())]
    return "{" + ",".join([*matchers, *([extra] if extra else [])]) + "}"


def _matcher(label: str, value: str) -> str:
    return f"{label}=~{_quoted(value[1:])}" if value.startswith("~") else f"{label}={_quoted(value)}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _split(names: Sequence[str]) -> list[list[str]]:
    """Lists of names, none of which makes a URL too long."""
    lists: list[list[str]] = []
    room = 0
    for name in names:
        size = len(quote(_quoted(_SPECIAL.sub(r"\\\1", name)))) + 3
        if size > room:
            lists.append([])
            room = _SELECTOR_BYTES
        lists[-1].append(name)
        room -= size
    return lists
