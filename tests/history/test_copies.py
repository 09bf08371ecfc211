"""Copies of history in another folder: the same files, whatever happened in between, and nobody else's are touched."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from prometheus_client import CollectorRegistry

from kcloud_exporter.config.load import parse_config
from kcloud_exporter.errors import ConfigError
from kcloud_exporter.history import copies
from kcloud_exporter.history.copies import Copies, mistake_in, reason_of
from kcloud_exporter.history.embedded import EmbeddedHistory
from kcloud_exporter.history.layout import read_footer
from kcloud_exporter.history.state import COPY_FAILURES, CopyState
from kcloud_exporter.runtime import check
from tests.history.snapshots import T0
from tests.history.test_embedded import NODE_ENERGY, NODE_POWER, Kept, kept, record

__all__ = ["kept"]
PATIENCE = 60.0


class Copied:
    """A folder that copies are made in, and who makes them."""

    def __init__(self, root: Path, target: Path) -> None:
        self._root, self.target, self.registry = root, target, CollectorRegistry()
        self._state = CopyState(self.registry)
        self._running: list[Copies] = []

    def start(self) -> Copies:
        made = Copies(self._root, f"file://{self.target}", self._state, look_seconds=0.05, longest=0.05)
        self._running.append(made)
        return made

    def stop(self) -> None:
        while self._running:
            self._running.pop().close()

    def files(self) -> set[str]:
        return names(self.target)

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"kcloud_exporter_history_{name}", labels) or 0.0


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*.parquet")}


@pytest.fixture
def copied(kept: Kept, tmp_path: Path) -> Iterator[Copied]:
    made = Copied(kept.root, tmp_path / "bucket")
    yield made
    made.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - another thread works
            await asyncio.sleep(0.02)


def sums(root: Path) -> list[tuple[str, int, Decimal]]:
    """What DuckDB finds in a folder: rows and sums of every family."""
    with duckdb.connect() as db:
        source = f"read_parquet('{root}/**/*.parquet', hive_partitioning = true, union_by_name = true)"
        return db.execute(
            f"SELECT family, count(*), sum(value::DECIMAL(30, 9)) FROM {source} GROUP BY family ORDER BY family"
        ).fetchall()


async def hours(kept: Kept, count: int = 2, written: Callable[[], None] = lambda: None) -> EmbeddedHistory:
    """A history of some hours, in four files each."""
    history = EmbeddedHistory(kept.root, 30 * 86400.0, kept.state, clock=lambda: kept.now, written=written)
    for part in range(4 * count):
        await record(history, T0 + part * 900, T0 + (part + 1) * 900)
    return history


async def merged(kept: Kept, now: float) -> None:
    kept.now = now
    history = kept.open()
    await history.flush()
    await history.close()


async def test_duckdb_finds_there_what_it_finds_here(kept: Kept, copied: Copied) -> None:
    makes = copied.start()
    history = await hours(kept, written=makes.wake)
    await history.close()
    await until(lambda: copied.files() == names(kept.root))

    assert sums(copied.target) == sums(kept.root)
    found = sums(copied.target)
    assert {NODE_POWER, NODE_ENERGY, "kcloud_site_pue_ratio"} <= {family for family, _, _ in found}
    copied.stop()
    assert copied.value("copied_files_total") == len(copied.files()) > 10
    assert copied.value("copied_bytes_total") == sum(path.stat().st_size for path in kept.files())
    assert copied.value("copy_waiting_files") == 0
    assert not list(copied.target.rglob(".*")), "nothing half done is left"


async def test_what_was_merged_takes_the_place_of_its_parts_there_too(kept: Kept, copied: Copied) -> None:
    await (await hours(kept)).close()
    before = sums(kept.root)
    copied.start()
    await until(lambda: copied.files() == names(kept.root))
    many = copied.files()
    await merged(kept, T0 + 3 * 3600)
    await until(lambda: copied.files() == names(kept.root))
    assert len(copied.files()) < len(many)
    assert sums(copied.target) == before
    await merged(kept, T0 + 2 * 86400)
    await until(lambda: copied.files() == names(kept.root))

    assert len(copied.files()) == 2
    assert sums(copied.target) == before


async def test_what_was_merged_twice_while_the_program_did_not_copy(kept: Kept, copied: Copied) -> None:
    await (await hours(kept)).close()
    copied.start()
    await until(lambda: copied.files() == names(kept.root))
    copied.stop()
    before, many = sums(copied.target), copied.files()
    await merged(kept, T0 + 3 * 3600)
    await merged(kept, T0 + 2 * 86400)
    assert not many & names(kept.root)
    copied.start()
    await until(lambda: copied.files() == names(kept.root))

    assert sums(copied.target) == before


async def test_parts_are_deleted_only_when_what_replaces_them_is_there(
    kept: Kept, copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await hours(kept, 1)).close()
    copied.start()
    await until(lambda: copied.files() == names(kept.root))
    many = copied.files()

    def refuse(*_: object) -> None:
        raise OSError("AWS Error NETWORK_CONNECTION during PutObject operation")

    monkeypatch.setattr(copies, "_pour", refuse)
    await merged(kept, T0 + 2 * 86400)
    await until(lambda: copied.value("copy_failures_total", reason="unreachable") >= 2)
    assert copied.files() == many
    assert copied.value("copy_waiting_files") == 2
    monkeypatch.undo()
    await until(lambda: copied.files() == names(kept.root))
    copied.stop()
    assert copied.value("copy_waiting_files") == 0


async def test_what_retention_removes_here_stays_there(kept: Kept, copied: Copied) -> None:
    await (await hours(kept, 1)).close()
    copied.start()
    await until(lambda: copied.files() == names(kept.root))
    before, there = sums(copied.target), copied.files()
    kept.now = T0 + 40 * 86400
    history = kept.open()
    await history.flush()
    assert not names(kept.root)
    await record(history, kept.now, kept.now + 60)
    await history.close()
    await until(lambda: copied.files() == names(kept.root) | there)

    assert copied.files() > there
    assert [row[1] for row in sums(copied.target)] >= [row[1] for row in before]


async def test_files_of_another_instance_and_foreign_ones_are_left_alone(
    kept: Kept, copied: Copied, tmp_path: Path
) -> None:
    twin = Kept(tmp_path / "twin")
    await (await hours(twin, 1)).close()
    shutil.copytree(twin.root, copied.target)
    await (await hours(kept, 1)).close()
    foreign = next(path for path in kept.files() if "seoul-a" in str(path)).with_name("foreign.parquet")
    foreign.write_bytes(b"PAR1 and nothing else")
    copied.start()
    await until(lambda: copied.files() >= names(kept.root) - {str(foreign.relative_to(kept.root))})
    await merged(kept, T0 + 2 * 86400)
    await until(lambda: len(copied.files() - names(twin.root)) == 2)
    copied.stop()

    assert foreign.exists()
    assert names(twin.root) < copied.files()
    assert not any("foreign" in name for name in copied.files())
    assert copied.value("copy_waiting_files") == 0


async def test_what_was_cut_off_there_is_copied_again(kept: Kept, copied: Copied) -> None:
    await (await hours(kept, 1)).close()
    copied.start()
    await until(lambda: copied.files() == names(kept.root))
    copied.stop()
    victim = next(path for path in copied.target.rglob("*.parquet") if "seoul-a" in str(path))
    whole = victim.read_bytes()
    victim.write_bytes(whole[:100])
    victim.with_name(f".{victim.name}.writing").write_bytes(whole[:50])
    copied.start()
    await until(lambda: victim.read_bytes() == whole)
    copied.stop()

    assert not list(copied.target.rglob(".*"))


async def test_a_place_that_cannot_be_written_stops_nothing(
    kept: Kept, copied: Copied, caplog: pytest.LogCaptureFixture
) -> None:
    copied.target.write_text("a file where a folder should be")
    makes = copied.start()
    history = await hours(kept, 1, makes.wake)
    await until(lambda: sum(copied.value("copy_failures_total", reason=r) for r in COPY_FAILURES) >= 3)
    waiting = copied.value("copy_waiting_files")
    power = await history.series(NODE_POWER, {}, T0, T0 + 3600, 3600)
    await history.close()

    assert waiting > 0
    assert len(power.labels) == 3
    assert kept.count("working") == 1
    assert caplog.text.count("history cannot be copied") == 1, "many failures, one line"
    copied.target.unlink()
    await until(lambda: copied.files() == names(kept.root))
    assert "Traceback" not in caplog.text


async def test_a_file_that_cannot_be_read_keeps_back_none_but_itself(
    kept: Kept, copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await hours(kept, 1)).close()
    victim = next(path for path in kept.files() if "seoul-a" in str(path))
    reading = copies._reading

    def broken(read: Callable[[int], bytes]) -> Callable[[], bytes]:
        def fail(_: int) -> bytes:
            raise OSError(5, "Input/output error")

        return reading(fail if getattr(getattr(read, "__self__", None), "name", "") == str(victim) else read)

    monkeypatch.setattr(copies, "_reading", broken)
    copied.start()
    rest = names(kept.root) - {str(victim.relative_to(kept.root))}
    await until(lambda: copied.files() == rest and copied.value("copy_failures_total", reason="unreadable") >= 2)
    assert copied.value("copy_waiting_files") == 1
    monkeypatch.undo()
    await until(lambda: copied.files() == names(kept.root))


async def test_a_merged_file_names_all_that_went_into_it(kept: Kept) -> None:
    await (await hours(kept)).close()
    parts = {path.name for path in kept.files() if "seoul-a" in str(path)}
    await merged(kept, T0 + 3 * 3600)
    by_hour = {path.name for path in kept.files() if "seoul-a" in str(path)}
    await merged(kept, T0 + 2 * 86400)
    (whole,) = (path for path in kept.files() if "seoul-a" in str(path))

    assert read_footer(whole).replaces == parts | by_hour


def config(uri: str) -> dict[str, object]:
    return {
        "clusters": [{"name": "a", "sources": [{"prometheus": {"url": "http://127.0.0.1:9"}}]}],
        "history": {"copy_to": uri},
    }


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("ftp://bucket/x", "'ftp' is no storage that is known"),
        ("bucket/x", "no storage that is known"),
        ("s3://key:hunter2@bucket/x", "a URI carries no keys"),
        ("s3://key@bucket/x", "a URI carries no keys"),
        ("abfss://c:hunter2@account.dfs.core.windows.net/x", "a URI carries no keys"),
        ("s3:///x", "followed by a bucket"),
        ("file://srv/x", "followed by an absolute path"),
        ("s3://bucket/a b", "no spaces"),
        ("s3://bucket/x?regoin=hunter2", "Unexpected query parameter in S3 URI: 'regoin'"),
        ("s3://bucket/x?scheme=gopher", "Invalid S3 connection scheme"),
    ],
)
def test_a_place_that_cannot_be_is_a_mistake_and_keys_are_not_printed(uri: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(parse_config(config(uri), {}))
    (problem,) = caught.value.problems
    assert problem.startswith("history.copy_to: ")
    assert told in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/x?region=eu-west-1", "gs://b/x", "file:///srv/history"])
def test_a_place_that_can_be(uri: str) -> None:
    assert mistake_in(uri) == ""
    check(parse_config(config(uri), {}))


def test_a_store_keeps_its_own_files() -> None:
    data = config("s3://bucket/x")
    data["history"] = {"copy_to": "s3://bucket/x", "backend": "prometheus", "url": "http://127.0.0.1:9"}
    with pytest.raises(ConfigError, match="copy_to belongs to backend: embedded"):
        parse_config(data, {})


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("AWS Error ACCESS_DENIED during PutObject operation: Access Denied", "denied"),
        ("AWS Error NO_SUCH_BUCKET during CreateMultipartUpload operation", "missing"),
        ("AWS Error NETWORK_CONNECTION during ListObjectsV2 operation: curlCode: 7, Could not connect", "unreachable"),
        ("AWS Error UNKNOWN (HTTP status 418) during PutObject operation", "other"),
    ],
)
def test_failures_have_a_word(said: str, reason: str) -> None:
    assert reason_of(OSError(said)) == reason
    assert reason_of(PermissionError(13, "Permission denied")) == "denied"
