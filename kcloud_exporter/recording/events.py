"""Events: what stands in a recording, and how. One JSON member per event; bytes in a member of their own after it.

recording.json                    what this is: schema, program, sources
config.yaml, vendors/NAME.yaml    without credentials
000000001-begun.json              a source's collect began
000000002-answer.json             an answer was read, and
000000002-answer.body.gz          what it was, as received (.body where it was not compressed)
000000003-joined.json             answers of one source were put together to one
000000004-cycle.json              a cycle: its clocks, and which outcomes it had, made of which steps
000000005-compacted.json          a source looked for dead series
000000006-page.json               the page of the cycle: its checksum, and
000000006-page.prom.gz            the page itself
000000007-end.json                the recording was ended and not cut off
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec

from kcloud_exporter.errors import FailureReason

SCHEMA: Final = 1
Moment: TypeAlias = Annotated[float, msgspec.Meta(ge=-6e10, le=2e11)]
"""Seconds; as Unix time it is a date that has a name."""


class SourceOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One source as the events number them: its cluster, kind and endpoints."""

    cluster: str
    kind: str
    names: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a recording says of itself. `begun` is Unix time; `vendors` are the files of further vendor tables."""

    schema: int
    program: str
    begun: Moment
    sources: tuple[SourceOf, ...]
    vendors: tuple[str, ...] = ()


class _Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="event"):
    pass


class Begun(_Event, frozen=True, tag="begun"):
    """A collect of a source began."""

    source: int


class Answer(_Event, frozen=True, tag="answer"):
    """An answer was read. `part` is a target's number, or a page (0, 1, ...) or query (-1, -2, ...) of a Prometheus.

    `size` and `crc32` are those of the body that follows.
    """

    source: int
    part: int
    status: int
    encoding: str
    content_type: str
    is_framed: bool
    size: int
    crc32: int


class Joined(_Event, frozen=True, tag="joined"):
    """A source has put the answers of some of its steps together; every event of a source is a step, from 1 on."""

    source: int
    steps: tuple[int, ...]


class Compacted(_Event, frozen=True, tag="compacted"):
    """A source looked for dead series, and dropped them if they were many."""

    source: int


class Got(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="outcome", tag="scrape"):
    """A good answer: made by this step of its source; times in seconds."""

    source: int
    name: str
    step: int
    received_at: Moment
    duration_seconds: Moment


class Failed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="outcome", tag="failure"):
    """No good answer, and why."""

    source: int
    name: str
    reason: FailureReason
    message: str
    duration_seconds: Moment


class Cycle(_Event, frozen=True, tag="cycle"):
    """A cycle's clocks (Unix time, seconds that no clock setting moves) and outcomes in order. Counted from 1 on."""

    cycle: int
    now: Moment
    monotonic: Moment
    outcomes: tuple[Got | Failed, ...]


class Page(_Event, frozen=True, tag="page"):
    """The ledger's page of a cycle; `sha256` is that of its text, `size` and `crc32` are those of the gzip file."""

    cycle: int
    now: Moment
    sha256: str
    size: int
    crc32: int


class End(_Event, frozen=True, tag="end"):
    """The recording was ended on purpose, after so many cycles."""

    cycles: int


Event: TypeAlias = Begun | Answer | Joined | Compacted | Cycle | Page | End


def kind_of(event: Event) -> str:
    """What an event is called in names of files."""
    return str(event.__struct_config__.tag)


def body_suffix(event: Event) -> str:
    """How the file of an event's bytes ends; empty for an event that has none."""
    if isinstance(event, Answer):
        return ".body.gz" if event.encoding == "gzip" else ".body"
    return ".prom.gz" if isinstance(event, Page) else ""
