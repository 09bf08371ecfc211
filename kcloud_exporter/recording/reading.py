"""Reading: a recording's file, member by member. Nothing in it is trusted, and nothing of it is unpacked to disk.

A file that is cut off is read up to its last whole member. What cannot have been cut off, but is wrong, is an error
that names the place.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import msgspec

from kcloud_exporter.errors import RecordingError
from kcloud_exporter.recording import events
from kcloud_exporter.recording.events import Answer, End, Event, Head, Page
from kcloud_exporter.recording.tape import BLOCK

MOST_JSON: Final = 64 << 20
MOST_BODY: Final = 1 << 30
"""Bytes of one body at the most, whatever the recorded configuration allows."""
_CONFIG_BYTES: Final = 16 << 20
_VENDOR_BYTES: Final = 1 << 20
_T = TypeVar("_T")
_EVENT: Final = msgspec.json.Decoder(Event)
_HEAD: Final = msgspec.json.Decoder(Head)


@dataclass(frozen=True, slots=True)
class Member:
    """One file in the tar: `at` is where its content begins. `place` is for messages."""

    name: str
    at: int
    size: int
    place: str

    @property
    def end(self) -> int:
        """Where the next member begins."""
        return self.at + self.size + -self.size % BLOCK


@dataclass(frozen=True, slots=True)
class Placed:
    """An event with its bytes and where it ends in the file. `body` is empty for an event that has none."""

    event: Event
    body: bytes
    end: int
    place: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that has been looked through. `pages` has the (cycle, Unix time) of each whole cycle, in order."""

    path: Path
    head: Head
    config: bytes
    vendors: dict[str, str]
    begin: int
    end: int
    pages: tuple[tuple[int, float], ...]
    is_whole: bool

    def events(self) -> Iterator[Placed]:
        """All events up to the page of the last whole cycle. Raises RecordingError."""
        with _opened(self.path) as file:
            for placed in _events(file, self.path, self.begin, bodies=True):
                yield placed
                if placed.end >= self.end:
                    return

    def cycles_until(self, moment: float) -> int:
        """How many of the cycles had begun by a moment (Unix time)."""
        return sum(now <= moment for _, now in self.pages)


def open_recording(path: Path) -> Recording:
    """Look a recording through without reading the bodies. Raises RecordingError."""
    with _opened(path) as file:
        members = _members(file, path, 0)
        head = _decoded(_HEAD, _taken(members, file, path, "recording.json", MOST_JSON), f"{path}: recording.json")
        if head.schema != events.SCHEMA:
            raise RecordingError(
                f"{path} has schema {head.schema}, made by {head.program}; this program reads schema {events.SCHEMA}"
            )
        config = _taken(members, file, path, "config.yaml", _CONFIG_BYTES)
        vendors = {}
        for name in head.vendors:
            vendors[name] = _text(_taken(members, file, path, f"vendors/{name}", _VENDOR_BYTES), f"{path}: {name}")
        begin = file.tell()
        begin += -begin % BLOCK
        pages: list[tuple[int, float]] = []
        end, is_whole = begin, False
        for placed in _events(file, path, begin, bodies=False):
            if isinstance(placed.event, Page):
                if placed.event.cycle != len(pages) + 1:
                    raise RecordingError(f"{placed.place}: the page of cycle {placed.event.cycle} is out of order")
                pages.append((placed.event.cycle, placed.event.now))
                end = placed.end
            is_whole = isinstance(placed.event, End)
        return Recording(path, head, config, vendors, begin, end, tuple(pages), is_whole)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as exc:
        raise RecordingError(f"{path} cannot be read: {exc.strerror}") from exc


def _members(file: BinaryIO, path: Path, at: int) -> Iterator[Member]:
    """The members from `at` on. Ends at the end mark, and before a member that is cut off."""
    size = path.stat().st_size
    while True:
        file.seek(at)
        block = file.read(BLOCK)
        if len(block) < BLOCK or block == b"\0" * BLOCK:
            if at == 0:
                raise RecordingError(f"{path} is no recording: it is empty, or cut off within its first block")
            return
        place = f"{path}, at byte {at}"
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            if at:
                raise RecordingError(f"{place}: the file is damaged: here begins no member of a tar file") from None
            packed = " (it is compressed: unpack it first)" if block[:2] == b"\x1f\x8b" else ""
            raise RecordingError(f"{path} is no recording: it is no tar file{packed}") from None
        if info.type != tarfile.REGTYPE or info.size < 0:
            raise RecordingError(f"{place}: {info.name[:200]!r} is no plain file; a recording holds nothing else")
        member = Member(info.name, at + BLOCK, info.size, place)
        if member.end > size:
            return
        yield member
        at = member.end


def _taken(members: Iterator[Member], file: BinaryIO, path: Path, name: str, most: int) -> bytes:
    """The content of the next member, which has to have this name."""
    member = next(members, None)
    if member is None:
        raise RecordingError(f"{path} is no recording, or cut off before its first event: there is no {name}")
    if member.name != name:
        raise RecordingError(f"{member.place}: {member.name[:200]!r} stands where {name} should; this is no recording")
    return _content(file, member, most)


def _content(file: BinaryIO, member: Member, most: int) -> bytes:
    if member.size > most:
        raise RecordingError(f"{member.place}: {member.name} has {member.size} bytes, the limit is {most}")
    file.seek(member.at)
    return file.read(member.size)


def _events(file: BinaryIO, path: Path, at: int, *, bodies: bool) -> Iterator[Placed]:
    """The events from `at` on, without their bytes unless `bodies`; an event whose bytes are cut off is none."""
    members = _members(file, path, at)
    for number, member in enumerate(members, 1):
        stem = f"{number:09d}-"
        kind = member.name.removeprefix(stem).removesuffix(".json")
        if member.name != f"{stem}{kind}.json":
            raise RecordingError(f"{member.place}: {member.name[:200]!r} is nothing that a recording holds here")
        place = f"{member.place}: {member.name}"
        event: Event = _decoded(_EVENT, _content(file, member, MOST_JSON), place)
        if events.kind_of(event) != kind:
            raise RecordingError(f"{place}: it holds the event {events.kind_of(event)!r}")
        body, end = b"", member.end
        if suffix := events.body_suffix(event):
            of = next(members, None)
            if of is None:
                return
            if of.name != f"{stem}{kind}{suffix}":
                raise RecordingError(f"{of.place}: {of.name[:200]!r} stands where {stem}{kind}{suffix} should")
            body, end = _body(file, of, event) if bodies else b"", of.end
        yield Placed(event, body, end, place)


def _body(file: BinaryIO, member: Member, event: Event) -> bytes:
    body = _content(file, member, MOST_BODY)
    if isinstance(event, Answer | Page) and (len(body), zlib.crc32(body)) != (event.size, event.crc32):
        raise RecordingError(f"{member.place}: {member.name} is damaged: its checksum is another")
    return body


def _decoded(decoder: msgspec.json.Decoder[_T], content: bytes, place: str) -> _T:
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RecordingError(f"{place}: {exc}") from None


def _text(content: bytes, place: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        raise RecordingError(f"{place}: not UTF-8 at byte {exc.start}") from None
