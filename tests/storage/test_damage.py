"""Damage of every kind and file: no value is silently wrong, nothing crashes, and what can be saved is saved."""

from __future__ import annotations

import math
import os
import random
import shutil
from pathlib import Path

import pytest

from kcloud_exporter.storage.counters import CounterStore
from tests.storage.folders import FILES, META, SIZES, books, killed, opened

TRIALS = int(os.environ.get("KCLOUD_DAMAGES", "600"))
"""How many truncations; half as many bit flips, over the files and whether they are in use. For a longer run:
KCLOUD_DAMAGES=10000 pytest tests/storage/test_damage.py --timeout 3600"""
LAST, BACKUP = 12, 5


def changed(killed_folder: Path, folder: Path, file: str, data: bytes) -> Path:
    shutil.copytree(killed_folder, folder)
    (folder / file).write_bytes(data)
    return folder


def test_a_log_that_ends_too_early_is_noticed_and_the_backup_is_the_least_that_remains(tmp_path: Path) -> None:
    folder = killed(tmp_path, LAST, backup_at=BACKUP)
    wal = (folder / "counters.sqlite-wal").read_bytes()
    random.seed(TRIALS)
    for trial in range(TRIALS):
        found = opened(changed(folder, tmp_path / str(trial), "counters.sqlite-wal", wal[: random.randrange(len(wal))]))

        assert len(set(found.cycles.values())) == 1, "all families are of the same cycle"
        cycle = found.cycles[META]
        assert BACKUP <= cycle < LAST
        assert f"cycles {cycle + 2} to {LAST + 1} is lost" in found.recovered
        assert found.next > LAST, "numbers of cycles are not used twice"
        shutil.rmtree(tmp_path / str(trial))


@pytest.mark.parametrize("checkpoint", [False, True], ids=["in the log", "in the main file"])
@pytest.mark.parametrize("file", FILES)
def test_a_flipped_bit_never_gives_a_silent_wrong_value(tmp_path: Path, file: str, checkpoint: bool) -> None:
    folder = killed(tmp_path, LAST, backup_at=BACKUP, checkpoint=checkpoint)
    data = (folder / file).read_bytes()
    if not data:
        assert checkpoint, "only an emptied log has no bit to flip"
        return
    random.seed(TRIALS)
    lost = 0
    for trial in range(TRIALS // 14):
        flipped = bytearray(data)
        flipped[random.randrange(len(data))] ^= 1 << random.randrange(8)
        found = opened(changed(folder, tmp_path / str(trial), file, bytes(flipped)))

        assert found.whole(LAST) or found.recovered
        assert set(found.cycles) == {*SIZES, META}, "no family is gone"
        assert set(found.cycles.values()) <= {BACKUP, *range(LAST - 1, LAST + 1)}
        lost += not found.whole(LAST)
        again = opened(tmp_path / str(trial))
        assert again.cycles == found.cycles
        assert not again.recovered or file == "counters.backup.sqlite", "it is told once, and mended"
        shutil.rmtree(tmp_path / str(trial))
    if file in ("counters.backup.sqlite", "counters.cycle"):
        assert not lost, "the counters themselves are whole"


def test_commits_behind_a_damaged_frame_of_the_log_are_found_although_sqlite_forgets_them(tmp_path: Path) -> None:
    folder = killed(tmp_path, LAST)
    wal = bytearray((folder / "counters.sqlite-wal").read_bytes())
    wal[len(wal) // 2] ^= 1
    (folder / "counters.sqlite-wal").write_bytes(wal)
    found = opened(folder)

    assert found.whole(LAST)
    assert found.recovered.startswith("from the log behind its damage")
    assert "lost" not in found.recovered


def test_one_damaged_family_is_from_the_backup_and_the_others_stay_where_they_were(tmp_path: Path) -> None:
    folder = killed(tmp_path, LAST, backup_at=BACKUP, checkpoint=True)
    main = (folder / "counters.sqlite").read_bytes()
    pods = ("cluster/seoul-a", "kcloud_pod_energy_joules_total")
    at = main.index(books(LAST)[pods].values[200:204].tobytes())
    (folder / "counters.sqlite").write_bytes(main[:at] + b"\xff" + main[at + 1 :])
    found = opened(folder)

    assert found.cycles == dict.fromkeys([*SIZES, META], LAST) | {pods: BACKUP}
    assert "kcloud_pod_energy_joules_total of cluster/seoul-a" in found.recovered
    assert "the backup, cycle 6 (1 of 5 families)" in found.recovered


def test_a_time_that_is_older_than_the_counters_beside_it_is_not_believed(tmp_path: Path) -> None:
    """The time since an old backup's cycle is in the newer counters already, and would be counted twice."""
    folder = killed(tmp_path, LAST, backup_at=BACKUP, checkpoint=True)
    main = (folder / "counters.sqlite").read_bytes()
    at = main.index(b'"monotonic": 12.0')
    (folder / "counters.sqlite").write_bytes(main[:at] + b"#" + main[at + 1 :])
    from kcloud_exporter.storage.counters import CounterStore

    store = CounterStore(folder)
    assert store.load()[META].extra == {"gap_seconds": float(BACKUP)}
    store.close()


@pytest.mark.parametrize(
    ("file", "data", "whole"),
    [
        ("counters.sqlite", b"", True),
        ("counters.sqlite", None, True),
        ("counters.sqlite", b"this is no database" * 1000, True),
        ("counters.sqlite-wal", b"", False),
        ("counters.sqlite-wal", None, False),
        ("counters.sqlite-wal", b"\0" * 100_000, False),
        ("counters.cycle", b"", True),
        ("counters.cycle", None, True),
        ("counters.cycle", b"garbage", True),
        ("counters.cycle", b"9" * 5000, True),
        ("counters.backup.sqlite", b"", True),
        ("counters.backup.sqlite", None, True),
        ("counters.backup.sqlite", b"garbage", True),
    ],
)
def test_a_file_that_is_empty_gone_or_garbage(tmp_path: Path, file: str, data: bytes | None, whole: bool) -> None:
    folder = killed(tmp_path, LAST, backup_at=BACKUP)
    if data is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(data)
    found = opened(folder)

    assert found.whole(LAST if whole else BACKUP)
    quiet = file in ("counters.cycle", "counters.backup.sqlite") and not data
    assert bool(found.recovered) != quiet, "a file that is not there yet is no damage, if nothing else misses it"
    assert not opened(folder).recovered or file == "counters.backup.sqlite"


def test_everything_gone_but_the_mark_is_told(tmp_path: Path) -> None:
    folder = killed(tmp_path, LAST)
    for file in FILES[:3]:
        (folder / file).unlink(missing_ok=True)
    found = opened(folder)

    assert not found.cycles
    assert found.recovered.startswith("from nothing, because: cycle 13 was on disk")
    assert found.recovered.endswith("what was added in cycles 1 to 13 is lost")
    assert found.next > 13


def test_a_file_that_is_lost_after_its_first_cycle_is_told(tmp_path: Path) -> None:
    """The first cycle may hold years: those of a file of schema 1 that was taken over."""
    shutil.copy(Path(__file__).with_name("schema-1.sqlite"), tmp_path / "counters.sqlite")
    CounterStore(tmp_path).close()
    (tmp_path / "counters.sqlite").unlink()
    found = opened(tmp_path)

    assert not found.cycles
    told = "cycle 1 was on disk, counters.sqlite ends at 0; what was added in cycles 1 to 1 is lost"
    assert found.recovered == f"from nothing, because: {told}"


def test_damaged_files_are_set_aside_and_the_newest_sets_are_kept(tmp_path: Path) -> None:
    folder = killed(tmp_path, LAST, backup_at=BACKUP)
    for day in range(1, 6):
        (folder / f"damaged-2026010{day}T000000Z-counters.sqlite").write_bytes(b"x")
    (folder / "counters.sqlite-wal").write_bytes(b"damaged")
    opened(folder)

    stamps = [path.name.removesuffix("-counters.sqlite") for path in sorted(folder.glob("damaged-*-counters.sqlite"))]
    assert stamps[:2] == ["damaged-20260104T000000Z", "damaged-20260105T000000Z"]
    assert (folder / f"{stamps[2]}-counters.sqlite-wal").read_bytes() == b"damaged"
    assert len(stamps) == 3


def test_a_kill_in_the_middle_of_a_recovery_loses_nothing(tmp_path: Path) -> None:
    folder = killed(tmp_path, LAST, backup_at=BACKUP, checkpoint=True)
    (folder / "counters.sqlite").rename(folder / "counters.new.sqlite")  # set aside was the old one, not yet put back
    found = opened(folder)

    assert found.whole(LAST)


def test_a_backup_that_is_no_good_is_as_old_as_can_be_until_a_new_one_is_made(tmp_path: Path) -> None:
    """So whoever makes backups when they are old makes one at once."""
    folder = killed(tmp_path, LAST, backup_at=BACKUP)
    now = (folder / "counters.backup.sqlite").stat().st_mtime + 5.0
    store = CounterStore(folder)
    assert store.backup_age(now) == pytest.approx(5.0)
    store.close()

    (folder / "counters.backup.sqlite").write_bytes(b"garbage")
    store = CounterStore(folder)
    assert store.backup_age(now) == math.inf
    store.backup()
    assert store.backup_age((folder / "counters.backup.sqlite").stat().st_mtime) == 0.0
    store.close()
    assert not opened(folder).recovered
