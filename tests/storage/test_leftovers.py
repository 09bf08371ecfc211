"""What a crash in the middle of writing anew has left behind is no hindrance the next time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kcloud_exporter.storage.counters import CounterStore, Stored
from kcloud_exporter.storage.recovery import NEW

KEY = ("c", "f")


def test_half_a_new_file_of_an_earlier_attempt_is_thrown_away(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    store.save({KEY: Stored([("c",)], np.array([1.0]))})
    (tmp_path / f"{NEW}.part").write_bytes(b"half of a file " * 500)
    store.rewrite({KEY: Stored([("c",)], np.array([2.0]))}, "a test says so")
    store.close()
    again = CounterStore(tmp_path)

    assert again.load()[KEY].values.tolist() == [2]
    assert not list(tmp_path.glob("*.part"))
    again.close()
