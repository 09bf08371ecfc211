"""What is told to be on disk is on disk: in one piece, before it takes another's place, and with nothing left open."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kcloud_exporter.errors import StorageError
from kcloud_exporter.storage.counters import CounterStore
from tests.storage.folders import META, books, opened

BACKUP = "counters.backup.sqlite"


class Journal:
    """What was made durable, and what took whose place, in the order in which it happened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines: list[str] = []
        fsync, replace = os.fsync, Path.replace

        def synced(handle: int) -> None:
            self.lines.append(f"{Path(f'/proc/self/fd/{handle}').readlink().name} is on disk")
            fsync(handle)

        def replaced(path: Path, target: Path) -> Path:
            self.lines.append(f"{path.name} becomes {target.name}")
            return replace(path, target)

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(Path, "replace", replaced)


def test_a_copy_is_on_disk_before_it_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CounterStore(tmp_path)
    store.save(books(1))
    journal = Journal(monkeypatch)
    store.backup()
    assert journal.lines == [f"{BACKUP}.new is on disk", f"{BACKUP}.new becomes {BACKUP}"]

    journal.lines.clear()
    store.rewrite(books(2), "a test says so")
    store.close()
    new, folder = "counters.new.sqlite", f"{tmp_path.name} is on disk"
    steps = [line for line in journal.lines if not line.startswith("counters.cycle") and "damaged" not in line]
    assert steps == [f"{new}.part is on disk", f"{new}.part becomes {new}", f"{new} becomes counters.sqlite", folder]


def test_of_a_cycle_that_could_not_be_written_nothing_is_on_disk(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    store.save(books(1))
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StorageError, match="full"):
        store.save(books(3000))
    assert not store._db.in_transaction
    store.close()
    found = opened(tmp_path)

    assert found.whole(1)
    assert not found.recovered


def test_another_thread_than_the_one_that_opened_a_store_may_write_to_it(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    with ThreadPoolExecutor(1) as writer:
        writer.submit(store.save, books(1)).result()
        writer.submit(store.backup).result()
    store.close()

    assert opened(tmp_path).whole(1)


def test_after_everything_was_written_anew_its_loss_is_told_at_once(tmp_path: Path) -> None:
    store = CounterStore(tmp_path / "live")
    store.save(books(1))
    store.rewrite(books(2), "a test says so")
    cycle = store.cycle
    shutil.copytree(tmp_path / "live", tmp_path / "killed")
    store.close()
    for file in ("counters.sqlite", "counters.sqlite-wal"):
        (tmp_path / "killed" / file).unlink(missing_ok=True)

    assert f"cycle {cycle} was on disk, counters.sqlite ends at 0" in opened(tmp_path / "killed").recovered


def test_half_a_backup_of_an_earlier_attempt_is_no_hindrance(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    store.save(books(1))
    (tmp_path / f"{BACKUP}.new").write_bytes(b"half of a file " * 500)
    store.backup()
    store.close()
    (tmp_path / "counters.sqlite").unlink()

    assert opened(tmp_path).cycles[META] == 1


def test_a_backup_that_fails_leaves_no_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CounterStore(tmp_path)
    store.save(books(1))

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StorageError, match="Input/output error"):
        store.backup()
    monkeypatch.undo()
    store.close()

    assert not list(tmp_path.glob("*.new"))


def test_a_mark_that_is_damaged_tells_of_no_loss(tmp_path: Path) -> None:
    """Beside a file that was never written by this version, whose cycles begin at 0."""
    shutil.copy(Path(__file__).with_name("schema-1.sqlite"), tmp_path / "counters.sqlite")
    (tmp_path / "counters.cycle").write_bytes(b"garbage")
    store = CounterStore(tmp_path)
    store.close()

    assert store.recovered.startswith("from counters.sqlite as it is, because: ")
    assert ("cluster/seoul-a", "kcloud_node_energy_joules_total") in store.load()


def test_no_file_stays_open(tmp_path: Path) -> None:
    store = CounterStore(tmp_path)
    store.save(books(1))
    store.backup()
    store.rewrite(books(2), "a test says so")
    store.close()

    handles = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - one is this list's
    assert not [handle for handle in handles if tmp_path in Path(os.path.realpath(handle)).parents]
