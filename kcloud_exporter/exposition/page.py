"""Page: the finished bytes of /metrics, and the few lines that are only known at the moment of a scrape.

The body of a snapshot is rendered and compressed once, family by family. A scrape adds a short tail (the
snapshot's age, our self-metrics). Each compressed piece ends in a full flush, so that pieces follow each other
in one gzip member: no client has to understand concatenated members, and nothing is compressed twice.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Final

from isal import isal_zlib

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import Family, Level
from kcloud_exporter.exposition.renderer import Renderer, Section, header, wanted
from kcloud_exporter.model import Snapshot

_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_COMPRESSION_LEVEL: Final = 1
_LARGE: Final = 64 * 1024
"""Bytes of text from which clusters are compressed on their own."""
_MOST_VARIANTS: Final = 64
"""Narrowed pages kept per snapshot; a client that invents more gets them rendered each time."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a page as deflate blocks that others may follow: bytes of text, blocks, and CRC-32 of the text.

    The text itself is not kept: a page is nearly always asked for in its compressed form, and is a tenth as large.
    """

    size: int
    deflated: bytes
    checksum: int

    def text(self) -> bytes:
        """The stretch itself."""
        found: bytes = isal_zlib.decompressobj(-15).decompress(self.deflated)
        return found


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


def piece(text: bytes, earlier: Piece | None = None) -> Piece:
    """Compress one stretch of text, unless it is that of an `earlier` piece: info families seldom change."""
    checksum = isal_zlib.crc32(text)
    if earlier and (earlier.size, earlier.checksum) == (len(text), checksum) and earlier.text() == text:
        return earlier
    return Piece(len(text), deflate(text, last=False), checksum)


class Stretch:
    """Some scopes of one family that follow each other on the page, in one piece. "" = what is of no one cluster."""

    def __init__(self, scopes: Sequence[tuple[str, bytes]], earlier: Stretch | None) -> None:
        text = scopes[0][1] if len(scopes) == 1 else b"".join(text for _, text in scopes)
        self.whole: Piece = piece(text, earlier.whole if earlier else None)
        self._sizes = [(scope, len(text)) for scope, text in scopes]

    def of(self, clusters: frozenset[str]) -> Piece | None:
        """What belongs to some clusters, or to none; None for nothing."""
        chosen = [not scope or scope in clusters for scope, _ in self._sizes]
        if all(chosen):
            return self.whole
        if not any(chosen):
            return None
        text, ends = self.whole.text(), list(accumulate(size for _, size in self._sizes))
        parts = zip(chosen, self._sizes, ends, strict=True)
        return piece(b"".join(text[end - size : end] for on, (_, size), end in parts if on))


def stretches(section: Section, earlier: Sequence[Stretch]) -> list[Stretch]:
    """The pieces of a family: large clusters have one each, so that a narrowed page need not be compressed again."""
    found: list[Stretch] = []
    scopes: list[tuple[str, bytes]] = []
    last = len(section.parts) - 1
    for at, (scope, text) in enumerate(section.parts.items()):
        scopes.append((scope, text))
        if at == last or sum(len(text) for _, text in scopes) >= _LARGE:
            found.append(Stretch(scopes, earlier[len(found)] if len(found) < len(earlier) else None))
            scopes = []
    return found


class Body:
    """One variant of a snapshot's page, without its tail, as pieces; its text is made when first asked for."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._text: bytes | None = None
        self.size, self.checksum = 0, 0
        for p in pieces:
            self.checksum = isal_zlib.crc32_combine(self.checksum, p.checksum, p.size)
            self.size += p.size

    @property
    def has_text(self) -> bool:
        """Whether the text costs nothing any more."""
        return self._text is not None

    @property
    def text(self) -> bytes:
        """The text itself: only clients without gzip cost this."""
        if self._text is None:
            self._text = b"".join(p.text() for p in self._pieces)
        return self._text

    def gzip_member(self, tail: bytes) -> bytes:
        """One gzip member of the page followed by a tail (RFC 1952)."""
        checksum = isal_zlib.crc32(tail, self.checksum)
        trailer = struct.pack("<II", checksum, (self.size + len(tail)) & 0xFFFFFFFF)
        return b"".join((_GZIP_HEADER, *(p.deflated for p in self._pieces), deflate(tail, last=True), trailer))


class _Rendered:
    """One snapshot's families in pieces, and the variants of the page that were asked for so far."""

    def __init__(self, snapshot: Snapshot, sections: Iterable[Section], earlier: _Rendered | None) -> None:
        self.snapshot, self.series = snapshot, 0
        self._bodies: dict[Variant, Body] = {}
        self.families: dict[str, tuple[Family, list[Stretch]]] = {}
        for section in sections:
            _, known = earlier.families.get(section.family.name, (None, ())) if earlier else (None, ())
            self.families[section.family.name] = section.family, stretches(section, known)
            self.series += section.series
        told = series_section(self.series)
        self.families[told.family.name] = told.family, stretches(told, ())

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
        for family, parts in self.families.values():
            if not wanted(family, variant.levels, variant.clusters):
                continue
            found = [part.of(variant.clusters) if variant.clusters else part.whole for part in parts]
            if shown := [part for part in found if part is not None]:
                yield _header_piece(family, variant.openmetrics)
                yield from shown


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
        rendered = _Rendered(snapshot, self._renderer.sections(snapshot), self._rendered)
        for openmetrics in (False, True):
            rendered.body(Variant(openmetrics))
        self._rendered = rendered
        return rendered.series

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
        if gzip:
            return body.gzip_member(tail)
        return (body.text if body.has_text else await asyncio.to_thread(lambda: body.text)) + tail

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
