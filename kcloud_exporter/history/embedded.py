"""EmbeddedHistory: history in Parquet files of our own, written by one thread, read by many.

    record(snapshot) ─► queue ─► [thread: Recorder ─► waiting rows ─► file every FLUSH_SECONDS ─► tidy]
                                                            ▲
    series(...), increase(...) ─► files on disk + waiting rows + the open interval

What has not been written when the process is killed is lost, at most FLUSH_SECONDS of it; counters are kept
elsewhere and lose nothing. A disk that is full or broken stops history and nothing else: rows wait, the oldest are
let go, and it goes on when it can.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from kcloud_exporter.catalogue import Family
from kcloud_exporter.errors import HistoryError
from kcloud_exporter.history.columns import Readings, of_blocks, tables
from kcloud_exporter.history.layout import day_of, partition, write
from kcloud_exporter.history.memory import give_back
from kcloud_exporter.history.recorder import Block, Recorder
from kcloud_exporter.history.scan import Files, MovedError
from kcloud_exporter.history.series import Increase, Question, Series, known_counter, look_back, question, whole_window
from kcloud_exporter.history.state import HistoryState
from kcloud_exporter.history.tally import IncreaseTally, SeriesTally
from kcloud_exporter.history.tidy import tidy
from kcloud_exporter.model import Snapshot
from kcloud_exporter.snapshot import SnapshotStore

log = logging.getLogger(__name__)
FLUSH_SECONDS: Final = 300.0
"""How long rows wait for their file: what kill -9 can cost."""
_WAITING_ROWS: Final = 5_000_000
"""Rows that may wait while the disk does not take them."""
_QUEUE: Final = 8
"""Snapshots that may wait for the thread; a later one makes up for one that is passed over."""
_TRIES: Final = 5
_READERS: Final = 2
"""Questions that are answered at the same time; more wait."""
_T = TypeVar("_T")


class FileReader:
    """The read side of a history folder, also of one that another process is writing."""

    def __init__(self, root: Path, damaged: Callable[[], None] = lambda: None) -> None:
        self.files = Files(root, damaged)
        self.gate = threading.Lock()
        self._turns = asyncio.Semaphore(_READERS)

    async def series(self, family: str, matchers: Mapping[str, str], start: float, end: float, step: float) -> Series:
        """See History.series."""
        return await self._answer(lambda: self.series_now(family, matchers, start, end, step))

    async def increase(self, family: str, matchers: Mapping[str, str], start: float, end: float) -> Increase:
        """See History.increase."""
        return await self._answer(lambda: self.increase_now(family, matchers, start, end))

    async def increments(
        self,
        family: str,
        matchers: Mapping[str, str],
        start: float,
        end: float,
        step: float,
        stood: dict[tuple[str, ...], float] | None = None,
    ) -> Series:
        """See History.increments."""
        known_counter(family, matchers)
        asked = question(family, matchers, start, end, step)
        return await self._answer(lambda: self._came(asked, stood))

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _answer(self, work: Callable[[], _T]) -> _T:
        async with self._turns:
            return await asyncio.to_thread(work)

    def series_now(self, family: str, matchers: Mapping[str, str], start: float, end: float, step: float) -> Series:
        """`series` for a caller that may wait."""
        asked = question(family, matchers, start, end, step)

        def work() -> Series:
            tally = SeriesTally(asked)
            for some in self._readings(asked.family, asked.matchers, asked.start, asked.end):
                tally.add(some)
            return tally.series()

        return self._settled(work)

    def increase_now(self, family: str, matchers: Mapping[str, str], start: float, end: float) -> Increase:
        """`increase` for a caller that may wait."""
        came = self._came(whole_window(family, matchers, start, end))
        return Increase(came.family, came.labels, came.values[:, 0])

    def _came(self, asked: Question, stood: dict[tuple[str, ...], float] | None = None) -> Series:
        def work() -> Series:
            tally = IncreaseTally(asked, stood or {})
            begin = asked.start - look_back(asked.family)
            for some in self._readings(asked.family, asked.matchers, begin, asked.end):
                tally.add(some)
            if stood is not None:
                stood.update(tally.standing())
            return tally.series()

        return self._settled(work)

    def _settled(self, work: Callable[[], _T]) -> _T:
        """Do it anew when files were merged meanwhile."""
        for _ in range(_TRIES):
            try:
                return work()
            except MovedError:
                continue
            except OSError as exc:
                raise HistoryError("unavailable", f"history cannot be read: {exc.strerror or exc}") from exc
        raise HistoryError("unavailable", "history is being merged again and again; ask later")

    def _readings(self, family: Family, matchers: Mapping[str, str], start: float, end: float) -> Iterator[Readings]:
        with self.gate:  # files and waiting rows of the same moment: no row twice, and none left out
            files = self.files.in_window(family, matchers, start, end)
            waiting = self.waiting()
        yield from self.files.readings(files, family, matchers, start, end)
        yield from of_blocks(waiting, family, matchers, start, end)

    def waiting(self) -> list[Block]:
        """Rows that are in no file yet."""
        return []


class EmbeddedHistory(FileReader):
    """The whole of it: the thread that writes, and readers that see what it has not written yet."""

    def __init__(
        self,
        root: Path,
        retention: float,
        state: HistoryState,
        *,
        flush_seconds: float = FLUSH_SECONDS,
        clock: Callable[[], float] = time.time,
        written: Callable[[], None] | None = None,
    ) -> None:
        """`written`, if given, is called by the thread when files may have come or been merged."""
        super().__init__(root, state.damaged)
        self._written = written
        self._retention, self._state, self._flush_seconds, self._clock = retention, state, flush_seconds, clock
        self._recorder = Recorder()
        self._waiting: list[Block] = []
        self._queue: queue.Queue[Snapshot | threading.Event | None] = queue.Queue(_QUEUE)
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    @asynccontextmanager
    async def following(self, store: SnapshotStore) -> AsyncIterator[None]:
        """Take in every snapshot that is published meanwhile."""

        async def follow() -> None:
            async for snapshot in store.updates():
                self.record(snapshot)

        task = asyncio.create_task(follow())
        try:
            await asyncio.sleep(0)  # it listens from here on
            yield
        finally:
            await asyncio.sleep(0)  # what was published last is taken in
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def record(self, snapshot: Snapshot) -> None:
        """Take in a snapshot. Returns at once; one that comes while the thread is far behind is passed over."""
        try:
            self._queue.put_nowait(snapshot)
        except queue.Full:
            self._state.passed_over()

    async def flush(self) -> None:
        """Write what has waited; on return it is in files (or the disk does not take it)."""
        done = threading.Event()
        await asyncio.to_thread(self._queue.put, done)
        await asyncio.to_thread(done.wait)

    async def close(self) -> None:
        """Write everything, the open intervals included, and end the thread."""
        if self._thread.is_alive():
            await asyncio.to_thread(self._queue.put, None)
            await asyncio.to_thread(self._thread.join)

    def waiting(self) -> list[Block]:
        """Rows that are in no file yet; call with the gate held."""
        return [*self._waiting, *self._recorder.so_far()]

    def not_on_disk(self) -> tuple[Block, ...]:
        """Rows that are in no file yet, whole in themselves: the threads of this process go on meanwhile."""
        with self.gate:
            return tuple(self.waiting())

    def _run(self) -> None:
        self._guarded(self._write_and_tidy)
        flush_at = time.monotonic() + self._flush_seconds
        while True:
            try:
                item = self._queue.get(timeout=max(0.0, flush_at - time.monotonic()))
            except queue.Empty:
                pass
            else:
                if item is None:
                    break
                if isinstance(item, threading.Event):
                    self._guarded(self._write)
                    item.set()
                else:
                    self._add(item)
            if time.monotonic() >= flush_at:
                self._guarded(self._write_and_tidy)
                flush_at = time.monotonic() + self._flush_seconds
        with self.gate:
            self._waiting.extend(self._recorder.close())
        self._guarded(self._write)

    def _add(self, snapshot: Snapshot) -> None:
        with self.gate:
            self._waiting.extend(self._recorder.add(snapshot))
            rows = sum(len(block.at) for block in self._waiting)
            while rows > _WAITING_ROWS:
                lost = self._waiting.pop(0)
                rows -= len(lost.at)
                self._state.lost(len(lost.at))

    def _guarded(self, work: Callable[[], None]) -> None:
        """Nothing that the disk does ends the thread; the state tells it, and the log when it begins and ends."""
        try:
            work()
        except OSError as exc:
            self._state.failed(f"{exc.strerror or exc} ({self.files.root})")
        except Exception as exc:
            log.exception("history failed")
            self._state.failed(f"a defect: {type(exc).__name__}")
        else:
            self._state.well()
        if self._written is not None:
            self._written()

    def _write(self) -> None:
        places: dict[tuple[str, str], list[Block]] = {}
        for block in self._waiting:
            # A row carries the end of its interval; midnight's belongs to the day that ends.
            places.setdefault((day_of(block.timestamp - 1e-3), block.cluster), []).append(block)
        for (day, cluster), blocks in sorted(places.items()):
            ids = set(map(id, blocks))

            def commit(temporary: Path, target: Path, ids: set[int] = ids) -> None:
                with self.gate:
                    temporary.rename(target)
                    self._waiting = [block for block in self._waiting if id(block) not in ids]

            path = write(partition(self.files.root, day, cluster), cluster, tables(blocks), commit=commit)
            if path is not None:
                self._state.wrote(sum(len(block.at) for block in blocks), path.stat().st_size)

    def _write_and_tidy(self) -> None:
        self._write()
        tidy(self.files, self._clock(), self._retention)
        # What a large file took while it was written is not needed again for minutes.
        give_back()
