"""Scan: the rows of one family in a window, file by file. Damaged and foreign files are left out, told and counted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kcloud_exporter.catalogue import Family
from kcloud_exporter.history.columns import Readings, readings_of
from kcloud_exporter.history.layout import (
    DAY,
    LABELS,
    SUFFIX,
    ForeignFileError,
    HistoryFile,
    cluster_folder,
    day_start,
    days,
    read_footer,
)

log = logging.getLogger(__name__)
BROKEN: Final = (OSError, pa.ArrowException, ValueError)


class MovedError(Exception):
    """Files were merged between being listed and being read; reading has to begin anew."""


class Files:
    """What lies in the history's folder. Footers are read once per file. Safe to use from several threads."""

    def __init__(self, root: Path, damaged: Callable[[], None] = lambda: None) -> None:
        self.root = root
        self._damaged = damaged
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[tuple[int, int], HistoryFile | None]] = {}

    def of(self, folder: Path) -> list[HistoryFile]:
        """The files of one partition that count, oldest first."""
        found = [file for path in sorted(folder.glob(f"*{SUFFIX}")) if (file := self._file(path)) is not None]
        replaced = {name for file in found for name in file.replaces}
        return sorted((f for f in found if f.path.name not in replaced), key=lambda f: (f.begin, f.path.name))

    def superseded(self, folder: Path) -> list[Path]:
        """The files of a partition whose place another one has taken: left behind by a crash."""
        found = [file for path in folder.glob(f"*{SUFFIX}") if (file := self._file(path)) is not None]
        replaced = {name for file in found for name in file.replaces}
        return [file.path for file in found if file.path.name in replaced]

    def in_window(self, family: Family, matchers: Mapping[str, str], start: float, end: float) -> list[HistoryFile]:
        """The files that may hold rows of a family in (start, end], day after day."""
        return list(self._in_window(matchers.get("cluster") if "cluster" in family.labels else "", start, end))

    def _in_window(self, cluster: str | None, start: float, end: float) -> Iterator[HistoryFile]:
        pattern = "cluster=*" if cluster is None else None
        for day in days(self.root):
            if not (day_start(day) <= end and day_start(day) + DAY > start):
                continue
            folder = self.root / f"day={day}"
            for place in sorted(folder.glob(pattern)) if pattern else [folder / cluster_folder(cluster or "")]:
                for file in self.of(place):
                    if file.begin <= end and file.end > start and cluster in (None, file.cluster):
                        yield file

    def _file(self, path: Path) -> HistoryFile | None:
        try:
            stat = path.stat()
        except FileNotFoundError:
            return None
        stamp = (stat.st_mtime_ns, stat.st_size)
        with self._lock:
            known = self._known.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        file: HistoryFile | None = None
        why = ForeignFileError()
        try:
            file = read_footer(path)
        except FileNotFoundError:
            return None
        except ForeignFileError as exc:
            why = exc
        with self._lock:
            before = self._known.get(path)
            self._known[path] = (stamp, file)
        if file is None and (before is None or before[0] != stamp):
            self._tell(why)
        return file

    def spoiled(self, file: HistoryFile, why: ForeignFileError) -> None:
        """Note that the rows of a file cannot be read: it is left out from now on."""
        with self._lock:
            stamp, before = self._known.get(file.path, ((0, 0), None))
            self._known[file.path] = (stamp, None)
        if before is not None:
            self._tell(why)

    def _tell(self, why: ForeignFileError) -> None:
        log.warning("a history file is damaged or foreign and is left out", extra={"detail": str(why)[:500]})
        self._damaged()

    def forget(self, paths: Sequence[Path]) -> None:
        """Let go of what is known of files that have been deleted."""
        with self._lock:
            for path in paths:
                self._known.pop(path, None)

    def readings(
        self, files: Sequence[HistoryFile], family: Family, matchers: Mapping[str, str], start: float, end: float
    ) -> Iterator[Readings]:
        """Rows of a family with times in (start, end], in order of time from file to file. Raises MovedError."""
        for file in files:
            try:
                for batch in batches(file, family.name, matchers, start, end, family.labels):
                    yield readings_of(batch, family, file.cluster)
            except FileNotFoundError as exc:
                raise MovedError from exc
            except ForeignFileError as exc:
                self.spoiled(file, exc)


def batches(
    file: HistoryFile,
    family: str,
    matchers: Mapping[str, str],
    start: float,
    end: float,
    labels: Collection[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows of one family in (start, end] of one file; row groups that cannot hold any are not read.

    Of the label columns only those of `labels` are read, where any are named: most are null for most families.
    Raises ForeignFileError when the file is damaged, FileNotFoundError when it has gone.
    """
    groups = [
        at
        for at, group in enumerate(file.groups)
        if (group.families is None or group.families[0] <= family <= group.families[1])
        and (group.times is None or (group.times[0] <= end and group.times[1] > start))
    ]
    if not groups:
        return
    columns = [name for name in file.columns if labels is None or name not in LABELS or name in labels]
    try:
        texts = [name for name in columns if name not in ("timestamp", "value")]
        with pq.ParquetFile(file.path, page_checksum_verification=True, read_dictionary=texts) as parquet:
            for batch in parquet.iter_batches(row_groups=groups, columns=columns):
                rows = _matching(batch, {"family": family, **matchers}, start, end)
                if len(rows):
                    yield rows
    except FileNotFoundError:
        raise
    except BROKEN as exc:
        raise ForeignFileError(f"{file.path}: {exc}") from exc


def _matching(batch: pa.RecordBatch, equal: Mapping[str, str], start: float, end: float) -> pa.RecordBatch:
    first, last = (pa.scalar(round(at * 1e3), pa.int64()).cast(pa.timestamp("ms", "UTC")) for at in (start, end))
    kept = pc.and_(pc.greater(batch["timestamp"], first), pc.less_equal(batch["timestamp"], last))
    for label, value in equal.items():
        if label == "cluster":  # stands in the path
            continue
        column = batch[label] if label in batch.schema.names else pa.nulls(len(batch), pa.string())
        kept = pc.and_(kept, pc.equal(pc.fill_null(pc.cast(column, pa.string()), ""), value))
    return batch.filter(kept)
