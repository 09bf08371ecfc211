"""What is free goes back to the system."""

from __future__ import annotations

import numpy as np
import pytest

from kcloud_exporter.bench.memory import resident
from kcloud_exporter.history import memory


@pytest.mark.skipif(memory._TRIM is None, reason="this C library has no malloc_trim")
def test_free_pages_between_others_are_given_back() -> None:
    # Below malloc's own limit for mappings, so that they lie side by side in its heap.
    held = [np.ones(100_000, np.uint8) for _ in range(2000)]
    full, _ = resident()
    stay = held[::20]
    del held
    memory.give_back()
    assert resident()[0] < full - 100
    assert all(of.sum() == 100_000 for of in stay)


def test_where_there_is_nothing_to_trim_with_arrow_alone_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_TRIM", None)
    memory.give_back()
