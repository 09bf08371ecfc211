"""Layout: how history lies on disk, so that DuckDB, Spark or Trino read it as it is.

    history/day=2026-11-24/cluster=seoul-a/20261124T090000Z-4f1c.parquet

Days are days of UTC. Columns: `timestamp` (ms, UTC), `family`, one column per label (null where the family has no
such label), `value`; `day` and `cluster` stand in the path, and what belongs to no cluster (the sites) lies under
Hive's name for null. Only encodings that every reader knows are used.

A file is written under a name that readers pass over, brought to disk, and then renamed. One that takes the place of
others (compaction) names them in its metadata: whoever finds both after a crash believes the new one.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from kcloud_exporter.catalogue import FAMILIES
from kcloud_exporter.history.kept import resolution

DAY: Final = 86400.0
FORMAT: Final = 1
LABELS: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(
        label for family in FAMILIES.values() if resolution(family) for label in family.labels if label != "cluster"
    )
)
"""The label columns: every label of the families that are kept."""
SCHEMA: Final = pa.schema(
    [
        pa.field("timestamp", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("family", pa.string(), nullable=False),
        *(pa.field(label, pa.string()) for label in LABELS),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
ROW_GROUP: Final = 65_536
"""Rows that are read or left unread together."""
NO_CLUSTER: Final = "__HIVE_DEFAULT_PARTITION__"
SUFFIX: Final = ".parquet"
_META: Final = b"kcloud_history"
_LONGEST_NAME: Final = 200
_DAMAGED: Final = (OSError, pa.ArrowException, ValueError, KeyError, TypeError)


class ForeignFileError(Exception):
    """A file in the history's folder that is damaged, or not of this program."""


@dataclass(frozen=True, slots=True)
class Group:
    """What the statistics say of one row group. Times are Unix seconds; None: unknown, so it has to be read."""

    rows: int
    families: tuple[str, str] | None
    times: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class HistoryFile:
    """One file: what it covers, and whose place it takes."""

    path: Path
    cluster: str
    begin: float
    end: float
    rows: int
    replaces: frozenset[str]
    columns: tuple[str, ...]
    groups: tuple[Group, ...]


def day_of(timestamp: float) -> str:
    """The partition's day of a moment."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")


def day_start(day: str) -> float:
    """When a day begins, in Unix seconds. Raises ValueError for what is no day."""
    return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()


def cluster_folder(cluster: str) -> str:
    """The partition of a cluster. Too long a name is cut and told apart by a hash; the file knows it in full."""
    name = quote(cluster, safe="") if cluster else NO_CLUSTER
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}~{blake2b(cluster.encode(), digest_size=6).hexdigest()}"
    return f"cluster={name}"


def partition(root: Path, day: str, cluster: str) -> Path:
    """The folder of one cluster's day."""
    return root / f"day={day}" / cluster_folder(cluster)


def days(root: Path) -> list[str]:
    """The days that have a folder, oldest first."""
    found = []
    for folder in root.glob("day=*"):
        day = folder.name.removeprefix("day=")
        try:
            day_start(day)
        except ValueError:
            continue
        found.append(day)
    return sorted(found)


def write(
    folder: Path,
    cluster: str,
    tables: Iterable[pa.Table],
    replaces: Sequence[str] = (),
    commit: Callable[[Path, Path], object] = Path.rename,
) -> Path | None:
    """Write one file of `tables` (rows in reading order), whole or not at all. None: there were no rows.

    `commit` gives the finished file its name. Raises OSError when the disk is full or cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex[:8]
    temporary = folder / f".{token}.writing"
    rows, begin, end = 0, None, None
    try:
        with temporary.open("wb") as file:
            with _writer(file) as writer:
                for table in _in_groups(tables):
                    times = table["timestamp"].cast(pa.int64()).combine_chunks().to_numpy()
                    first, last = float(times.min()) / 1e3, float(times.max()) / 1e3
                    begin, end = min(first, begin or first), max(last, end or last)
                    rows += table.num_rows
                    writer.write_table(_complete(table))
                meta = {"format": FORMAT, "cluster": cluster, "begin": begin, "end": end, "replaces": sorted(replaces)}
                writer.add_key_value_metadata({_META: json.dumps(meta).encode()})
            file.flush()
            os.fsync(file.fileno())
        if not rows or begin is None:
            return None
        stamp = datetime.fromtimestamp(begin, UTC).strftime("%Y%m%dT%H%M%SZ")
        target = folder / f"{stamp}-{token}{SUFFIX}"
        commit(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(folder)
    return target


def _writer(file: object) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        file, SCHEMA, compression="zstd", use_dictionary=["timestamp", "family", *LABELS], write_page_checksum=True
    )


def _complete(table: pa.Table) -> pa.Table:
    """The rows with every column, and text as text. A label that is not there is null."""
    nothing = pa.nulls(table.num_rows, pa.string())
    columns = [table[f.name].cast(f.type) if f.name in table.schema.names else nothing for f in SCHEMA]
    return pa.table(columns, schema=SCHEMA)


def _in_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in pieces of about one row group."""
    held: list[pa.Table] = []
    for table in tables:
        at = 0
        while at < table.num_rows:
            room = ROW_GROUP - sum(t.num_rows for t in held)
            held.append(table.slice(at, room))
            at += held[-1].num_rows
            if held[-1].num_rows == room:
                yield pa.concat_tables(held, promote_options="default")
                held = []
    if held:
        yield pa.concat_tables(held, promote_options="default")


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to disk, so that a renamed file is found after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_footer(path: Path) -> HistoryFile:
    """What a file holds, from its last bytes. Raises ForeignFileError, or FileNotFoundError when it has just gone."""
    try:
        metadata = pq.read_metadata(path)
        known = json.loads((metadata.metadata or {})[_META])
        file = HistoryFile(
            path=path,
            cluster=str(known["cluster"]),
            begin=float(known["begin"]),
            end=float(known["end"]),
            rows=metadata.num_rows,
            replaces=frozenset(map(str, known["replaces"])),
            columns=tuple(name for name in SCHEMA.names if name in metadata.schema.names),
            groups=tuple(_group(metadata.row_group(at)) for at in range(metadata.num_row_groups)),
        )
        newer = int(known["format"]) > FORMAT
    except FileNotFoundError:
        raise
    except _DAMAGED as exc:
        raise ForeignFileError(f"{path}: {exc or type(exc).__name__}") from exc
    if newer:
        raise ForeignFileError(f"{path} was written by a newer version")
    if path.parent.name != cluster_folder(file.cluster):
        raise ForeignFileError(f"{path} speaks of the cluster {file.cluster!r}")
    return file


def _group(group: pq.RowGroupMetaData) -> Group:
    families: tuple[str, str] | None = None
    times: tuple[float, float] | None = None
    for at in range(2):
        column = group.column(at)
        stats = column.statistics if column.is_stats_set else None
        if stats is None or not stats.has_min_max:
            continue
        if column.path_in_schema == "family":
            families = (str(stats.min), str(stats.max))
        elif column.path_in_schema == "timestamp":
            times = (stats.min.timestamp(), stats.max.timestamp())
    return Group(group.num_rows, families, times)
