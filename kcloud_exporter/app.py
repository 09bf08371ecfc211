"""App: the composition root, and what each command runs. The only place that knows everybody."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import orjson
import yaml

from kcloud_exporter import __version__
from kcloud_exporter.api.routes import ApiDeps
from kcloud_exporter.api.serving import api_routes
from kcloud_exporter.clocks import REAL, Clocks
from kcloud_exporter.config.load import KNOWN_DEFAULTS, load_config, parse_config
from kcloud_exporter.config.schema import Config
from kcloud_exporter.errors import ConfigError
from kcloud_exporter.event_loop import watched
from kcloud_exporter.export.desk import Desk
from kcloud_exporter.export.routes import ExportDeps
from kcloud_exporter.export.routes import routes as export_routes
from kcloud_exporter.exporting import origin_of, place_of
from kcloud_exporter.history.embedded import EmbeddedHistory
from kcloud_exporter.history.prometheus import PrometheusHistory
from kcloud_exporter.history.series import History
from kcloud_exporter.history.state import CopyState, HistoryState
from kcloud_exporter.options import ServeOptions
from kcloud_exporter.remote.state import RemoteState
from kcloud_exporter.remote.writer import RemoteWriter
from kcloud_exporter.runtime import Runtime, check
from kcloud_exporter.stream.hub import CLIENTS, Hub
from kcloud_exporter.stream.routes import routes as stream_routes
from kcloud_exporter.web.auth import WebAuth
from kcloud_exporter.web.explaining import explain_routes
from kcloud_exporter.web.server import build_app, start_site
from kcloud_exporter.web.status import WebDeps

if TYPE_CHECKING:
    from kcloud_exporter.fleet import FleetSpec

__all__ = ["check", "demo", "explain", "fleet", "fleet_spec", "serve", "snapshot"]

log = logging.getLogger(__name__)


def web_auth(path: Path | None, environ: Mapping[str, str], tokens: Path | None = None) -> WebAuth | None:
    """Who may read: the web configuration, or the user that the original's environment names; and bearer tokens.

    Raises ConfigError.
    """
    if path is not None:
        return WebAuth.load(path, tokens)
    username, password = environ.get("API_AUTH_USERNAME"), environ.get("API_AUTH_PASSWORD")
    if not username and not password:
        return WebAuth.without_file(None, tokens) if tokens is not None else None
    if not (username and password):
        raise ConfigError(["API_AUTH_USERNAME and API_AUTH_PASSWORD: give both or none"])
    if password.lower() in KNOWN_DEFAULTS:
        raise ConfigError(["API_AUTH_PASSWORD: this is a well-known default password; choose another"])
    return WebAuth.without_file((username, password), tokens)


@asynccontextmanager
async def running(
    config: Config,
    load: Callable[[], Config],
    options: ServeOptions,
    storage: Path | None,
    first_at: Callable[[], float] | None = None,
    clocks: Clocks = REAL,
) -> AsyncIterator[tuple[Runtime, int]]:
    """The whole program, serving, and the port it got; everything it opened is closed at the end."""
    async with AsyncExitStack() as stack:
        runtime = Runtime(config, load, storage, clocks)
        history = await stack.enter_async_context(_remembered(runtime, storage))
        stack.push_async_callback(runtime.close)
        auth = web_auth(options.web_config_file, os.environ, options.bearer_token_file)
        hub = Hub(runtime.store, runtime.telemetry, lambda: runtime.config.global_.interval, clients=_streams())
        exports = ExportDeps(lambda: place_of(runtime.config, history), lambda: origin_of(runtime.config))
        web = build_app(
            WebDeps(
                page=runtime.page,
                status=runtime.status,
                reload=runtime.reload,
                enable_lifecycle=options.enable_lifecycle,
                auth=auth,
                observe=runtime.telemetry.request,
                dropped=runtime.telemetry.connection_dropped,
            ),
            [
                *explain_routes(runtime.explain),
                *stream_routes(hub),
                *api_routes(ApiDeps(lambda: runtime.store.current, runtime.status, lambda: history, runtime.page)),
                *export_routes(exports, Desk()),
            ],
        )
        site = await start_site(web, options.listen_host, options.listen_port, auth.ssl_context() if auth else None)
        stack.push_async_callback(site.close)
        await stack.enter_async_context(hub)
        await stack.enter_async_context(watched(runtime.telemetry.lagged))
        remotes = RemoteState(runtime.telemetry.registry)
        for remote in config.remote_write:
            await stack.enter_async_context(RemoteWriter(remote, remotes).following(runtime.store))
        await runtime.tick()
        runtime.start(first_at() if first_at else None)
        yield runtime, site.port


def _streams() -> int:
    """How many streams there is room for, beside everything else that needs a file descriptor.

    The soft limit is raised as far as it may be, as programs written in Go do of themselves.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CLIENTS + _OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return CLIENTS if soft == resource.RLIM_INFINITY else min(CLIENTS, max(soft - _OTHER_DESCRIPTORS, soft // 4))


_OTHER_DESCRIPTORS = 2048
"""Connections of requests and to sources, files of the counters and of history."""


@asynccontextmanager
async def _remembered(runtime: Runtime, storage: Path | None) -> AsyncIterator[History]:
    """History while the program runs. Without a place of its own (demo) it lasts as long as the program."""
    kept = runtime.config.history
    async with AsyncExitStack() as stack:
        if kept.url is not None:
            store = PrometheusHistory(kept.url, kept)
            stack.push_async_callback(store.close)
            yield store
            return
        folder = storage or Path(stack.enter_context(TemporaryDirectory(prefix="kcloud-exporter-")))
        retention = runtime.config.storage.retention
        registry, written = runtime.telemetry.registry, None
        if kept.copy_to is not None:
            from kcloud_exporter.history.copies import Copies  # the clients of all storages: only where there is one

            copies = Copies(folder / "history", kept.copy_to, CopyState(registry))
            stack.push_async_callback(asyncio.to_thread, copies.close)
            written = copies.wake
        history = EmbeddedHistory(folder / "history", retention, HistoryState(registry), written=written)
        stack.push_async_callback(history.close)
        await stack.enter_async_context(history.following(runtime.store))
        yield history


def serve(options: ServeOptions) -> int:
    """The main job: poll all sources on the interval, keep one snapshot, serve it, until SIGTERM or SIGINT."""

    def load() -> Config:
        return load_config(options.config_file)

    config = load()
    storage = options.storage_path or Path(config.storage.path)
    return asyncio.run(_until_stopped(config, load, options, storage, _announce))


STEP_SECONDS = 30.0
"""How long the fleet's powers stand still."""


def fleet_spec(
    seed: int, *, frozen: bool, size: Literal["demo", "mixed"] = "demo", start: float | None = None
) -> FleetSpec:
    """The fleet of the command line. `start` (Unix seconds) is when its steps begin; None means now."""
    from kcloud_exporter.fleet import FleetSpec

    return FleetSpec(seed=seed, size=size, frozen=frozen, step_seconds=STEP_SECONDS, start=start)


def demo(options: ServeOptions, *, seed: int, world: str, frozen: bool) -> int:
    """`serve` with zero configuration: the simulated fleet on loopback, aggregated."""
    return asyncio.run(_demo(options, seed, world, frozen=frozen))


async def _demo(options: ServeOptions, seed: int, world: str, *, frozen: bool) -> int:
    """The fleet runs in a process of its own: what it measures must not wait for what reads it."""
    begun = time.time()
    arguments = ["--fleet.for-demo", "--fleet.seed", str(seed), "--fleet.world", world, "--fleet.start", str(begun)]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kcloud_exporter",
        "fleet",
        *arguments,
        *(["--fleet.frozen"] if frozen else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    try:
        said = await child.stdout.readline() if child.stdout else b""
        if not said:
            await child.wait()
            return 1
        described = orjson.loads(said)
        config = parse_config(described["config"])

        def before_a_step_ends() -> float:
            """Joule counters tell the mean since the last cycle, so cycles keep clear of the fleet's steps."""
            interval = config.global_.interval
            return begun + (math.floor((time.time() - begun + 0.25) / interval) + 1) * interval - 0.25

        def announce(options: ServeOptions) -> None:
            _announce(options)
            _say(f"  simulated fleet  {described['control_url']}/         every exporter; /truth has the right answers")

        return await _until_stopped(config, lambda: config, options, options.storage_path, announce, before_a_step_ends)
    finally:
        if child.stdin is not None:
            child.stdin.close()
        await child.wait()


def fleet(spec: FleetSpec, *, write_config: Path | None, for_demo: bool) -> int:
    """Only the simulated exporters, until stopped."""
    asyncio.run(_for_demo(spec) if for_demo else _fleet(spec, write_config))
    return 0


async def _fleet(spec: FleetSpec, write_config: Path | None) -> None:
    from kcloud_exporter.fleet import Fleet

    async with Fleet(spec) as running:
        if write_config is not None:
            text = yaml.safe_dump(running.kcloud_config(), sort_keys=False, allow_unicode=True)
            await asyncio.to_thread(write_config.write_text, text, encoding="utf-8")
        _say("\n".join(f"{e.cluster:<9} {e.node:<10} {e.vendor:<18} {e.url}" for e in running.exporters))
        _say(f"control: {running.control_url}/  (/truth, /exporters, POST /fault)")
        if write_config is not None:
            _say(f"read it with: kcloud-exporter serve --config.file {write_config}")
        await _stopped().wait()


async def _for_demo(spec: FleetSpec) -> None:
    """Tell the parent where everything is, and end when the parent does: its end of the pipe closes."""
    from kcloud_exporter.fleet import Fleet

    async with Fleet(spec) as running:
        _say(orjson.dumps({"control_url": running.control_url, "config": running.kcloud_config()}).decode())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, lambda: None)
        await asyncio.to_thread(sys.stdin.buffer.read)


def _stopped() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


def _announce(options: ServeOptions) -> None:
    base = f"http://{options.listen_host}:{options.listen_port}"
    _say(
        f"kcloud-exporter {__version__} is running; Ctrl-C stops it\n"
        f"  landing page     {base}/\n"
        f"  live page        {base}/live\n"
        f"  metrics          {base}/metrics\n"
        f"  JSON API         {base}/docs"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def _until_stopped(
    config: Config,
    load: Callable[[], Config],
    options: ServeOptions,
    storage: Path | None,
    announce: Callable[[ServeOptions], None],
    first_at: Callable[[], float] | None = None,
) -> int:
    stopped, loop = _stopped(), asyncio.get_running_loop()
    async with running(config, load, options, storage, first_at) as (runtime, port):
        reloads: set[asyncio.Task[Any]] = set()

        def reload() -> None:
            task = loop.create_task(runtime.reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        announce(replace(options, listen_port=port))
        await stopped.wait()
        log.info("stopping")
    return 0


def explain(config: Config, series: str, depth: int | None) -> tuple[dict[str, Any], float]:
    """Two cycles of all sources, so that counters tell watts, and the tree behind one number. Raises SelectorError."""
    return asyncio.run(_explain(config, series, depth))


async def _explain(config: Config, series: str, depth: int | None) -> tuple[dict[str, Any], float]:
    runtime = Runtime(config, lambda: config)
    try:
        await runtime.tick()
        await asyncio.sleep(config.global_.interval)
        await runtime.tick()
        return await runtime.explain(series, depth)
    finally:
        await runtime.close()


def snapshot(config: Config, *, openmetrics: bool) -> int:
    """One cycle of all sources; the page goes to stdout. 1 when no source answered at all."""
    return asyncio.run(_snapshot(config, openmetrics=openmetrics))


async def _snapshot(config: Config, *, openmetrics: bool) -> int:
    runtime = Runtime(config, lambda: config)
    try:
        await runtime.tick()
        page = await runtime.page(openmetrics, False, frozenset(), frozenset())
    finally:
        await runtime.pipeline.close()
    sys.stdout.buffer.write(page)
    sys.stdout.buffer.flush()
    answered = any(state.up for cluster in runtime.pipeline.clusters.values() for state in cluster.sources.values())
    if not answered:
        log.error("no source answered; see kcloud_source_failures_total")
    return 0 if answered else 1
