"""Desk: where files are ordered. Each is made by a process of its own; few at a time, a few wait, the rest go away.

A process can be killed when its client has gone, cannot hold up the event loop, and gives all memory back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from kcloud_exporter.errors import ExportError
from kcloud_exporter.export.job import Job

log = logging.getLogger(__name__)
AT_ONCE: Final = 2
WAITING: Final = 4
LONGEST_SECONDS: Final = 900.0
"""How long the making of one file may take, the time to send it included."""
CHUNK: Final = 1 << 16
_LINE: Final = 1 << 22
_WATCH_SECONDS: Final = 0.25
WORKER: Final = (sys.executable, "-P", "-m", "kcloud_exporter.export.worker")
FRUGAL: Final = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
"""What a worker finds in its environment. The allocators' usual ways, a heap for each thread and pages kept for later,
cost a process that works through millions of rows in small pieces half as much again."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that is being made: its provenance, and its bytes as they come."""

    about: Mapping[str, Any]
    chunks: AsyncIterator[bytes]


class Desk:
    """Counts who works and who waits. One per program."""

    def __init__(self, at_once: int = AT_ONCE, waiting: int = WAITING) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._most, self._present = at_once + waiting, 0

    @asynccontextmanager
    async def order(self, job: Callable[[], Any], gone: Callable[[], bool] = lambda: False) -> AsyncIterator[File]:
        """Have a file made. `job()` gives the Job when its turn has come; `gone()` tells that nobody waits any more.

        Raises ExportError: 429 when too many wait already, else what the worker says. The process has ended when
        the context has.
        """
        if self._present >= self._most:
            raise ExportError(429, "too many files are being made; ask again in a while")
        self._present += 1
        try:
            await _unless(self._turns.acquire(), gone)
            try:
                async with asyncio.timeout(LONGEST_SECONDS), _running(await job()) as process:
                    yield File(await _about(process, gone), _chunks(process))
            finally:
                self._turns.release()
        except TimeoutError:
            raise ExportError(503, f"the file was not ready within {LONGEST_SECONDS:.0f} s; ask for less") from None
        finally:
            self._present -= 1


async def _unless(work: Any, gone: Callable[[], bool]) -> Any:
    """The result of `work`, given up when the client has gone meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_WATCH_SECONDS)
            if not task.done() and gone():
                raise ConnectionResetError("the client is gone")
        return task.result()
    finally:
        task.cancel()


@asynccontextmanager
async def _running(job: Job) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *WORKER, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=_LINE, env={**os.environ, **FRUGAL}
    )
    feeding = asyncio.create_task(_feed(process, job))
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        feeding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await feeding
        await process.wait()
        if process.stdout is not None:  # what was written but not read would keep the pipe open
            await process.stdout.read()


async def _feed(process: Process, job: Job) -> None:
    if process.stdin is not None:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(await asyncio.to_thread(pickle.dumps, job))
            await process.stdin.drain()
        process.stdin.close()


async def _about(process: Process, gone: Callable[[], bool]) -> Mapping[str, Any]:
    """The first line. Raises ExportError when there is none."""
    if process.stdout is None:
        raise ExportError(500, "no worker")
    line = await _unless(process.stdout.readline(), gone)
    if not line.endswith(b"\n"):
        raise await _failure(process)
    about: Mapping[str, Any] = json.loads(line)
    return about


async def _chunks(process: Process) -> AsyncIterator[bytes]:
    """The bytes of the file. Raises ExportError when it did not become whole."""
    if process.stdout is None:
        return
    while chunk := await process.stdout.read(CHUNK):
        yield chunk
    if await process.wait() != 0:
        raise await _failure(process)


async def _failure(process: Process) -> ExportError:
    """What the worker said on stderr; a defect is logged and its text goes no further."""
    said = (await process.stderr.read(1 << 16)).decode(errors="replace") if process.stderr is not None else ""
    await process.wait()
    try:
        told = json.loads(said.splitlines()[-1])
        return ExportError(int(told["status"]), str(told["message"]), str(told["parameter"]))
    except (ValueError, KeyError, TypeError, IndexError):
        log.error("a file could not be made", extra={"code": process.returncode, "detail": said[-2000:]})  # noqa: TRY400
        return ExportError(500, "a defect of the exporter; its log has the details")
