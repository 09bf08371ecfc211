"""What the program makes of its disk: counted, told once, and never in the way of a cycle."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kcloud_exporter.config.load import parse_config
from kcloud_exporter.config.schema import Config
from kcloud_exporter.errors import StorageError
from kcloud_exporter.pipeline.persistence import REMIND_SECONDS, Persistence
from kcloud_exporter.runtime import Runtime
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.storage.counters import CounterStore
from kcloud_exporter.telemetry import Telemetry
from tests.storage.folders import killed

NOBODY = {"exporter": {"vendor": "dcgm", "targets": ["http://127.0.0.1:9/metrics"]}}


def config() -> Config:
    return parse_config({"clusters": [{"name": "c", "sources": [NOBODY]}]}, {})


def value(telemetry: Telemetry, name: str) -> float:
    lines = telemetry.exposition(False).decode().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name} ")]
    return float(line.rsplit(" ", 1)[1])


FAILURES = "kcloud_exporter_storage_write_failures_total"
DAMAGED = "kcloud_exporter_storage_damaged_total"
BACKUPS = "kcloud_exporter_storage_backup_failures_total"


class Disk:
    """A store, and the way to it, with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.store, self.telemetry = CounterStore(folder), Telemetry()
        self.way = Persistence(Counters(self.store, 0.0), self.telemetry)

    def cycle(self, monotonic: float) -> None:
        self.way.persist({}, {}, 1e9 + monotonic, monotonic)

    def fails(self, *, fails: bool) -> None:
        self.store._db.execute(f"PRAGMA query_only = {int(fails)}")


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    disk.store.close()


def told(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


def test_many_failures_are_counted_one_by_one_and_told_now_and_then(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        disk.cycle(0.0)
        disk.fails(fails=True)
        for cycle in range(1, 121):
            disk.cycle(15.0 * cycle)
        disk.fails(fails=False)
        disk.cycle(1815.0)
        disk.cycle(1830.0)

    assert value(disk.telemetry, FAILURES) == 120
    assert told(caplog, "could not be written") == 1 + int((15 * 119) // REMIND_SECONDS)
    assert told(caplog, "on disk again") == 1
    assert not [record for record in caplog.records if record.exc_info], "a full disk is no defect"


def test_damage_while_running_is_counted_and_mended(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    disk.cycle(0.0)
    (disk.store._folder / "counters.sqlite").unlink()
    disk.cycle(15.0)
    disk.cycle(30.0)

    assert value(disk.telemetry, DAMAGED) == 1
    assert value(disk.telemetry, FAILURES) == 0
    assert told(caplog, "written anew") == 1


def test_a_backup_that_fails_is_counted_and_told_and_the_cycle_is_on_disk(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    (disk.store._folder / "counters.backup.sqlite.new").mkdir()
    disk.cycle(0.0)
    disk.cycle(15.0)

    assert value(disk.telemetry, BACKUPS) == 2
    assert value(disk.telemetry, FAILURES) == 0
    assert told(caplog, "backup of the counters could not be written") == 1
    assert disk.store.cycle == 3


async def test_damage_found_at_the_start_is_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = killed(tmp_path, 3)
    (folder / "counters.sqlite").write_bytes(b"")
    runtime = Runtime(config(), config, folder)
    await runtime.close()

    assert value(runtime.telemetry, DAMAGED) == 1
    assert told(caplog, "the counters on disk were damaged") == 1


async def test_a_second_program_on_the_same_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    first = Runtime(config(), config, tmp_path)
    with pytest.raises(StorageError, match="in use by another kcloud-exporter; two would count everything twice"):
        Runtime(config(), config, tmp_path)
    await first.tick()
    await first.close()

    assert value(first.telemetry, FAILURES) == 0
    with sqlite3.connect(tmp_path / "counters.sqlite") as db:
        assert db.execute("SELECT count(*) FROM totals").fetchone()[0] > 0
    db.close()
