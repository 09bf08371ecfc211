"""Direct scrape: one endpoint per target, all targets in one series table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from kcloud_exporter.config.endpoints import exporter_names, instance_of
from kcloud_exporter.model import Compaction, Failure, Labels, Mask, Outcome
from kcloud_exporter.sources.access import Access
from kcloud_exporter.sources.base import failure
from kcloud_exporter.sources.exposition import ParseLimits
from kcloud_exporter.sources.http import Connection, clock
from kcloud_exporter.sources.intake import ExporterIntake
from kcloud_exporter.sources.patience import SLOW_RATIO, Patience, Verdict

CONCURRENCY: Final = 128
_TOO_LATE_SECONDS: Final = 0.05
"""With less time than this left, a request is not begun."""
_ACCEPT: Final = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@dataclass(slots=True)
class _Target:
    name: str
    url: str
    number: int
    failed: bool = False


class ExporterSource:
    """The exporters of one kind in one cluster. One hung target costs itself, never the others."""

    def __init__(
        self,
        *,
        cluster: str,
        vendor: str,
        targets: Sequence[str],
        wanted: Callable[[str], bool],
        name: str | None = None,
        target_labels: Labels | None = None,
        body_bytes: int = 64 * 2**20,
        limits: ParseLimits | None = None,
        access: Access | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cluster = cluster
        urls = [_with_path(url) for url in targets]
        names = exporter_names(vendor, name, urls)
        self._targets = [_Target(of, url, number) for number, (of, url) in enumerate(zip(names, urls, strict=True))]
        labels = [{"instance": instance_of(url), "job": vendor, **(target_labels or {})} for url in urls]
        self.intake = ExporterIntake(vendor, wanted, labels, limits or ParseLimits(), body_bytes)
        self.names = tuple(target.name for target in self._targets)
        self._slow_seconds = 0.0
        self._by_name = {target.name: target for target in self._targets}
        self._patience: Patience[str, Outcome] = Patience(self._verdict)
        self._connection = Connection(access, connections=CONCURRENCY, body_bytes=body_bytes, steady=steady)

    async def collect(self, timeout_seconds: float) -> list[Outcome]:
        """Scrape every target once, all at the same time. See `Source.collect`.

        A target that hung or failed before is not waited for: its outcome comes with a later collect.
        """
        self._slow_seconds = SLOW_RATIO * timeout_seconds
        deadline = clock() + timeout_seconds
        self.intake.soon(self.intake.begin)
        slots = asyncio.Semaphore(CONCURRENCY)
        answers = await self._patience.round({t.name: partial(self._scrape, t, deadline, slots) for t in self._targets})
        # What was parsed into a table that has been compacted since speaks of rows that are no more.
        table = self.intake.table
        return [
            answers[name] for name in self.names if name in answers and getattr(answers[name], "table", table) is table
        ]

    def _verdict(self, outcome: Outcome) -> Verdict:
        """One that got no slot in time has not failed itself."""
        if self._by_name[outcome.source].failed:
            return "failed"
        return "slow" if outcome.duration_seconds > self._slow_seconds else "prompt"

    def compact(self, needed: Mask) -> Compaction | None:
        """See `Source.compact`."""
        # In the parsing thread: a target that nobody waits for may be parsed at this very moment.
        return self.intake.wait_for(partial(self.intake.compact, needed))

    async def close(self) -> None:
        """Close the connections and the parsing thread."""
        await self._patience.close()
        await self._connection.close()
        self.intake.close()

    async def _scrape(self, target: _Target, deadline: float, slots: asyncio.Semaphore) -> Outcome:
        begun = clock()
        try:
            async with slots:
                if deadline - clock() < _TOO_LATE_SECONDS:
                    return Failure(self.cluster, target.name, "timeout", "no slot in time", clock() - begun)
                fetched = await self._connection.fetch(
                    "GET",
                    target.url,
                    deadline - clock(),
                    headers={
                        "Accept": _ACCEPT,
                        "X-Prometheus-Scrape-Timeout-Seconds": f"{max(deadline - clock(), 0):.3f}",
                    },
                )
            understood = await self.intake.run(partial(self.intake.answer, target.number, fetched))
        except Exception as exc:  # noqa: BLE001 - the door: nothing goes further as an exception
            target.failed = True
            hide = partial(self._connection.hide, url=target.url)
            return failure(self.cluster, target.name, exc, begun, hide)
        target.failed = False
        return understood.scrape(self.cluster, target.name, fetched.sent_at, clock() - begun)


def _with_path(url: str) -> str:
    """`http://host:9400` means its `/metrics`, as in a Prometheus configuration."""
    return f"{url}/metrics" if not urlsplit(url).path else url
