"""History on object storage: a real server that speaks S3, away for a while, and a program that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as ds
import pytest
from prometheus_client import CollectorRegistry
from pyarrow import fs

from kcloud_exporter.fleet import Fleet
from kcloud_exporter.history.copies import Copies
from kcloud_exporter.history.state import CopyState
from tests.history.snapshots import T0
from tests.history.test_copies import hours, merged, names, sums, until
from tests.history.test_embedded import Kept, kept, record
from tests.real.kcloud import kcloud_exporter
from tests.real.object_storage import KEYS, make_bucket, object_storage, objects, uri
from tests.real.page import total
from tests.real.programs import free_port, wait_until

__all__ = ["kept"]
pytestmark = pytest.mark.real

PLACE = "history/of/kcloud"
WAITING = "kcloud_exporter_history_copy_waiting_files"
FAILURES = "kcloud_exporter_history_copy_failures_total"


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def failures(registry: CollectorRegistry, reason: str) -> float:
    return registry.get_sample_value(FAILURES, {"reason": reason}) or 0.0


def sums_there(port: int) -> list[tuple[str, int, Decimal]]:
    """What DuckDB finds in the bucket."""
    store, base = fs.FileSystem.from_uri(uri(port, PLACE))
    there = ds.dataset(base, filesystem=store, format="parquet", partitioning="hive")
    with duckdb.connect() as db:
        db.register("there", there)
        return db.execute(
            "SELECT family, count(*), sum(value::DECIMAL(30, 9)) FROM there GROUP BY family ORDER BY family"
        ).fetchall()


async def test_a_server_that_comes_late_is_away_and_comes_back(
    kept: Kept, port: int, registry: CollectorRegistry, tmp_path: Path
) -> None:
    history = await hours(kept, 1)
    made = Copies(kept.root, uri(port, PLACE), CopyState(registry), look_seconds=0.1, longest=0.1)
    await until(lambda: failures(registry, "unreachable") >= 1)
    assert registry.get_sample_value(WAITING) == len(names(kept.root))
    with object_storage(tmp_path, port) as server:
        await until(lambda: failures(registry, "missing") >= 1)
        make_bucket(port, "history")
        await until(lambda: objects(port, PLACE).keys() == names(kept.root))
        assert sums_there(port) == sums(kept.root)

        before = objects(port, PLACE)
        with server.stopped():
            await record(history, T0 + 3600, T0 + 4500)
            await history.close()
            assert names(kept.root) > before.keys()
        await until(lambda: objects(port, PLACE).keys() == names(kept.root))
        await merged(kept, T0 + 3 * 3600)
        await merged(kept, T0 + 2 * 86400)
        await until(lambda: objects(port, PLACE).keys() == names(kept.root))

        assert len(objects(port, PLACE)) == 2
        assert sums_there(port) == sums(kept.root)
        await until(lambda: registry.get_sample_value(WAITING) == 0)
        made.close()


COPYING = """
    import sys
    from pathlib import Path
    from prometheus_client import CollectorRegistry
    from kcloud_exporter.history.copies import Copies
    from kcloud_exporter.history.state import CopyState
    Copies(Path(sys.argv[1]), sys.argv[2], CopyState(CollectorRegistry())).close()
    sys.stdin.read()
"""


async def test_a_program_that_is_killed_goes_on_where_it_was(
    kept: Kept, port: int, registry: CollectorRegistry, tmp_path: Path
) -> None:
    await (await hours(kept, 1)).close()
    for day in range(1, 31):  # many files; what is in them does not matter here
        shutil.copytree(kept.root / "day=2026-11-24", kept.root / f"day=2026-{9 + day // 26:02}-{1 + day % 26:02}")
    with object_storage(tmp_path, port):
        make_bucket(port, "history")
        command = [sys.executable, "-c", textwrap.dedent(COPYING), str(kept.root), uri(port, PLACE)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as killed:  # noqa: ASYNC220 - nothing else runs here
            wait_until(lambda: bool(objects(port, PLACE)), "some are there")
            killed.kill()
        some = objects(port, PLACE)
        assert some.keys() < names(kept.root)
        made = Copies(kept.root, uri(port, PLACE), CopyState(registry), look_seconds=0.1)
        await until(lambda: objects(port, PLACE).keys() == names(kept.root))
        made.close()

        assert objects(port, PLACE) == {name: (kept.root / name).stat().st_size for name in names(kept.root)}
        copied = registry.get_sample_value("kcloud_exporter_history_copied_files_total")
        assert copied == len(names(kept.root)) - len(some), "what was there is not sent again"


async def test_the_running_program(port: int, tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kcloud-exporter-data" / "history")
    await (await hours(kept, 1)).close()
    async with Fleet() as fleet:
        config = fleet.kcloud_config("exporter", interval="1s") | {
            "global": {"interval": "1s", "timeout": "900ms", "max_staleness": "2m"},
            "history": {"copy_to": uri(port, PLACE)},
            "storage": {"retention": "9999d"},
        }
        await asyncio.to_thread(_run, config, port, tmp_path, kept.root)


def _run(config: dict[str, Any], port: int, folder: Path, local: Path) -> None:
    with contextlib.ExitStack() as stack:
        with kcloud_exporter(config, folder) as exporter:

            def at_least(name: str, value: float) -> Callable[[], bool]:
                return lambda: total(exporter.page(), name) >= value

            wait_until(at_least(FAILURES, 1), "nobody takes them", 60.0, exporter.program)
            now = total(exporter.page(), "kcloud_snapshot_timestamp_seconds")
            wait_until(at_least("kcloud_snapshot_timestamp_seconds", now + 1), "cycles go on", 60.0, exporter.program)
            log = exporter.program.log.read_text()
            assert "history cannot be copied" in log
            assert "an-access-key" not in log
            assert "a-secret-key" not in log

            stack.enter_context(object_storage(folder, port))
            make_bucket(port, "history")
            copied = len(names(local))
            wait_until(
                at_least("kcloud_exporter_history_copied_files_total", copied), "they are there", 60.0, exporter.program
            )
        assert exporter.program.process.returncode == 0
        assert len(names(local)) > copied
        assert objects(port, PLACE).keys() == names(local), "also what was written last, before it ended"
        assert sums_there(port) == sums(local)
