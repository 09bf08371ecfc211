"""Page: the finished bytes of /metrics, and the few lines that are only known at the moment of a scrape.

The body of a snapshot is rendered and compressed once, family by family. A scrape adds a short tail (the
snapshot's age, our self-metrics). Each compressed piece ends in a full flush, so that pieces follow each other
in one gzip member: no client has to understand concatenated members, and nothing is compressed twice.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from isal import isal_zlib

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import Family, Level
from kcloud_exporter.exposition.renderer import Renderer, Section, header, wanted
from kcloud_exporter.model import Snapshot

_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_COMPRESSION_LEVEL: Final = 1
_MOST_VARIANTS: Final = 64
"""Narrowed pages kept per snapshot; a client that invents more gets them rendered each time."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a page: plain, as deflate blocks that others may follow, and its CRC-32."""

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


def piece(text: bytes) -> Piece:
    """Compress one stretch of text."""
    return Piece(text, deflate(text, last=False), isal_zlib.crc32(text))


class Body:
    """One variant of a snapshot's page, without its tail, as pieces; joined when first asked for."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._plain: bytes | None = None
        self.deflated = b"".join(p.deflated for p in pieces)
        self.size, self.checksum = 0, 0
        for p in pieces:
            self.checksum = isal_zlib.crc32_combine(self.checksum, p.checksum, len(p.plain))
            self.size += len(p.plain)

    @property
    def plain(self) -> bytes:
        """The text itself: only clients without gzip cost this join."""
        if self._plain is None:
            self._plain = b"".join(p.plain for p in self._pieces)
        return self._plain


def gzip_member(body: Body, tail: bytes) -> bytes:
    """One gzip member of the body followed by the tail (RFC 1952)."""
    checksum = isal_zlib.crc32(tail, body.checksum)
    trailer = struct.pack("<II", checksum, (body.size + len(tail)) & 0xFFFFFFFF)
    return b"".join((_GZIP_HEADER, body.deflated, deflate(tail, last=True), trailer))


class _Rendered:
    """One snapshot's sections and the variants of the page that were asked for so far."""

    def __init__(self, snapshot: Snapshot, sections: list[Section], earlier: _Rendered | None) -> None:
        self.snapshot, self._sections = snapshot, sections
        self._bodies: dict[Variant, Body] = {}
        self.texts: dict[str, Piece] = {}
        for section in sections:
            text = b"".join(section.parts.values())
            known = earlier.texts.get(section.family.name) if earlier else None
            # Info families seldom change: then the last compression is still good.
            self.texts[section.family.name] = known if known and known.plain == text else piece(text)

    def body(self, variant: Variant) -> Body:
        """The body of one variant; a narrowed one is composed when first asked for."""
        found = self._bodies.get(variant)
        if found is None:
            found = Body([*self._pieces(variant)])
            if len(self._bodies) < _MOST_VARIANTS:
                self._bodies[variant] = found
        return found

    def has(self, variant: Variant) -> bool:
        """Whether this variant costs nothing any more."""
        return variant in self._bodies

    def _pieces(self, variant: Variant) -> Iterator[Piece]:
        for section in self._sections:
            if not wanted(section, variant.levels, variant.clusters):
                continue
            if variant.clusters:
                text = b"".join(section.of(variant.clusters))
                part = piece(text) if text else None
            else:
                part = self.texts[section.family.name]
            if part:
                yield _header_piece(section.family, variant.openmetrics)
                yield part


@lru_cache(maxsize=512)
def _header_piece(family: Family, openmetrics: bool) -> Piece:
    return piece(header(family, openmetrics=openmetrics))


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
        rendered = _Rendered(snapshot, [*sections, series_section(series)], self._rendered)
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
        body = rendered.body(variant) if rendered.has(variant) else await asyncio.to_thread(rendered.body, variant)
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
