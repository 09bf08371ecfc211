"""A disk that fills up or breaks under the running program: the page goes on, and the disk catches up later.

The long form: `KCLOUD_FULL_SECONDS=60 pytest tests/real/test_disk.py`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import KcloudExporter, kcloud_exporter
from tests.real.page import Page, total
from tests.real.programs import apart, wait_until

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

FAILURES = "kcloud_exporter_storage_write_failures_total"
FULL_SECONDS = float(os.environ.get("KCLOUD_FULL_SECONDS", "0"))
"""How long the disk stays as bad as it is, at the least."""
PATIENCE = 90.0 + FULL_SECONDS
"""Seconds that only a test takes that would never pass."""
MOUNT = 'mount -t tmpfs -o size=2m none "$0" && exec "$@"'


def joules(page: Page) -> dict[object, float]:
    return {key: value for key, value in page.items() if key[0].endswith("_joules_total")}


def config_of(fleet: Fleet) -> dict[str, Any]:
    """One cluster; on a busy machine late answers are no matter here."""
    config = fleet.kcloud_config("exporter", interval="1s")
    config["clusters"] = [cluster for cluster in config["clusters"] if cluster["name"] == "busan-a"]
    config["sites"] = [site for site in config["sites"] if site["name"] == "pus1"]
    return config | {"global": {"interval": "1s", "timeout": "900ms", "max_staleness": "2m"}}


def not_fallen(before: Page, after: Page) -> bool:
    """Whether nothing in both pages has fallen, and something has risen."""
    old, new = joules(before), joules(after)
    assert not {key for key in old.keys() & new.keys() if new[key] < old[key]}
    return any(new[key] > old[key] for key in old.keys() & new.keys())


def outage(exporter: KcloudExporter, breaking: Callable[[], None], mend: Callable[[], None]) -> None:
    """Let the disk fail for several cycles, and mend it."""
    before = exporter.page()
    assert total(before, FAILURES) == 0

    pages, began = 0, time.monotonic()

    def failed() -> bool:
        nonlocal pages
        breaking()
        pages += 1  # each is had, or this would raise
        return total(exporter.page(), FAILURES) >= 3 and time.monotonic() > began + FULL_SECONDS

    wait_until(failed, "writes fail", PATIENCE, exporter.program)
    during = exporter.page()
    wait_until(lambda: not_fallen(during, exporter.page()), "counters go on in memory", PATIENCE, exporter.program)
    wait_until(lambda: not_fallen(before, exporter.page()), "none has fallen", PATIENCE, exporter.program)
    mend()
    wait_until(
        lambda: "on disk again" in exporter.program.log.read_text(), "it writes again", PATIENCE, exporter.program
    )
    print(f"{pages} pages had in {time.monotonic() - began:.0f} s of a bad disk")
    log = exporter.program.log.read_text()
    assert log.count("counters could not be written") == 1, "many failures, one line"
    assert "Traceback" not in log


def survives(exporter: KcloudExporter) -> Page:
    """The page before a kill -9."""
    page = exporter.page()
    exporter.program.process.send_signal(signal.SIGKILL)
    exporter.program.process.wait()
    return page


@pytest.fixture
def namespace(tmp_path: Path) -> tuple[str, ...]:
    """A command that runs another with a disk of 2 MiB of its own in the place of its storage folder."""
    folder = tmp_path / "kcloud-exporter-data"
    folder.mkdir()
    return (*apart("--mount"), "sh", "-c", MOUNT, str(folder))


def test_a_full_disk(fleet: Fleet, tmp_path: Path, namespace: tuple[str, ...]) -> None:
    config = config_of(fleet)
    with kcloud_exporter(config, tmp_path, through=namespace) as exporter:
        disk = Path(f"/proc/{exporter.program.process.pid}/root{tmp_path}/kcloud-exporter-data")
        ballast = disk / "ballast"

        def fill() -> None:
            with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
                while file.write(b"x" * 4096):
                    pass

        outage(exporter, fill, ballast.unlink)
        # The disk goes with the process; what is on it counts.
        shutil.copytree(disk, tmp_path / "second-data", ignore=shutil.ignore_patterns("history*"))
        last = exporter.page()
    with kcloud_exporter(config, tmp_path, name="second") as second:
        page = second.page()
        assert total(page, "kcloud_exporter_storage_damaged_total") == 0
        assert not_older(last, page)


def not_older(last: Page, page: Page) -> bool:
    """Whether what was copied a moment before the last page is at most a few cycles behind it."""
    old, new = joules(last), joules(page)
    return bool(old) and all(new[key] >= 0.5 * old[key] for key in old.keys() & new.keys())


@contextlib.contextmanager
def limited(pid: int, size: int) -> Iterator[None]:
    """No file of the process may grow beyond a size: to SQLite that is a disk that fails."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fails(fleet: Fleet, tmp_path: Path) -> None:
    config = config_of(fleet)
    with kcloud_exporter(config, tmp_path) as exporter, contextlib.ExitStack() as stack:
        # The log is as long as it is now, and cannot grow.
        size = (tmp_path / "kcloud-exporter-data" / "counters.sqlite-wal").stat().st_size
        stack.enter_context(limited(exporter.program.process.pid, size))
        outage(exporter, lambda: None, stack.close)
        last = survives(exporter)
    with kcloud_exporter(config, tmp_path) as second:
        wait_until(lambda: not_fallen(last, second.page()), "none has fallen", PATIENCE, second.program)
        assert total(second.page(), "kcloud_exporter_storage_damaged_total") == 0


def test_a_disk_that_is_read_only_at_the_start(fleet: Fleet, tmp_path: Path, namespace: tuple[str, ...]) -> None:
    config = config_of(fleet)
    read_only = [*namespace[:-2], MOUNT.replace("size=2m", "size=2m,ro"), namespace[-1]]
    with (
        pytest.raises(AssertionError, match=r"ended with 1:\nkcloud-exporter: .*Read-only file system; give a folder"),
        kcloud_exporter(config, tmp_path, through=read_only),
    ):
        pytest.fail("it must not start")
