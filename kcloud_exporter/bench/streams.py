"""Streams: many readers of server-sent events, of whom some stall. Those that read must lose nothing by the others.

The server is a process of its own with the product's own hub and web server; each event is published when all who
read have had the one before, so that its pace is that of the machine.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np

from kcloud_exporter import catalogue
from kcloud_exporter.bench.audience import Reader, gather, make_room, missed, until
from kcloud_exporter.bench.memory import beside, cpu_seconds, resident
from kcloud_exporter.model import ClusterSnapshot, Keys, Snapshot, Table
from kcloud_exporter.snapshot import SnapshotStore
from kcloud_exporter.stream.hub import CLIENTS, Hub
from kcloud_exporter.stream.routes import routes
from kcloud_exporter.telemetry import Telemetry
from kcloud_exporter.web.protection import STALL_SECONDS, Limits
from kcloud_exporter.web.server import build_app, start_site
from kcloud_exporter.web.status import Status, WebDeps

MOST_CLIENTS: Final = CLIENTS
PATH: Final = "/api/v1/monitoring/events/power?breakdown_by=node&limit=100"
_NODES: Final = 50
_PAUSE: Final = 0.2
"""Seconds between events, at least."""
_PATIENCE: Final = 60.0
_LONGEST: Final = 600.0
"""Seconds after which readers that stall and are still there are told as such."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """One run. Memory is that of the server, in MiB: without readers, with all of them, at most, and without again."""

    clients: int
    stalled: int
    events: int
    event_bytes: int
    lost_by_healthy: int
    healthy_cut_off: int
    stalled_cut_off: int
    cut_off_after_seconds: float
    cpu_seconds: float
    empty_mib: float
    full_mib: float
    peak_mib: float
    after_mib: float

    def as_json(self) -> dict[str, Any]:
        """All figures, and what an event costs."""
        return {**asdict(self), "cpu_seconds_per_event": self.cpu_seconds / self.events}


def measure(clients: int, stalled: int, events: int, stall_seconds: float = STALL_SECONDS) -> Streamed:
    """`clients` readers, `stalled` of them read nothing; at least `events` events, and until all stalled are gone.

    `stall_seconds`: how long the server bears with a reader that takes nothing. Raises OSError when so many connections
    may not be opened.
    """
    make_room(clients)
    with beside("the server of the streams", _PATIENCE, _serve, clients, stall_seconds) as (server, began):
        return asyncio.run(_measured(server, began, clients, stalled, events))


class _Server:
    """The server as seen from here: what it is told, and what it tells."""

    def __init__(self, connection: Connection, pid: int) -> None:
        self._connection, self.pid = connection, pid

    async def ask(self, word: str) -> Mapping[str, Any]:
        """Send a word, and wait for the answer."""
        self._connection.send(word)
        answer: Mapping[str, Any] = await asyncio.to_thread(self._connection.recv)
        return answer


async def _measured(
    connection: Connection, began: Mapping[str, Any], clients: int, stalled: int, events: int
) -> Streamed:
    server = _Server(connection, began["pid"])
    await server.ask("publish")
    empty, _ = resident(server.pid)
    healthy = await gather(began["port"], PATH, clients - stalled, stalls=False)
    stuck = await gather(began["port"], PATH, stalled, stalls=True)
    await _told(server, "clients", clients)
    full, _ = resident(server.pid)
    first = healthy[0].newest
    cpu, begun, made, gone_after = cpu_seconds(server.pid), time.monotonic(), 0, 0.0
    said: Mapping[str, Any] = {"slow": 0}
    while made < events or (said["slow"] < stalled and time.monotonic() - begun < _LONGEST):
        said = await server.ask("publish")
        made += 1
        have = partial(_have, healthy, first + made)
        _, _ = await asyncio.gather(until(have, _PATIENCE), asyncio.sleep(_PAUSE))
        if said["slow"] >= stalled and not gone_after:
            gone_after = time.monotonic() - begun
    spent = cpu_seconds(server.pid) - cpu
    _, peak = resident(server.pid)
    result = Streamed(
        clients=clients,
        stalled=stalled,
        events=made,
        event_bytes=round(healthy[0].taken / (healthy[0].newest - healthy[0].first + 1)),
        lost_by_healthy=missed(healthy, first + made),
        healthy_cut_off=sum(reader.lost for reader in healthy),
        stalled_cut_off=said["slow"],
        cut_off_after_seconds=gone_after,
        cpu_seconds=spent,
        empty_mib=empty,
        full_mib=full,
        peak_mib=peak,
        after_mib=0.0,
    )
    for reader in (*healthy, *stuck):
        reader.close()
    await _told(server, "clients", 0)
    after, _ = resident(server.pid)
    return Streamed(**{**asdict(result), "after_mib": after})


def _have(readers: list[Reader], number: int) -> bool:
    """Whether all who are still there have had an event; who was cut off is told of at the end."""
    return all(reader.lost or reader.newest >= number for reader in readers)


async def _told(server: _Server, name: str, value: int) -> None:
    """Wait until the server tells so. Raises RuntimeError when it does not."""
    deadline = time.monotonic() + _PATIENCE
    while (said := await server.ask("look"))[name] != value:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the server tells {said[name]} {name}, and not {value}")
        await asyncio.sleep(0.05)


def _serve(connection: Connection, clients: int, stall_seconds: float) -> None:
    """The server's process: publishes when it is told to, until nobody tells it anything any more."""
    make_room(clients)
    asyncio.run(_serving(connection, clients, Limits(stall=stall_seconds)))


async def _serving(connection: Connection, clients: int, limits: Limits) -> None:
    store, telemetry, made = SnapshotStore(), Telemetry(), 0
    hub = Hub(store, telemetry, lambda: 15.0, clients=clients)
    site = await start_site(build_app(_deps(telemetry), routes(hub)), "127.0.0.1", 0, None, limits)
    connection.send({"port": site.port, "pid": os.getpid()})
    async with hub:
        while True:
            try:
                word = await asyncio.to_thread(connection.recv)
            except EOFError:
                break
            if word == "publish":
                made += 1
                store.publish(_snapshot(made))
            connection.send(_look(telemetry))
    await site.close()


def _look(telemetry: Telemetry) -> dict[str, int]:
    """What the server counts: readers, and readers that were cut off."""
    value = telemetry.registry.get_sample_value
    return {
        "clients": int(value("kcloud_exporter_stream_clients", {"kind": "sse"}) or 0),
        "slow": int(value("kcloud_exporter_stream_dropped_total", {"kind": "sse", "reason": "slow"}) or 0),
    }


def _deps(telemetry: Telemetry) -> WebDeps:
    """A program that has nothing but streams."""

    async def page(openmetrics: bool, gzip: bool, levels: frozenset[str], clusters: frozenset[str]) -> bytes:  # noqa: ARG001
        raise LookupError

    async def reload() -> list[str]:
        return []

    now = time.time()
    status = Status("bench", now, now, True, "", (), (), ())
    return WebDeps(page, lambda: status, reload, False, None, telemetry.request, telemetry.connection_dropped)


def _snapshot(cycle: int) -> Snapshot:
    """A cluster of nodes whose watts move."""
    watts = np.random.default_rng(cycle).uniform(500.0, 9_000.0, _NODES)
    rows = [("bench", f"gpu-node-{n:03d}", "gpu") for n in range(_NODES)]
    tables = {
        catalogue.NODE_POWER.name: Table(Keys(rows), watts),
        catalogue.CLUSTER_POWER.name: Table(Keys([("bench", "gpu")]), np.array([watts.sum()])),
        catalogue.CLUSTER_NODES.name: Table(Keys([("bench", "measured")]), np.array([float(_NODES)])),
    }
    return Snapshot(time.time(), cycle, {"bench": ClusterSnapshot("bench", "bench", tables)}, {})


def table(result: Streamed) -> str:
    """The figures to read."""
    held = f"{result.empty_mib:,.0f} MiB without readers, {result.full_mib:,.0f} with all, at most "
    rows = (
        ("lost by those that read", f"{result.lost_by_healthy:,} of {result.events * _reading(result):,} events"),
        ("of them cut off", f"{result.healthy_cut_off:,}"),
        ("stalled and cut off", f"{result.stalled_cut_off:,} of {result.stalled:,}"),
        ("the last of them after", f"{result.cut_off_after_seconds:,.0f} s and {result.events:,} events at most"),
        ("an event for everybody", f"{1e3 * result.cpu_seconds / result.events:,.0f} ms CPU"),
        ("resident memory", f"{held}{result.peak_mib:,.0f}, {result.after_mib:,.0f} when they had gone"),
    )
    head = f"{result.clients:,} readers of server-sent events, {result.stalled:,} of which stall; "
    lines = [f"{head}{result.events:,} events of {result.event_bytes / 1e3:.1f} kB", ""]
    return "\n".join([*lines, *(f"  {name:<44}{figure}" for name, figure in rows)])


def _reading(result: Streamed) -> int:
    return result.clients - result.stalled
