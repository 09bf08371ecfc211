"""Page: the finished bytes of /metrics, and the few lines that are only known at the moment of a scrape.

The body of a snapshot is rendered and compressed once. A scrape adds a short tail (the snapshot's age, our
self-metrics). The compressed body ends in a full flush, so that the tail follows as a second deflate piece of
the same gzip member: no client has to understand concatenated members, and nothing is compressed twice.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from isal import isal_zlib

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import Level
from kcloud_exporter.exposition.renderer import Renderer, Section, compose, header
from kcloud_exporter.model import Snapshot

_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_COMPRESSION_LEVEL: Final = 1
_MOST_VARIANTS: Final = 64
"""Narrowed pages kept per snapshot; a client that invents more gets them rendered each time."""


@dataclass(frozen=True, slots=True)
class Body:
    """One variant of a snapshot's page without its tail: plain, and as an unfinished deflate stream."""

    plain: bytes
    deflated: bytes
    checksum: int


@dataclass(frozen=True, slots=True)
class Variant:
    """What a client asked for. Empty sets mean everything."""

    openmetrics: bool = False
    levels: frozenset[Level] = frozenset()
    clusters: frozenset[str] = frozenset()


def deflate(text: bytes, *, last: bool) -> bytes:
    """Raw deflate of `text`; unless it is the last piece it ends on a byte, open for another piece."""
    stream = isal_zlib.compressobj(_COMPRESSION_LEVEL, isal_zlib.DEFLATED, -15)
    begun: bytes = stream.compress(text)
    end: bytes = stream.flush() if last else stream.flush(isal_zlib.Z_FULL_FLUSH)
    return begun + end


def gzip_member(body: Body, tail: bytes) -> bytes:
    """One gzip member of the body followed by the tail (RFC 1952)."""
    checksum = isal_zlib.crc32(tail, body.checksum)
    size = (len(body.plain) + len(tail)) & 0xFFFFFFFF
    return b"".join((_GZIP_HEADER, body.deflated, deflate(tail, last=True), struct.pack("<II", checksum, size)))


class _Rendered:
    """One snapshot's sections and the variants of the page that were asked for so far."""

    def __init__(self, snapshot: Snapshot, sections: list[Section]) -> None:
        self.snapshot, self.sections = snapshot, sections
        self.bodies: dict[Variant, Body] = {}

    def body(self, variant: Variant) -> Body:
        found = self.bodies.get(variant)
        if found is None:
            plain = compose(
                self.sections, openmetrics=variant.openmetrics, levels=variant.levels, clusters=variant.clusters
            )
            found = Body(plain, deflate(plain, last=False), isal_zlib.crc32(plain))
            if len(self.bodies) < _MOST_VARIANTS:
                self.bodies[variant] = found
        return found


class PageStore:
    """The page of the newest snapshot. `render` once per tick (off the event loop), `page` per scrape."""

    def __init__(self, self_metrics: Callable[[bool], bytes], wall: Callable[[], float]) -> None:
        self._renderer = Renderer()
        self._rendered: _Rendered | None = None
        self._self_metrics, self._wall = self_metrics, wall

    def render(self, snapshot: Snapshot) -> int:
        """Render and compress the whole page in both formats. Returns the number of series of the ledger."""
        sections = self._renderer.sections(snapshot)
        series = sum(section.series for section in sections)
        rendered = _Rendered(snapshot, [*sections, series_section(series)])
        for openmetrics in (False, True):
            rendered.body(Variant(openmetrics))
        self._rendered = rendered
        return series

    @property
    def ready(self) -> bool:
        """Whether any page exists."""
        return self._rendered is not None

    async def page(self, variant: Variant, *, gzip: bool) -> bytes:
        """The finished page. Only an unusual variant costs a rendering, and that off the event loop.

        Raises LookupError while there is no snapshot.
        """
        rendered = self._rendered
        if rendered is None:
            raise LookupError("no snapshot yet")
        body = rendered.bodies.get(variant)
        if body is None:
            body = await asyncio.to_thread(rendered.body, variant)
        tail = self._tail(rendered.snapshot, variant)
        return gzip_member(body, tail) if gzip else body.plain + tail

    def _tail(self, snapshot: Snapshot, variant: Variant) -> bytes:
        end = b"# EOF\n" if variant.openmetrics else b""
        if variant.levels and "snapshot" not in variant.levels:
            return end
        age = max(0.0, self._wall() - snapshot.timestamp)
        text = header(catalogue.SNAPSHOT_AGE, openmetrics=variant.openmetrics)
        return text + f"{catalogue.SNAPSHOT_AGE} {age:.3f}\n".encode() + self._self_metrics(variant.openmetrics) + end


def series_section(series: int) -> Section:
    """The family that tells how many series of the ledger the page holds."""
    return Section(catalogue.SNAPSHOT_SERIES, {"": f"{catalogue.SNAPSHOT_SERIES} {series}\n".encode()}, 1)
