"""Copies: every finished file of history once more in another place, such as object storage, for others to read.

    history/day=2026-11-24/cluster=seoul-a/20261124T090000Z-4f1c.parquet
    s3://bucket/prefix/day=2026-11-24/cluster=seoul-a/20261124T090000Z-4f1c.parquet

One thread looks at what lies here and what lies there, and carries over what is missing, so that it goes on after
any interruption without a memory of its own. A file there is deleted only when one that names it as replaced is
there: what retention has removed here stays there, and so do the files of others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
from pyarrow import fs

from kcloud_exporter.history.layout import SUFFIX, ForeignFileError, days, read_footer
from kcloud_exporter.history.state import CopyFailure, CopyState

log = logging.getLogger(__name__)
WHOLE_OR_NOT: Final = frozenset({"s3", "gcs", "abfs"})
"""Kinds of storage where an object is seen when it is whole; on others a file is renamed when it is."""
_LOOK_SECONDS: Final = 60.0
_SHORTEST, _LONGEST = 1.0, 300.0
"""Seconds until the next try after a failure; twice as long after each one."""
_LAST_SECONDS: Final = 5.0
"""How long a stopping program waits for what it wrote last to be there too."""
_CLOCK_STEP: Final = 2.0
"""Seconds within which two changes of a folder may have one and the same time."""
_PIECE: Final = 2**20
_OFFLINE: Final = frozenset({"file", "s3", "gs", "gcs", "abfs", "abfss"})
"""Schemes of which a URI can be read without asking anybody."""
_MARKS: Final[tuple[tuple[CopyFailure, tuple[str, ...]], ...]] = (
    ("denied", ("ACCESS_DENIED", "INVALID_ACCESS_KEY", "SIGNATURE", "CREDENTIALS", "403", "401", "Forbidden")),
    ("missing", ("NO_SUCH_BUCKET", "NoSuchBucket", "404", "does not exist")),
    ("unreachable", ("NETWORK_CONNECTION", "curlCode", "imeout", "Could not connect", "SLOW_DOWN", "SERVICE_UNAV")),
)


_CONNECT_SECONDS, _SILENT_SECONDS = 5.0, 10.0
"""How long an S3 server may take to accept a connection, and how long it may say nothing. The library's own patience
is more than a minute, and a program that ends has to wait for its requests."""
_SWITCHES: Final = ("allow_bucket_creation", "allow_bucket_deletion", "check_directory_existence_before_creation")
_TEXTS: Final = ("scheme", "endpoint_override", "tls_ca_file_path")
_OWN: Final = ("region", "allow_delayed_open")
"""Parameters of a URI of S3 that are handed on; with any other the library's own file system is used as it is."""


class _UnreadableError(Exception):
    """A file of our own cannot be read."""


def mistake_in(uri: str) -> str:
    """What is wrong with a place that copies are meant for, found without asking it; empty: nothing is."""
    parts = urlsplit(uri)
    if parts.scheme not in _OFFLINE:
        return ""
    if parts.scheme == "s3" and "region=" not in parts.query:  # which would be asked for over the network
        uri += f"{'&' if parts.query else '?'}region=us-east-1"
    try:
        fs.FileSystem.from_uri(uri)
    except (pa.ArrowException, OSError, ValueError) as exc:
        told = str(exc).replace(uri, shown(uri))
        return f"{shown(uri)}: {told}"
    return ""


def shown(uri: str) -> str:
    """A URI as it may be printed: without its query, which may name keys."""
    return uri.partition("?")[0]


def opened(uri: str) -> tuple[fs.FileSystem, str]:
    """The storage of a URI, and the folder in it. Raises OSError and ArrowException."""
    store, base = fs.FileSystem.from_uri(uri)
    query = dict(parse_qsl(urlsplit(uri).query))
    if store.type_name == "s3" and query.keys() <= {*_SWITCHES, *_TEXTS, *_OWN}:
        store = fs.S3FileSystem(
            region=store.region,
            connect_timeout=_CONNECT_SECONDS,
            request_timeout=_SILENT_SECONDS,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
            allow_delayed_open=True,  # one request of a small file in the place of three
            **{name: query[name] for name in _TEXTS if name in query},
            **{name: query[name] in ("1", "true") for name in _SWITCHES if name in query},
        )
    return store, base.rstrip("/")


class Copies:
    """The thread that copies. Nothing that the other place does reaches anybody but it and its state."""

    def __init__(
        self, root: Path, uri: str, state: CopyState, *, look_seconds: float = _LOOK_SECONDS, longest: float = _LONGEST
    ) -> None:
        self._root, self._uri, self._state = root, uri, state
        self._look_seconds, self._longest = look_seconds, longest
        self._store: fs.FileSystem | None = None
        self._base = ""
        self._there: dict[str, dict[str, int]] = {}
        """Day → the files there (`cluster=…/name`) and their bytes."""
        self._done: dict[Path, int] = {}
        """Partition → its time of change when everything of it was there."""
        self._left: dict[Path, int] = {}
        """Partition → how many files of it are not there yet, as far as is known."""
        self._passed: set[tuple[Path, int]] = set()
        """Files that are damaged or of somebody else, and their time of change."""
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="history-copies", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There are new files. Returns at once; called from any thread."""
        self._wake.set()

    def close(self) -> None:
        """Copy what is there now, for some seconds at most, and end. What is left is copied by the next start."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        pause = _SHORTEST
        while True:
            last = self._stopping.is_set()
            self._wake.clear()
            if self._round():
                pause, wait = _SHORTEST, self._look_seconds
            else:
                # A new file is no reason to ask one that has just failed.
                self._stopping.wait(pause)
                pause, wait = min(2 * pause, self._longest), 0.0
            if last:
                return
            if not self._stopping.is_set():
                self._wake.wait(wait)

    def _round(self) -> bool:
        """Carry over what is missing; whether all went well."""
        try:
            whole = self._catch_up()
        except (OSError, pa.ArrowException, ValueError) as exc:
            self._forget()
            self._state.failed(reason_of(exc), self._told(exc))
        except Exception as exc:
            log.exception("copies of history failed")
            self._forget()
            self._state.failed("defect", type(exc).__name__)
        else:
            if whole:
                self._state.well()
            return whole
        return False

    def _told(self, exc: Exception) -> str:
        return str(exc).replace(self._uri, shown(self._uri))[:300]

    def _forget(self) -> None:
        """What was known of the other place may be wrong."""
        self._store = None
        self._there.clear()

    def _catch_up(self) -> bool:
        """Whether all is there now; a file of our own that cannot be read keeps back none but itself."""
        places = dict(self._changed())
        for folder in self._left.keys() - places.keys():
            del self._left[folder]
        for folder in places:
            there = self._there.get(folder.parent.name, {})
            self._left[folder] = sum(f"{folder.name}/{path.name}" not in there for path in self._files(folder))
        self._tell()
        whole = True
        for folder, changed in places.items():
            if not self._copy(folder):
                whole = False
                continue
            self._left.pop(folder, None)
            self._tell()
            # A change within the same step of the clock would not be seen.
            if changed < time.time_ns() - _CLOCK_STEP * 1e9:
                self._done[folder] = changed
        return whole

    def _changed(self) -> Iterator[tuple[Path, int]]:
        """The partitions that may hold what is not there yet, and when each has changed; the newest day first."""
        found = []
        for day in reversed(days(self._root)):
            for folder in sorted((self._root / f"day={day}").glob("cluster=*")):
                try:
                    found.append((folder, folder.stat().st_mtime_ns))
                except FileNotFoundError:
                    continue
        kept = {folder for folder, _ in found}
        self._done = {folder: changed for folder, changed in self._done.items() if folder in kept}
        current = {folder.parent.name for folder in kept}
        self._there = {day: names for day, names in self._there.items() if day in current}
        return (pair for pair in found if self._done.get(pair[0]) != pair[1])

    def _files(self, folder: Path) -> list[Path]:
        return [path for path in sorted(folder.glob(f"*{SUFFIX}")) if _mark(path) not in self._passed]

    def _tell(self) -> None:
        self._state.waiting(sum(self._left.values()))

    def _copy(self, folder: Path) -> bool:
        """Make one partition there what it is here, but for what only they have; whether all could be read."""
        whole = True
        store, there = self._opened(), self._listed(folder.parent.name)
        replaced: set[str] = set()
        for path in self._files(folder):
            name = f"{folder.name}/{path.name}"
            try:
                file = read_footer(path)
                size = path.stat().st_size
            except FileNotFoundError:
                continue  # merged meanwhile; the one in its place comes with the next look
            except ForeignFileError:
                self._passed.add(_mark(path))
                continue
            if there.get(name) != size:
                try:
                    self._send(store, path, f"{self._base}/{folder.parent.name}/{name}")
                except _UnreadableError as exc:
                    self._state.failed("unreadable", f"{path.name}: {exc}")
                    whole = False
                    continue
                there[name] = size
                self._state.copied(size)
                self._left[folder] = max(self._left.get(folder, 0) - 1, 0)
                self._tell()
            replaced |= {f"{folder.name}/{name}" for old in file.replaces for name in (old, _aside(old))}
        for name in replaced & there.keys():
            store.delete_file(f"{self._base}/{folder.parent.name}/{name}")
            del there[name]
        return whole

    def _opened(self) -> fs.FileSystem:
        if self._store is None:
            self._store, self._base = opened(self._uri)
        return self._store

    def _listed(self, day: str) -> dict[str, int]:
        """The files of a day there; asked for once, and again after a failure."""
        known = self._there.get(day)
        if known is None:
            folder = f"{self._base}/{day}"
            infos = self._opened().get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
            known = self._there[day] = {
                info.path.removeprefix(f"{folder}/"): info.size for info in infos if info.type == fs.FileType.File
            }
        return known

    def _send(self, store: fs.FileSystem, path: Path, target: str) -> None:
        """Put one file there, where it is seen whole or not at all."""
        if store.type_name in WHOLE_OR_NOT:
            try:
                _pour(path, store, target)
            except _UnreadableError:
                store.delete_file(target)  # closing the stream has made an object of what had come
                raise
            return
        folder, _, name = target.rpartition("/")
        store.create_dir(folder, recursive=True)
        aside = f"{folder}/{_aside(name)}"
        _pour(path, store, aside)
        store.move(aside, target)


def _aside(name: str) -> str:
    """The name of a file that is not whole yet: readers pass over what begins with a dot."""
    return f".{name}.writing"


def _pour(path: Path, store: fs.FileSystem, target: str) -> None:
    with path.open("rb") as file, store.open_output_stream(target) as stream:
        for piece in iter(_reading(file.read), b""):
            stream.write(piece)


def _reading(read: Callable[[int], bytes]) -> Callable[[], bytes]:
    def piece() -> bytes:
        try:
            return read(_PIECE)
        except OSError as exc:
            raise _UnreadableError(exc.strerror or str(exc)) from exc

    return piece


def _mark(path: Path) -> tuple[Path, int]:
    try:
        return path, path.stat().st_mtime_ns
    except FileNotFoundError:
        return path, 0


def reason_of(exc: Exception) -> CopyFailure:
    """The word for a failure, by what the storage's library says of it."""
    if isinstance(exc, PermissionError):
        return "denied"
    text = str(exc)
    for reason, marks in _MARKS:
        if any(mark in text for mark in marks):
            return reason
    return "other"
