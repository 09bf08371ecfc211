"""Compare: the page that was recorded of a cycle, and the one that was computed again."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from dataclasses import dataclass
from itertools import zip_longest

from kcloud_exporter.recording.replay import Replayed


@dataclass(frozen=True, slots=True)
class Difference:
    """The first line in which two pages differ, counted from 1; empty where a page has ended before it."""

    cycle: int
    line: int
    recorded: str
    replayed: str

    def told(self) -> str:
        """The difference, for a person."""
        return (
            f"cycle {self.cycle} differs first in line {self.line}:\n"
            f"  recorded: {self.recorded or '(no such line)'}\n"
            f"  replayed: {self.replayed or '(no such line)'}"
        )


def difference(replayed: Replayed, page: bytes) -> Difference | None:
    """How the page computed again differs from the recorded one; None where they are the same, byte for byte."""
    if hashlib.sha256(page).hexdigest() == replayed.sha256:
        return None
    try:
        with gzip.open(io.BytesIO(replayed.recorded)) as file:
            recorded = file.read(2 * len(page) + (1 << 20))  # so much is enough to differ
    except (OSError, EOFError, zlib.error) as exc:
        return Difference(replayed.cycle, 1, f"(the recorded page cannot be unpacked: {exc})", "")
    pairs = zip_longest(recorded.splitlines(), page.splitlines(), fillvalue=b"")
    for number, (theirs, ours) in enumerate(pairs, 1):
        if theirs != ours:
            return Difference(
                replayed.cycle, number, theirs.decode(errors="backslashreplace"), ours.decode(errors="backslashreplace")
            )
    return Difference(replayed.cycle, 1, f"(a page whose checksum is {replayed.sha256})", "(the recorded page itself)")
