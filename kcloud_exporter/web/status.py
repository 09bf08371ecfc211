"""Status: what the web pages need to know of the running program, and the doors through which they ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import web

from kcloud_exporter.web.auth import WebAuth
from kcloud_exporter.web.protection import Dropped


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source: whether its last answer was good (None: not asked yet), and why not."""

    name: str
    up: bool | None
    last_success: float | None
    failure: str | None
    samples: int


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """One cluster and its sources."""

    name: str
    site: str
    sources: tuple[SourceStatus, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """The running program at one moment. Times are Unix seconds."""

    version: str
    started_at: float
    snapshot_timestamp: float | None
    ready: bool
    ready_reason: str
    clusters: tuple[ClusterStatus, ...]
    known_levels: tuple[str, ...]
    known_clusters: tuple[str, ...]


class PageSource(Protocol):
    """Gives the finished page of /metrics. Raises LookupError before the first snapshot."""

    def __call__(
        self, openmetrics: bool, gzip: bool, levels: frozenset[str], clusters: frozenset[str]
    ) -> Awaitable[bytes]:
        """The bytes to send, compressed when asked."""


@dataclass(frozen=True, slots=True)
class WebDeps:
    """Everything the web server is given."""

    page: PageSource
    status: Callable[[], Status]
    reload: Callable[[], Awaitable[list[str]]]
    enable_lifecycle: bool
    auth: WebAuth | None
    observe: Callable[[str, str, int, float], None]
    dropped: Callable[[Dropped], None]


DEPS: Final = web.AppKey("deps", WebDeps)
