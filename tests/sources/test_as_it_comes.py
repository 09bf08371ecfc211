"""A page that is read as it comes is read as if it had been there as a whole, wherever it is cut."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter.errors import SourceError
from kcloud_exporter.sources import exposition
from kcloud_exporter.sources.exposition import parse_text
from tests.sources import cases
from tests.sources.pages import Series, index_of, read

ODD = b'# HELP a b\na{b="one\ntwo"} 1\n\na{b="three\n# HELP four\na 5\n"} 2 1000\n a{b="c"}  3\nb 4\n'
PAGES = [*cases.TEXT_ACCEPTED, *cases.TEXT_REJECTED, ODD, ODD * 2, ODD + b"a b c\n", b"a 1\n" * 40 + ODD]


def cut(page: bytes, places: list[int]) -> Iterator[bytes]:
    yield from (page[a:b] for a, b in pairwise(sorted({0, len(page), *(p % (len(page) + 1) for p in places)})))


def outcome(page: bytes, places: list[int] | None, times: int = 2) -> list[Series | str]:
    """What comes of a page that is read twice by one index."""
    index = index_of()
    found: list[Series | str] = []
    for _ in range(times):
        try:
            body = page if places is None else cut(page, places)
            found.append(read(parse_text(body, index, openmetrics=False), index))
        except SourceError as exc:
            found.append(exc.reason)
    return found


@given(st.sampled_from(PAGES), st.lists(st.integers(0, 10_000), max_size=6), st.integers(1, 60))
def test_cuts_change_nothing(page: bytes, places: list[int], piece: int) -> None:
    whole = outcome(page, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exposition, "_PIECE_BYTES", piece)
        assert outcome(page, places) == whole


def test_an_error_on_the_way_is_that_of_the_answer_and_nothing_of_it_is_used() -> None:
    def broken() -> Iterator[bytes]:
        yield b'a{n="1"} 1\n' * 30_000
        raise SourceError("truncated", "the gzip stream ended before its end")

    index = index_of()
    before = read(parse_text(b'a{n="2"} 2\n', index, openmetrics=False), index)
    with pytest.raises(SourceError, match="ended before its end"):
        parse_text(broken(), index, openmetrics=False)
    assert read(parse_text(b'a{n="2"} 2\n', index, openmetrics=False), index) == before
