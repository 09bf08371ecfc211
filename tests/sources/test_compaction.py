"""Dead series are dropped when they are more than half; what lives goes on as if nothing had happened."""

from __future__ import annotations

import numpy as np

from kcloud_exporter.model import SeriesTable
from kcloud_exporter.sources.base import FORGET_AFTER, LastSeen
from kcloud_exporter.sources.exposition import parse_text
from tests.sources.pages import index_of


def page(*numbers: int) -> bytes:
    return b"".join(b'a{n="%d"} %d\n' % (n, n) for n in numbers)


def test_the_living_keep_their_label_objects_and_are_found_again() -> None:
    index = index_of()
    seen = LastSeen()
    for body in [page(*range(5000)), *([page(*range(1000, 1500))] * (FORGET_AFTER + 1))]:
        seen.collects += 1
        seen.note(parse_text(body, index, openmetrics=False).rows, len(index.table))
    found = seen.survivors(index.table)
    assert found is not None
    table, moved = found
    assert len(table) == 500
    assert len(index.table) == 5000, "readers of the old table are not disturbed"
    assert all(table.identity(moved[row]) == index.table.identity(row) for row in range(1000, 1500))
    assert (moved >= 0).sum() == 500

    after = index.moved(table, moved)
    for body in (page(*range(1000, 1500)), page(*range(1499, 999, -1)), page(1200, 7)):
        parsed = parse_text(body, after, openmetrics=False)
        shown = [float(table.labels[row]["n"]) for row in parsed.rows.tolist()]
        assert shown == parsed.values.tolist()
    assert len(table) == 501, "only the series that was dropped is new"


def test_the_age_of_rows_survives_a_compaction() -> None:
    table = SeriesTable()
    seen = LastSeen()
    for n in range(9000):
        table.add("a", {"n": str(n)})
    seen.note(np.arange(9000, dtype=np.int32), 9000)
    seen.collects = FORGET_AFTER
    seen.note(np.arange(2000, dtype=np.int32), 9000)
    seen.collects = FORGET_AFTER + 1
    first = seen.survivors(table)
    assert first is not None
    assert len(first[0]) == 2000
    seen.collects = 2 * FORGET_AFTER
    assert seen.survivors(first[0]) is None
    seen.note(np.arange(500, dtype=np.int32), 2000)
    seen.collects = 2 * FORGET_AFTER + 1
    second = seen.survivors(first[0])
    assert second is not None
    assert len(second[0]) == 500


def test_a_few_dead_series_are_left_alone() -> None:
    table = SeriesTable()
    seen = LastSeen()
    for n in range(900):
        table.add("a", {"n": str(n)})
    seen.note(np.arange(900, dtype=np.int32), 900)
    seen.collects = 100
    assert seen.survivors(table) is None
