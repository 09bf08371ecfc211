"""Disks that are full, broken or not ours: the store says so, loses nothing that it had, and goes on when it can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kcloud_exporter.derive.energy import EnergyBook, Totals
from kcloud_exporter.errors import StorageError
from kcloud_exporter.model import Keys, Table
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.storage.counters import CounterStore, DamagedError
from tests.real.programs import apart
from tests.storage.folders import META, books, killed, opened

FAMILY = "kcloud_node_energy_joules_total"
ROOT = Path(__file__).parents[2]


def draw(book: EnergyBook, joules: float, nodes: int = 1) -> None:
    keys = Keys([("c", f"n{node}", "cpu") for node in range(nodes)])
    book.totals.setdefault(FAMILY, Totals()).add(Table(keys, np.full(nodes, joules)), 1.0, 0.0)


def on_disk(folder: Path, cluster: str = "c") -> float:
    counters = Counters(CounterStore(folder), 0.0)
    try:
        return float(counters.cluster(cluster).totals[FAMILY].values.sum())
    finally:
        counters.close()


def test_a_full_disk_fails_the_write_and_the_next_one_that_succeeds_holds_everything(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    counters = Counters(store, 0.0)
    book = counters.cluster("c")
    draw(book, 10.0)
    counters.save({"c": book}, {})
    log = tmp_path / "counters.sqlite-wal"
    assert log.stat().st_size
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    for _ in range(3):
        draw(book, 1.0, nodes=5000)
        with pytest.raises(StorageError, match="full") as caught:
            counters.save({"c": book}, {})
        assert not isinstance(caught.value, DamagedError), "a full disk is no damage"
        assert not log.stat().st_size, "the log has given its room back, before anything else is given up"
    store._db.execute("PRAGMA max_page_count = 1000000")
    draw(book, 1.0, nodes=5000)
    assert counters.save({"c": book}, {}) == ""
    counters.close()

    assert on_disk(tmp_path) == 10.0 + 4 * 5000
    assert not list(tmp_path.glob("damaged-*"))


STEADY = """
import os, sys
from contextlib import suppress
from pathlib import Path
from kcloud_exporter.storage.counters import CounterStore
from tests.real.programs import apart
from tests.storage.folders import META, books
folder, steady = Path(sys.argv[1]), books(1)
store = CounterStore(folder)
store.save(steady)
store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
store.save(steady)
ballast = os.open(folder / "ballast", os.O_WRONLY | os.O_CREAT)
with suppress(OSError):
    while os.write(ballast, b"x" * 4096):
        pass
for cycle in range(2, 60):
    steady[META].extra["gap_seconds"] = float(cycle)
    store.save(steady)
    assert os.statvfs(folder).f_bavail <= 8, "no disk that is full"
store.close()
os.ftruncate(ballast, 0)
store = CounterStore(folder)
print(store.load()[META].extra["gap_seconds"], store.recovered)
"""


def test_a_steady_fleet_is_written_every_cycle_on_a_disk_that_has_no_room_at_all(tmp_path: Path) -> None:
    """The main file holds as much already; the log gives its room back as often as it must."""
    mount = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
    command = [*apart("--mount"), "sh", "-c", mount, str(tmp_path), sys.executable, "-c", STEADY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})

    assert (done.stdout, done.stderr) == ("59.0 \n", "")


def test_a_read_only_disk_is_no_damage_either_and_is_got_over(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    counters = Counters(store, 0.0)
    book = counters.cluster("c")
    draw(book, 10.0)
    counters.save({"c": book}, {})
    store._db.execute("PRAGMA query_only = 1")
    draw(book, 5.0)
    with pytest.raises(StorageError, match="readonly"):
        counters.save({"c": book}, {})
    store._db.execute("PRAGMA query_only = 0")
    counters.save({"c": book}, {})
    counters.close()

    assert on_disk(tmp_path) == 15.0
    assert not list(tmp_path.glob("damaged-*"))


@pytest.mark.parametrize("how", ["overwritten", "removed", "replaced"])
def test_a_file_that_is_damaged_while_we_run_is_set_aside_and_everything_is_written_anew(
    tmp_path: Path, how: str
) -> None:
    first = Counters(CounterStore(tmp_path), 0.0)
    draw(first.cluster("removed long ago"), 7.0)
    first.save({"removed long ago": first.cluster("removed long ago")}, {})
    first.close()
    store = CounterStore(tmp_path)
    counters = Counters(store, 0.0)
    book = counters.cluster("c")
    draw(book, 10.0, nodes=2000)
    counters.save({"c": book}, {})
    main = tmp_path / "counters.sqlite"
    if how == "overwritten":
        store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store._db.execute("PRAGMA shrink_memory")
        with main.open("r+b") as file:
            file.write(b"\xff" * main.stat().st_size)
    else:
        main.unlink()
        if how == "replaced":
            main.write_bytes(b"what an administrator has copied here")
    draw(book, 1.0, nodes=2000)
    told = counters.save({"c": book}, {})
    draw(book, 1.0, nodes=2000)
    assert counters.save({"c": book}, {}) == ""
    counters.close()

    assert told.startswith("from memory, because: ")
    assert on_disk(tmp_path) == 2000 * 12.0
    assert on_disk(tmp_path, "removed long ago") == 7.0
    assert how == "removed" or list(tmp_path.glob("damaged-*-counters.sqlite"))


def test_a_damaged_file_on_a_full_disk_stays_in_memory_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = Counters(CounterStore(tmp_path), 0.0)
    book = counters.cluster("c")
    draw(book, 10.0)
    counters.save({"c": book}, {})
    (tmp_path / "counters.sqlite").unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kcloud_exporter.storage.counters._sync", full)
    for _ in range(2):
        draw(book, 10.0)
        with pytest.raises(StorageError, match="No space left"):
            counters.save({"c": book}, {})
    monkeypatch.undo()
    draw(book, 10.0)
    assert counters.save({"c": book}, {}).startswith("from memory")
    counters.close()

    assert on_disk(tmp_path) == 40.0


def test_a_backup_that_fails_costs_no_cycle_and_leaves_the_old_one(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    counters = Counters(store, 0.0)
    book = counters.cluster("c")
    draw(book, 1.0)
    counters.save({"c": book}, {})
    counters.backup(2e9)
    whole = (tmp_path / "counters.backup.sqlite").read_bytes()
    (tmp_path / "counters.backup.sqlite.new").mkdir()
    draw(book, 1.0)
    counters.save({"c": book}, {})
    with pytest.raises(StorageError, match="backup"):
        counters.backup(3e9)
    counters.close()

    assert on_disk(tmp_path) == 2.0
    assert (tmp_path / "counters.backup.sqlite").read_bytes() == whole


def test_a_backup_is_made_when_the_last_one_is_old_or_of_the_future_or_gone(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    counters, path = Counters(store, 0.0), tmp_path / "counters.backup.sqlite"

    def made(now: float) -> bool:
        before = path.stat().st_ino if path.exists() else 0
        counters.backup(now)
        return path.stat().st_ino != before

    assert made(1e9)
    os.utime(path, (1e9, 1e9))
    assert not made(1e9 + 3600)
    assert made(1e9 + 3601), "an hour is over"
    os.utime(path, (2e9, 2e9))
    assert made(1e9), "the clock was set back"
    counters.close()


OPEN = """
import sys
from pathlib import Path
from kcloud_exporter.errors import StorageError
from kcloud_exporter.storage.counters import CounterStore
try:
    CounterStore(Path(sys.argv[1])).close()
except StorageError as exc:
    print(exc)
"""


def opened_without_privileges(folder: Path) -> str:
    """What a process says that opens the store; for root, one that has to obey the rights of files."""
    obeying: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("runs as root, for whom rights mean nothing, and there is no setpriv")
        obeying = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    done = subprocess.run(
        [*obeying, sys.executable, "-c", OPEN, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("what", ["", "counters.sqlite", "counters.cycle", "counters.backup.sqlite", "lock"])
def test_what_may_not_be_read_or_written_is_named_and_left_as_it_is(tmp_path: Path, what: str) -> None:
    folder = killed(tmp_path, 5, backup_at=3)
    path = folder / what
    path.chmod(0o000 if what else 0o500)
    told = opened_without_privileges(folder)
    path.chmod(0o700)

    assert str(folder) in told
    assert not list(folder.glob("damaged-*"))
    found = opened(folder)
    assert found.whole(5)
    assert not found.recovered


def test_a_file_that_may_be_read_and_not_written_is_no_reason_to_begin_anew(tmp_path: Path) -> None:
    folder = killed(tmp_path, 5, checkpoint=True)
    (folder / "counters.sqlite").chmod(0o400)
    told = opened_without_privileges(folder)
    (folder / "counters.sqlite").chmod(0o600)

    assert "it must be readable and writable" in told
    assert opened(folder).whole(5)


def test_a_store_that_is_left_open_by_a_sleeping_reader_still_writes(tmp_path: Path) -> None:
    """An administrator with sqlite3 cannot stand in the way: the file is ours alone while we run."""
    store = CounterStore(tmp_path)
    store.save(books(1))
    path = tmp_path / "counters.sqlite"
    look = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('SELECT * FROM meta')"
    reader = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    store.save(books(2))
    store.close()

    assert "database is locked" in reader.stderr
    assert opened(tmp_path).cycles[META] == 2
