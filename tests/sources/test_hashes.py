"""Numbers in twelve bytes each: they hold what a dict would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter.sources import hashes
from kcloud_exporter.sources.hashes import Hashes

numbers = st.integers(-(2**63), 2**63 - 1).map(Hashes.first)


@given(st.lists(numbers, unique=True), st.lists(numbers), st.integers(0, 20))
def test_what_was_put_is_found_and_nothing_else(put: list[int], asked: list[int], least: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashes, "_LEAST", least)  # so that some are sorted in, and some are not
        found, expected = Hashes(), {}
        for row, number in enumerate(put):
            assert found.get(number) is None
            found.put(number, row)
            expected[number] = row
        assert {number: found.get(number) for number in [*put, *asked]} == {n: expected.get(n) for n in [*put, *asked]}


@given(st.lists(numbers, unique=True, min_size=1), st.data())
def test_after_a_compaction_the_living_are_found_at_their_new_rows(put: list[int], data: st.DataObject) -> None:
    alive = np.array(data.draw(st.lists(st.booleans(), min_size=len(put), max_size=len(put))))
    new_rows = np.where(alive, np.cumsum(alive) - 1, -1).astype(np.int32)
    before = Hashes()
    for row, number in enumerate(put):
        before.put(number, row)
    after = before.moved(new_rows)
    assert [after.get(number) for number in put] == [int(row) if row >= 0 else None for row in new_rows]
