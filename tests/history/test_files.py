"""The files themselves: others can read them, damage costs only what is damaged, and a full disk only history."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcloud_exporter.history import layout
from kcloud_exporter.history.embedded import FileReader
from kcloud_exporter.history.recorder import seven_digits
from kcloud_exporter.model import Snapshot
from tests.history.snapshots import T0, snapshot
from tests.history.test_embedded import NODE_ENERGY, NODE_POWER, Kept, kept, record

__all__ = ["kept"]


async def one_hour(kept: Kept, merged: bool = False) -> None:
    history = kept.open()
    for part in range(4):
        await record(history, T0 + part * 900, T0 + (part + 1) * 900)
    await history.close()
    if merged:
        kept.now = T0 + 2 * 86400
        again = kept.open()
        await again.flush()
        await again.close()


class TestOthersReadIt:
    async def test_duckdb_reads_it_as_it_lies(self, kept: Kept) -> None:
        await one_hour(kept, merged=True)
        with duckdb.connect() as db:
            db.execute("SET TimeZone = 'UTC'")
            source = f"read_parquet('{kept.root}/**/*.parquet', hive_partitioning = true)"
            kinds = dict(
                db.execute(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {source})").fetchall()
            )
            rows = db.execute(
                f"SELECT node, avg(value), count(*), min(timestamp) FROM {source} WHERE day = '2026-11-24' "
                f"AND cluster = 'seoul-a' AND family = '{NODE_POWER}' GROUP BY node ORDER BY node"
            ).fetchall()
            ours = await FileReader(kept.root).series(NODE_POWER, {}, T0, T0 + 3600, 3600)
            sites = db.execute(
                f"SELECT cluster, site, value FROM {source} WHERE family LIKE '%pue%' LIMIT 1"
            ).fetchall()

        assert kinds["timestamp"] == "TIMESTAMP WITH TIME ZONE"
        assert kinds["value"] == "DOUBLE"
        assert {"family", "node", "namespace", "pod", "component", "day", "cluster"} <= kinds.keys()
        assert [row[0] for row in rows] == ["node-0", "node-1", "node-2"]
        assert [row[1] for row in rows] == pytest.approx(ours.values[:, 0].tolist(), rel=1e-12)
        assert {row[2] for row in rows} == {60}
        assert sites == [(None, "icn1", 1.25)]

    async def test_pyarrow_datasets_read_it_as_it_lies_and_only_plain_encodings_are_used(self, kept: Kept) -> None:
        await one_hour(kept)
        # A folder is one day and one cluster, whatever characters its name has.
        dataset = ds.dataset(kept.root, format="parquet", partitioning="hive")
        table = dataset.to_table(filter=(ds.field("cluster") == "seoul-a") & (ds.field("family") == NODE_ENERGY))

        assert table.num_rows == 3 * 13, "twelve times five minutes, and the first reading"
        for path in kept.files():
            group = pq.read_metadata(path).row_group(0)
            for at in range(group.num_columns):
                assert set(group.column(at).encodings) <= {"PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY"}
                assert group.column(at).compression == "ZSTD"


class TestDamage:
    @pytest.mark.parametrize("what", ["empty", "text", "cut", "flipped", "foreign", "moved", "newer"])
    async def test_a_damaged_or_foreign_file_is_left_out_counted_and_told(
        self, kept: Kept, what: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        await one_hour(kept)
        files = [path for path in kept.files() if "seoul-a" in str(path)]
        victim, raw = files[1], files[1].read_bytes()
        match what:
            case "empty":
                victim.write_bytes(b"")
            case "text":
                victim.write_text("no parquet at all")
            case "cut":
                victim.write_bytes(raw[: len(raw) // 2])
            case "flipped":
                victim.write_bytes(raw[:200] + bytes(b ^ 0xFF for b in raw[200:600]) + raw[600:])
            case "foreign":
                pq.write_table(pa.table({"x": [1]}), victim)
            case "moved":
                target = victim.parent.with_name("cluster=elsewhere")
                target.mkdir()
                victim.rename(target / victim.name)
            case "newer":
                victim.unlink()
                original, layout.FORMAT = layout.FORMAT, 99  # type: ignore[misc]
                table = pa.Table.from_batches([], schema=layout.SCHEMA)
                row = {name: [None] for name in layout.LABELS}
                table = pa.table({"timestamp": [0], "family": ["x"], **row, "value": [0.0]}, schema=layout.SCHEMA)
                layout.write(victim.parent, "seoul-a", [table])
                layout.FORMAT = original  # type: ignore[misc]
        history = kept.open()
        power = await history.series(NODE_POWER, {"node": "node-0"}, T0, T0 + 3600, 60)
        await history.series(NODE_POWER, {"node": "node-0"}, T0, T0 + 3600, 60)
        await record(history, T0 + 3600, T0 + 3660)
        later = await history.series(NODE_POWER, {"node": "node-0"}, T0 + 3600, T0 + 3660, 60)
        await history.close()

        lost = np.flatnonzero(np.isnan(power.values[0]))
        assert lost.tolist() == list(range(14, 29)), "the minutes of that file, and no other"
        assert kept.count("damaged_files_total") == 1, "told once, not at each question"
        assert "damaged or foreign" in caplog.text
        assert later.values.shape == (1, 1)

    async def test_merging_goes_on_around_a_damaged_file_and_keeps_it(self, kept: Kept) -> None:
        await one_hour(kept)
        victim = next(path for path in kept.files() if "seoul-a" in str(path))
        raw = victim.read_bytes()
        victim.write_bytes(raw[:200] + bytes(b ^ 0xFF for b in raw[200:600]) + raw[600:])
        kept.now = T0 + 2 * 86400
        history = kept.open()
        await history.flush()
        power = await history.series(NODE_POWER, {"node": "node-0"}, T0, T0 + 3600, 60)
        await history.close()

        assert victim.exists()
        assert len([path for path in kept.files() if "seoul-a" in str(path)]) == 2
        assert np.flatnonzero(np.isnan(power.values[0])).tolist() == list(range(14))
        assert kept.count("working") == 1

    async def test_what_a_crash_left_between_two_steps_of_a_merge_counts_once_and_is_swept(self, kept: Kept) -> None:
        await one_hour(kept)
        reader = FileReader(kept.root)
        before = await reader.series(NODE_POWER, {}, T0, T0 + 3600, 60)
        saved = {path: path.read_bytes() for path in kept.files()}
        kept.now = T0 + 2 * 86400
        history = kept.open()
        await history.flush()
        await history.close()
        for path, raw in saved.items():  # as if the crash had come before they were deleted
            path.write_bytes(raw)
        (next(iter(saved)).parent / ".0123.writing").write_bytes(b"half a file")
        joules = await FileReader(kept.root).increase(NODE_ENERGY, {}, T0, T0 + 3600)
        after = await FileReader(kept.root).series(NODE_POWER, {}, T0, T0 + 3600, 60)
        history = kept.open()
        await history.flush()
        await history.close()

        np.testing.assert_array_equal(before.values, after.values)
        assert joules.values.tolist() == [100.0 * 3585, 200.0 * 3585, 300.0 * 3585]
        assert len(kept.files()) == 2
        assert not list(kept.root.rglob(".*.writing"))


class TestDisk:
    async def test_a_disk_that_takes_nothing_stops_history_which_says_so_and_goes_on_later(
        self, kept: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        history = kept.open()
        await record(history, T0, T0 + 600)

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            await record(history, T0 + 600, T0 + 1200)
            await history.flush()
            assert kept.count("working") == 0
            assert "No space left" in kept.state.failure
            assert caplog.text.count("history has stopped") == 1
            assert not list(kept.root.rglob(".*.writing")), "nothing is left behind that fills the disk further"
        power = await history.series(NODE_POWER, {"node": "node-0"}, T0, T0 + 1140, 60)
        await history.flush()
        assert kept.count("working") == 1
        await history.close()

        assert not np.isnan(power.values).any(), "what waits can be read"
        after = await FileReader(kept.root).series(NODE_POWER, {"node": "node-0"}, T0, T0 + 1140, 60)
        np.testing.assert_array_equal(after.values, power.values)

    async def test_while_the_disk_takes_nothing_memory_is_bounded_and_the_oldest_rows_go(
        self, kept: Kept, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("kcloud_exporter.history.embedded._WAITING_ROWS", 100)
        history = kept.open()
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        await record(history, T0, T0 + 7200)
        waiting = sum(len(block.at) for block in history._waiting)
        monkeypatch.undo()
        await history.close()

        assert 50 < waiting <= 100
        assert kept.count("lost_rows_total") > 100


WRITER = """
    import asyncio, sys
    from pathlib import Path
    from prometheus_client import CollectorRegistry
    from kcloud_exporter.history import embedded
    from kcloud_exporter.history.state import HistoryState
    from tests.history.snapshots import T0, busy

    async def main():
        at, now = float(sys.argv[2]), [0.0]
        history = embedded.EmbeddedHistory(
            Path(sys.argv[1]), 1e9, HistoryState(CollectorRegistry()), flush_seconds=0.02, clock=lambda: now[0])
        while True:
            at += 15
            now[0] = at
            history._queue.put(busy(at))
            print(at, flush=True)

    asyncio.run(main())
"""


def _made(path: Path) -> float:
    """When a file was made; 0 for one that was merged away meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def killed_writer(root: Path, at: float) -> float:
    """Let one write for a moment, then kill it. Returns how far it had come."""
    arguments = [sys.executable, "-c", textwrap.dedent(WRITER), str(root), str(at)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        newest, end = max(map(_made, root.rglob("*.parquet")), default=0.0), time.monotonic() + 30
        while max(map(_made, root.rglob("*.parquet")), default=0.0) == newest and time.monotonic() < end:
            time.sleep(0.02)  # on a busy machine it takes a while until anything is written
        time.sleep(random.uniform(0.3, 1.0))
        process.send_signal(signal.SIGKILL)
        return max(float(line) for line in process.stdout.read().splitlines()[:-1])


async def test_after_kill_9_in_the_middle_of_writing_and_merging_every_row_that_was_written_is_whole(
    tmp_path: Path,
) -> None:
    random.seed(1)
    root = tmp_path / "history"
    at = T0
    for kill in range(1, 5):
        at = await asyncio.to_thread(killed_writer, root, at)
        damaged: list[bool] = []
        reader = FileReader(root, functools.partial(damaged.append, True))
        joules = await reader.series(NODE_ENERGY, {}, T0 - 300, at, 300)

        assert not damaged
        expected = 100.0 * np.array([[1.0], [2.0], [3.0]]) * (joules.timestamps - T0 + 3600)
        known = ~np.isnan(joules.values)
        # The interval in which a kill fell ends early; everything else is there to the joule.
        short = ((joules.values != expected) & known).any(axis=0)
        assert known.any()
        assert short.sum() <= kill
        assert (joules.values[known] <= expected[known]).all()
    assert len(list(root.rglob("*.parquet"))) < 60, "what was complete was merged"


async def test_files_of_an_older_version_with_fewer_labels_are_read_and_merged(
    kept: Kept,
) -> None:
    await one_hour(kept)
    expected = await FileReader(kept.root).series(NODE_POWER, {}, T0, T0 + 3600, 60)
    slim = pa.schema([field for field in layout.SCHEMA if field.name in ("timestamp", "family", "node", "value")])
    for path in kept.files():
        with pq.ParquetFile(path) as parquet:
            table, meta = parquet.read(columns=slim.names), parquet.metadata.metadata[b"kcloud_history"]
        pq.write_table(table.cast(slim).replace_schema_metadata({b"kcloud_history": meta}), path)
    older = await FileReader(kept.root).series(NODE_POWER, {}, T0, T0 + 3600, 60)
    kept.now = T0 + 2 * 86400
    history = kept.open()
    await history.flush()
    merged = await history.series(NODE_POWER, {}, T0, T0 + 3600, 60)
    await history.close()

    assert kept.count("damaged_files_total") == 0
    assert older.labels == merged.labels == [(cluster, node, "") for cluster, node, _ in expected.labels]
    np.testing.assert_array_equal(older.values, expected.values)
    np.testing.assert_array_equal(merged.values, expected.values)


LABEL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=25)
@given(
    names=st.lists(st.tuples(LABEL, LABEL), min_size=1, max_size=8, unique=True),
    values=st.lists(st.floats(-1e15, 1e15, allow_nan=False), min_size=8, max_size=8),
)
async def test_any_label_and_any_value_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]], values: list[float]
) -> None:
    family = "kcloud_namespace_power_watts"
    rows: dict[tuple[str, ...], float] = {
        ("c", namespace, component): value for (namespace, component), value in zip(names, values, strict=False)
    }
    kept = Kept(tmp_path_factory.mktemp("any"))
    history = kept.open()

    def one(at: float) -> Snapshot:
        return snapshot(at, {"c": {family: rows}})

    await record(history, T0 + 45, T0 + 60, one)
    before = await history.series(family, {}, T0, T0 + 60, 60)
    await history.close()
    reader = FileReader(kept.root)
    after = await reader.series(family, {}, T0, T0 + 60, 60)
    for label, value in rows.items():
        one_of = await reader.series(family, {"namespace": label[1], "component": label[2]}, T0, T0 + 60, 60)
        assert one_of.labels == [label]
        assert one_of.values[0, 0] == pytest.approx(value, rel=5.1e-7, abs=1e-20)

    assert before.labels == after.labels == sorted(rows)
    assert before.values.tolist() == after.values.tolist()


def test_seven_digits_are_the_decimal_ones() -> None:
    given = [6.926000118, 123.456789, -0.0012345678, 0.0, 39999999999.0, 1e-300]

    assert seven_digits(np.array(given)).tolist() == [6.926, 123.4568, -0.001234568, 0.0, 40000000000.0, 0.0]


def test_a_row_costs_few_bytes(tmp_path: Path) -> None:
    """The arithmetic of the documentation: merged files need at most six bytes a row."""
    rng = np.random.default_rng(1)
    nodes, minutes = 400, 60
    families = {"kcloud_node_power_watts": rng.normal(300, 20, (nodes, minutes)).astype(np.float32)}
    rows = [
        {"timestamp": round((T0 + 60 * m) * 1e3), "family": name, "node": f"node-{n:04}", "component": "gpu",
         "value": float(v[n, m])}
        for name, v in families.items() for n in range(nodes) for m in range(minutes)
    ]  # fmt: skip
    path = layout.write(tmp_path / "day=2026-11-24" / "cluster=a", "a", [pa.Table.from_pylist(rows, layout.SCHEMA)])

    assert path is not None
    assert path.stat().st_size / len(rows) < 6
