"""Live: the pipeline by itself, on its interval, with a recorder that listens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from kcloud_exporter.clocks import REAL, Clocks
from kcloud_exporter.config.schema import Config
from kcloud_exporter.errors import ConfigError, RecordingError
from kcloud_exporter.exposition.ledger import ledger_page
from kcloud_exporter.exposition.renderer import Renderer
from kcloud_exporter.pipeline import Pipeline
from kcloud_exporter.pipeline.building import build_sources, check_vendors
from kcloud_exporter.recording.configuration import of_this_shard
from kcloud_exporter.recording.recorder import Recorder
from kcloud_exporter.recording.tape import Tape
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.telemetry import Telemetry
from kcloud_exporter.vendors.loading import load_vendors, tables_in

DRAIN_SECONDS: Final = 5.0
"""How long a cycle may go on after the recording was asked to stop."""


def vendor_texts(config: Config) -> dict[str, str]:
    """The further vendor tables of a configuration: name of file → text. Raises ConfigError."""
    if config.vendors_dir is None:
        return {}
    texts = {}
    for path in tables_in(Path(config.vendors_dir)):
        try:
            texts[path.name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError([f"vendors_dir: {path} cannot be read: {exc}"]) from exc
    return texts


class Live:
    """One recording that is being made. Counters begin at zero and stay in memory."""

    def __init__(
        self,
        config: Config,
        output: Path,
        *,
        texts: Mapping[str, str] | None = None,
        clocks: Clocks = REAL,
    ) -> None:
        """Begin the file. Raises ConfigError and RecordingError."""
        config = of_this_shard(config)
        tables = vendor_texts(config) if texts is None else dict(texts)
        vendors = load_vendors(texts=tables)
        if problems := check_vendors(config, vendors):
            raise ConfigError(problems)
        sources = build_sources(config, vendors, clocks)
        counters = Counters(None, clocks.wall())
        self.pipeline = Pipeline(config, vendors, sources, Telemetry(), counters=counters, clocks=clocks)
        self.config, self.sources = config, sources
        self._renderer = Renderer()
        self.tape = Tape(output)
        try:
            self.recorder = Recorder(self.tape, config, tables, sources, self.pipeline)
        except BaseException:
            self.tape.abandon()
            raise

    async def tick(self) -> bytes:
        """One cycle, its page included, which is returned. Raises RecordingError when the file can't be written."""
        snapshot = await self.pipeline.tick()
        page = await asyncio.to_thread(ledger_page, self._renderer, snapshot)
        await asyncio.to_thread(self.recorder.page, snapshot.timestamp, page)
        return page

    async def close(self) -> None:
        """End the file and close all connections. Raises RecordingError."""
        await self.pipeline.close()
        await asyncio.to_thread(self.recorder.close)


async def record(
    live: Live,
    stopped: asyncio.Event,
    *,
    cycles: int | None = None,
    seconds: float | None = None,
    told: Callable[[Live], None] = lambda _: None,
) -> None:
    """Record on the configuration's interval until `stopped`, or so many cycles, or so many seconds.

    Cycles that take longer than the interval are not made up for. `told` is called after each. The file is whole in
    every case. Raises RecordingError.
    """
    interval, begun = live.config.global_.interval, time.monotonic()
    stopping = asyncio.ensure_future(stopped.wait())
    try:
        while not stopped.is_set():
            tick = asyncio.ensure_future(live.tick())
            await asyncio.wait({tick, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await _ended(tick)
            told(live)
            following = (int((time.monotonic() - begun) / interval) + 1) * interval
            if live.recorder.pages == cycles or (seconds is not None and following >= seconds):
                return
            await asyncio.wait({stopping}, timeout=max(begun + following - time.monotonic(), 0.0))
    finally:
        stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stopping
        await _closed(live)


async def _ended(tick: asyncio.Future[bytes]) -> None:
    """Let a cycle end, unless it takes too long although the recording was asked to stop."""
    done, _ = await asyncio.wait({tick}, timeout=DRAIN_SECONDS)
    if not done:
        tick.cancel()
        await asyncio.wait({tick})
    if not tick.cancelled():
        tick.result()


async def _closed(live: Live) -> None:
    try:
        live.recorder.check()
    except RecordingError:
        with contextlib.suppress(RecordingError):
            await live.close()
        raise
    await live.close()
