"""Counters on disk: what was acknowledged is there, what is damaged is told, and two cannot write."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from kcloud_exporter.derive.energy import Totals
from kcloud_exporter.errors import StorageError
from kcloud_exporter.model import Keys, Table
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


def test_a_family_that_was_written_in_pieces_can_be_rewritten_with_fewer_rows_and_grow_again(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    for rows in (3, 5, 9, 2, 3):
        store.save(books(rows, float(rows)))
    store.close()
    again = CounterStore(tmp_path)
    stored = again.load()[KEY]
    again.close()

    assert again.recovered == "", "pieces that belong to nothing any more would be damage"
    assert stored.keys == books(3, 0.0)[KEY].keys
    assert stored.values.tolist() == [3, 4, 5]


def test_a_folder_whose_parents_are_not_there_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "lib" / "kcloud"
    store = CounterStore(folder)
    store.save(books(1, 1.0))
    store.close()
    assert folder.stat().st_mode & 0o777 == 0o700


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


def test_rows_may_go_and_others_come_in_the_same_cycle(tmp_path: Path) -> None:
    """Pods that ended long ago leave the books, and new ones take their places: the count alone tells nothing."""
    totals = Totals([("old",), ("kept",)], [1.0, 2.0])
    store = CounterStore(tmp_path)
    store.save({KEY: Stored(totals.keys, totals.values)})
    totals = totals.without(np.array([True, False]))
    totals.add(Table(Keys([("new",), ("newer",)]), np.array([3.0, 4.0])), 1.0, 0.0)
    store.save({KEY: Stored(totals.keys, totals.values)})
    store.close()
    again = CounterStore(tmp_path)
    stored = again.load()[KEY]
    again.close()

    assert dict(zip(stored.keys, stored.values.tolist(), strict=True)) == {("kept",): 2, ("new",): 3, ("newer",): 4}


def test_a_file_of_schema_1_is_taken_over_with_every_counter(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("schema-1.sqlite"), tmp_path / "counters.sqlite")
    for _ in range(2):  # taken over, and read again
        store = CounterStore(tmp_path)
        stored = store.load()
        store.close()

        assert store.recovered == ""
        nodes = stored[("cluster/seoul-a", "kcloud_node_energy_joules_total")]
        assert nodes.keys == [("seoul-a", f"n{row}", "cpu") for row in range(3)]
        assert nodes.values.tolist() == [0.5, 1000.5, 2000.5]
        assert stored[("cluster/busan-a", "kcloud_node_energy_joules_total")].keys == [("busan-a", "서버-1", "gpu")]
        assert stored[("site/icn1", "kcloud_site_it_energy_joules_total")].values.tolist() == [5e9 + 0.5]
        assert stored[("cluster/seoul-a", "cluster")].extra == {"gap_seconds": 12.5, "seen": 1.8e9}


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    CounterStore(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "counters.sqlite", isolation_level=None)) as newer:
        newer.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
        newer.execute("UPDATE meta SET value = 'in some new form' WHERE key = 'head'")
        newer.execute("CREATE TABLE something_new (a)")
    before = (tmp_path / "counters.sqlite").read_bytes()
    with pytest.raises(StorageError, match=r"newer version \(schema 99, this one reads 2\); run that version"):
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
        assert store.recovered == "", "the torn end of a kill is no damage"
        assert acknowledged <= kept <= acknowledged + 1
