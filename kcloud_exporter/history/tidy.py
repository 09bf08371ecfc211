"""Tidy: many small files become one per hour, then one per day; days that are too old go. Belongs to the writer.

Rows are merged an hour and a family at a time, so memory does not grow with the day.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kcloud_exporter.history.columns import sorted_rows
from kcloud_exporter.history.layout import DAY, SCHEMA, SUFFIX, ForeignFileError, HistoryFile, day_start, days, write
from kcloud_exporter.history.scan import BROKEN, Files, batches

HOUR: Final = 3600.0


def tidy(files: Files, now: float, retention: float) -> None:
    """Merge what is complete and delete what is too old. Raises OSError; what was begun is then as it was before."""
    for gone in files.root.glob(".day=*.gone"):
        shutil.rmtree(gone, ignore_errors=True)
    for day in days(files.root):
        folder = files.root / f"day={day}"
        if day_start(day) + DAY <= now - retention:
            _drop(files, folder)
            continue
        for place in sorted(folder.glob("cluster=*")):
            _sweep(files, place)
            if day_start(day) + DAY + HOUR <= now:
                merge(files, files.of(place))
            else:
                for hour in _by_hour(files.of(place), now):
                    merge(files, hour)


def _by_hour(files: Sequence[HistoryFile], now: float) -> Iterator[list[HistoryFile]]:
    """The files of each hour that has ended, where there are several."""
    hours: dict[int, list[HistoryFile]] = {}
    for file in files:
        # A row carries the end of its interval: the one of 10:00:00 belongs to the hour before.
        hours.setdefault(int((file.end - 1e-3) // HOUR), []).append(file)
    for hour, found in sorted(hours.items()):
        if (hour + 1) * HOUR + HOUR / 4 <= now:
            yield found


def merge(files: Files, those: Sequence[HistoryFile]) -> None:
    """One file in the place of several of one partition. Whole or not at all, also for whoever reads meanwhile.

    A damaged file is told and stays where it is.
    """
    while len(those) > 1:
        folder, cluster = those[0].path.parent, those[0].cluster
        paths = [file.path for file in those]
        try:
            # Also those that were replaced before: a copy elsewhere may never have seen the files in between.
            replaces = {path.name for path in paths}.union(*(file.replaces for file in those))
            write(folder, cluster, _merged(those), sorted(replaces))
        except _SpoiledError as exc:
            files.spoiled(exc.file, ForeignFileError(str(exc)))
            those = [file for file in those if file is not exc.file]
        else:
            _delete(files, paths)
            return


class _SpoiledError(Exception):
    """A file among those to be merged is damaged."""

    def __init__(self, file: HistoryFile, message: str) -> None:
        self.file = file
        super().__init__(message)


def _merged(those: Sequence[HistoryFile]) -> Iterator[pa.Table]:
    first, end = min(file.begin for file in those), max(file.end for file in those)
    names = sorted({name for file in those for name in _families(file)})
    begin = first // HOUR * HOUR
    while begin <= end:
        # Rows of a whole hour, of which the first moment belongs to the hour before, unless there is none before.
        start = begin - 1e-3 if begin <= first else begin
        for name in names:
            found = [rows for file in those for rows in _rows(file, name, start, begin + HOUR)]
            if found:
                together = pa.concat_tables(found, promote_options="default")
                del found
                yield sorted_rows(together.unify_dictionaries())
        begin += HOUR


def _rows(file: HistoryFile, family: str, start: float, end: float) -> Iterator[pa.Table]:
    try:
        for batch in batches(file, family, {}, start, end):
            yield _lean(batch)
    except (ForeignFileError, FileNotFoundError) as exc:
        raise _SpoiledError(file, str(exc)) from exc


def _families(file: HistoryFile) -> set[str]:
    """The families of a file; its rows, but not their values, are read for it."""
    try:
        with pq.ParquetFile(file.path, page_checksum_verification=True) as parquet:
            return {
                str(name)
                for batch in parquet.iter_batches(columns=["family"])
                for name in pc.unique(batch["family"]).to_pylist()
            }
    except BROKEN as exc:
        raise _SpoiledError(file, str(exc)) from exc


def _lean(batch: pa.RecordBatch) -> pa.Table:
    """The rows without the labels that none of them has. Labels stay numbers: as texts they would take much more."""
    names = [name for name in batch.schema.names if batch[name].null_count < len(batch)]
    columns = [batch[name] for name in names]
    return pa.table({name: c.cast(_NUMBERED.field(name).type) for name, c in zip(names, columns, strict=True)})


_NUMBERED: Final = pa.schema(
    [f.with_type(pa.dictionary(pa.int32(), f.type)) if pa.types.is_string(f.type) else f for f in SCHEMA]
)


def _sweep(files: Files, folder: Path) -> None:
    """Finish what a crash interrupted: unfinished files, and those whose place another one has taken."""
    for path in folder.glob(".*.writing"):
        path.unlink(missing_ok=True)
    _delete(files, files.superseded(folder))


def _delete(files: Files, paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    files.forget(paths)


def _drop(files: Files, folder: Path) -> None:
    files.forget(list(folder.glob(f"cluster=*/*{SUFFIX}")))
    gone = folder.with_name(f".{folder.name}.gone")  # a name that no reader looks into, from one moment to the next
    shutil.rmtree(gone, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
