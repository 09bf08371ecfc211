"""Counters on disk: what was acknowledged is there, what is damaged is told, and two cannot write."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kcloud_exporter.errors import StorageError
from kcloud_exporter.storage.counters import CounterStore, Stored

KEY = ("seoul-a", "kcloud_node_energy_joules_total")


def books(count: int, base: float) -> dict[tuple[str, str], Stored]:
    return {
        KEY: Stored(
            [("seoul-a", f"n{i}", "cpu") for i in range(count)],
            np.arange(count, dtype=np.float64) + base,
            {"gap": base},
        )
    }


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    store.save(books(3, 10.0))
    store.save(books(5, 20.0))
    store.close()
    again = CounterStore(tmp_path)
    stored = again.load()[KEY]
    again.close()

    assert stored.keys == books(5, 0.0)[KEY].keys
    assert stored.values.tolist() == [20, 21, 22, 23, 24]
    assert stored.extra == {"gap": 20.0}
    assert again.recovered == ""


def test_a_family_can_be_rewritten_with_fewer_rows(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    store.save(books(5, 1.0))
    store.save(books(2, 7.0))
    store.close()
    again = CounterStore(tmp_path)

    assert again.load()[KEY].values.tolist() == [7, 8]
    again.close()


@pytest.mark.parametrize("taken", [0, 2, 4])
def test_a_row_that_leaves_while_another_comes_leaves_every_value_with_its_labels(tmp_path: Path, taken: int) -> None:
    before, after = books(5, 1.0)[KEY], books(6, 1.0)[KEY]
    store = CounterStore(tmp_path)
    store.save({KEY: before})
    kept = [at for at in range(6) if at != taken]
    changed = Stored([after.keys[at] for at in kept], after.values[kept])
    store.save({KEY: changed})
    store.save({KEY: Stored([*changed.keys, ("seoul-a", "n9", "cpu")], np.append(changed.values, 99.0))})
    store.close()
    again = CounterStore(tmp_path)
    stored = again.load()[KEY]
    again.close()

    assert dict(zip(stored.keys, stored.values.tolist(), strict=True)) == {
        **{after.keys[at]: float(after.values[at]) for at in kept},
        ("seoul-a", "n9", "cpu"): 99.0,
    }


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    with pytest.raises(StorageError, match="in use by another"):
        CounterStore(tmp_path)
    store.close()
    CounterStore(tmp_path).close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"--storage\.path"):
        CounterStore(tmp_path / "file" / "data")


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    store._db.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    store.close()
    before = (tmp_path / "counters.sqlite").read_bytes()
    with pytest.raises(StorageError, match="newer version"):
        CounterStore(tmp_path)
    assert (tmp_path / "counters.sqlite").read_bytes() == before


def test_a_damaged_file_is_set_aside_and_the_backup_takes_its_place(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    store.save(books(3, 10.0))
    store.backup()
    store.save(books(3, 20.0))
    store.close()
    (tmp_path / "counters.sqlite").write_bytes(b"this is no database" * 100)
    again = CounterStore(tmp_path)

    assert again.load()[KEY].values.tolist() == [10, 11, 12]
    assert again.recovered.startswith("from the backup")
    assert list(tmp_path.glob("damaged-*-counters.sqlite"))
    again.close()


def _intact(folder: Path) -> tuple[float, str]:
    """The first value that a store in this folder holds, and how it was recovered."""
    store = CounterStore(folder)
    try:
        stored = store.load().get(KEY)
        return (float(stored.values[0]) if stored is not None else -1.0), store.recovered
    finally:
        store.close()


def _prepared(folder: Path, cycles: int) -> None:
    """A folder as kill -9 leaves it: committed cycles in the write-ahead log, nothing checkpointed away."""
    store = CounterStore(folder / "live")
    store._db.execute("PRAGMA wal_autocheckpoint = 0")
    for cycle in range(cycles):
        store.save(books(20, float(cycle)))
    shutil.copytree(folder / "live", folder / "killed")
    store.close()


def test_truncated_logs_give_an_earlier_whole_cycle(tmp_path: Path) -> None:
    _prepared(tmp_path, 12)
    wal = (tmp_path / "killed" / "counters.sqlite-wal").read_bytes()
    random.seed(1)
    for trial in range(120):
        folder = tmp_path / f"t{trial}"
        shutil.copytree(tmp_path / "killed", folder)
        (folder / "counters.sqlite-wal").write_bytes(wal[: random.randrange(len(wal))])
        value, recovered = _intact(folder)
        assert value in {-1.0, *map(float, range(12))}
        assert recovered == "", "a torn tail is repaired by the log itself"
        shutil.rmtree(folder)


@pytest.mark.parametrize("file", ["counters.sqlite-wal", "counters.sqlite"])
def test_flipped_bits_never_give_a_silent_wrong_value(tmp_path: Path, file: str) -> None:
    _prepared(tmp_path, 6)
    if file == "counters.sqlite":
        CounterStore(tmp_path / "killed").close()  # checkpoints the log into the main file
    data = (tmp_path / "killed" / file).read_bytes()
    random.seed(2)
    for trial in range(120):
        folder = tmp_path / f"f{trial}"
        shutil.copytree(tmp_path / "killed", folder)
        flipped = bytearray(data)
        flipped[random.randrange(len(data))] ^= 1 << random.randrange(8)
        (folder / file).write_bytes(flipped)
        value, recovered = _intact(folder)
        assert value in {-1.0, *map(float, range(6))}
        assert value >= 0 or recovered or file.endswith("-wal")
        shutil.rmtree(folder)


WRITER = """
import sys
import numpy as np
from pathlib import Path
from kcloud_exporter.storage.counters import CounterStore, Stored
store = CounterStore(Path(sys.argv[1]))
cycle = int(store.load()[("c", "f")].values[0]) if store.load() else 0
while True:
    cycle += 1
    store.save({("c", "f"): Stored([("c",)], np.array([float(cycle)]))})
    sys.stdout.write(f"{cycle}\\n")
    sys.stdout.flush()
"""


def test_kill_at_any_instant_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    random.seed(3)
    acknowledged = 0
    for _ in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert writer.stdout is not None
        for _ in range(random.randint(1, 40)):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].split()
        acknowledged = int(rest[-1]) if rest else acknowledged
        store = CounterStore(tmp_path)
        kept = store.load()[("c", "f")].values[0]
        store.close()
        assert acknowledged <= kept <= acknowledged + 1
