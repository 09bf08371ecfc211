"""Dead series are dropped when they are worth it; what lives goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from kcloud_exporter.model import SeriesTable
from kcloud_exporter.sources.base import FORGET_AFTER, LastSeen
from kcloud_exporter.sources.exposition import parse_text
from kcloud_exporter.sources.series import SeriesIndex
from tests.sources.pages import NONE, index_of


def page(numbers: Iterable[int]) -> bytes:
    return b"".join(b'a{n="%d"} %d\n' % (n, n) for n in numbers)


def table_of(rows: int) -> SeriesTable:
    table = SeriesTable()
    for n in range(rows):
        table.add("a", {"n": str(n)})
    return table


def first(rows: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.arange(rows, dtype=np.int32)


def understood(body: bytes, index: SeriesIndex) -> list[float]:
    """The values of a page, after a look at whether they stand at the rows of their series."""
    parsed = parse_text(body, index, openmetrics=False)
    shown = [float(index.table.labels[row]["n"]) for row in parsed.rows.tolist()]
    assert shown == parsed.values.tolist()
    return shown


def test_the_living_keep_their_label_objects_and_are_found_again() -> None:
    index = index_of()
    seen, old = LastSeen(), index.table
    for body in [page(range(5000)), *([page(range(1000, 1500))] * FORGET_AFTER)]:
        assert seen.compacted(old, NONE) is None
        seen.note(0, parse_text(body, index, openmetrics=False).rows, len(old))
    found = seen.compacted(old, NONE)
    assert found is not None
    assert found.old is old
    assert len(found.table) == 500
    assert len(old) == 5000, "readers of the old table are not disturbed"
    assert all(found.table.labels[found.rows[row]] is old.labels[row] for row in range(1000, 1500))
    assert (found.rows >= 0).sum() == 500

    index.move(found.table, found.rows)
    for numbers in (range(1000, 1500), range(1499, 999, -1), (1200, 7)):
        assert understood(page(numbers), index) == list(numbers)
    assert len(found.table) == 501, "only the series that was dropped is new"


def test_rows_that_are_needed_stay() -> None:
    table, seen = table_of(5000), LastSeen()
    seen.note(0, first(5000), 5000)
    for _ in range(FORGET_AFTER):
        seen.note(0, first(10), 5000)
    needed = np.zeros(4000, bool)
    needed[[20, 3999]] = True
    found = seen.compacted(table, needed)
    assert found is not None
    assert [labels["n"] for labels in found.table.labels] == [*map(str, range(10)), "20", "3999"]
    assert seen.compacted(found.table, NONE) is None, "two are not worth it"


def test_the_age_of_rows_survives_a_compaction() -> None:
    seen = LastSeen()
    seen.note(0, first(9000), 9000)
    seen.note(0, first(4000), 9000)
    for _ in range(FORGET_AFTER - 1):
        seen.note(0, first(2000), 9000)
    once = seen.compacted(table_of(9000), NONE)
    assert once is not None
    assert len(once.table) == 4000
    assert seen.compacted(once.table, NONE) is None
    seen.note(0, first(2000), 4000)
    twice = seen.compacted(once.table, NONE)
    assert twice is not None
    assert len(twice.table) == 2000


def test_an_endpoint_that_does_not_answer_loses_nothing() -> None:
    seen = LastSeen(2)
    seen.note(0, first(3000), 6000)
    seen.note(1, first(3000) + np.int32(3000), 6000)
    for _ in range(10 * FORGET_AFTER):
        seen.begin()
        seen.note(0, first(3000), 6000)
    assert seen.compacted(table_of(6000), NONE) is None
    for _ in range(FORGET_AFTER):
        seen.note(1, first(1) + np.int32(3000), 6000)
    found = seen.compacted(table_of(6000), NONE)
    assert found is not None
    assert len(found.table) == 3001


def test_rows_that_no_answer_ever_showed_grow_old_with_the_collects() -> None:
    table, seen = table_of(5000), LastSeen()
    assert seen.compacted(table, NONE) is None
    for _ in range(FORGET_AFTER):
        assert seen.compacted(table, NONE) is None
        seen.begin()
    found = seen.compacted(table, NONE)
    assert found is not None
    assert len(found.table) == 0


@pytest.mark.parametrize(("dead", "living"), [(999, 0), (1200, 8400)])
def test_what_is_not_worth_it_is_left_alone(dead: int, living: int) -> None:
    seen = LastSeen()
    seen.note(0, first(dead + living), dead + living)
    for _ in range(FORGET_AFTER):
        seen.note(0, first(living), dead + living)
    assert seen.compacted(table_of(dead + living), NONE) is None
    assert seen.compacted(table_of(dead + living + 1), NONE) is None


class TestSlots:
    """What an index keeps of the lines that it knows."""

    PLAIN = b"# HELP a some help\n# TYPE a gauge\n"

    def test_those_of_series_that_are_gone_are_given_to_new_ones(self) -> None:
        index, seen, most = index_of(), LastSeen(), 0
        for cycle in range(60):
            numbers = range(100 * cycle, 100 * cycle + 2000)
            odd = b'a {n="%d",}  %d\n' % (numbers[0], numbers[0]) if cycle % 7 == 0 else b""
            parsed = parse_text(self.PLAIN + (odd or page(numbers[:1])) + page(numbers[1:]), index, openmetrics=False)
            assert parsed.values.tolist() == list(numbers)
            assert [float(index.table.labels[row]["n"]) for row in parsed.rows.tolist()] == list(numbers)
            seen.note(0, parsed.rows, len(index.table))
            if cycle % 5 == 4 and (found := seen.compacted(index.table, NONE)) is not None:
                index.move(found.table, found.rows)
            most = max(most, len(index.keys))
        # Those that live, those that are dead and not dropped yet, and some spelled in two ways.
        assert most < 2000 + 100 * 2 * (FORGET_AFTER + 5) + 1000
        assert len(index.slots) <= most
        assert len(index.table) < 2000 + 100 * 2 * (FORGET_AFTER + 5)

    def test_a_page_that_was_not_asked_for_since_is_read_anew(self) -> None:
        index, seen = index_of(), LastSeen()
        one, other = page(range(3000)), page(range(3000, 6000))
        for body, number in ((one, 0), (other, 1)):
            seen.note(0, parse_text(body, index, openmetrics=False, page=number).rows, len(index.table))
        for _ in range(FORGET_AFTER):
            seen.note(0, parse_text(one, index, openmetrics=False, page=0).rows, len(index.table))
        found = seen.compacted(index.table, NONE)
        assert found is not None
        index.move(found.table, found.rows)
        assert set(index.orders) == {0}
        assert parse_text(other, index, openmetrics=False, page=1).values.tolist() == list(range(3000, 6000))
        assert understood(one, index) == list(range(3000))

    def test_what_nobody_wants_is_understood_again(self) -> None:
        index, seen = index_of({"a"}.__contains__), LastSeen()
        for numbers in (range(3000), *([range(100)] * FORGET_AFTER)):
            body = page(numbers) + b"".join(b'unwanted{n="%d"} 1\n' % n for n in numbers)
            seen.note(0, parse_text(body, index, openmetrics=False).rows, len(index.table))
        found = seen.compacted(index.table, NONE)
        assert found is not None
        index.move(found.table, found.rows)
        assert len(index.slots) == 200
        again = parse_text(page(range(50, 3000)) + b'unwanted{n="2999"} 1\n', index, openmetrics=False)
        assert again.values.tolist() == list(range(50, 3000))
