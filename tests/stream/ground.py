"""Snapshots made by hand, a server that streams them over real sockets, and clients that read it."""

from __future__ import annotations

import asyncio
import json
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import Family
from kcloud_exporter.model import ClusterSnapshot, Keys, Snapshot, Table
from kcloud_exporter.snapshot import SnapshotStore
from kcloud_exporter.stream.hub import CLIENTS, Hub
from kcloud_exporter.stream.routes import routes
from kcloud_exporter.telemetry import Telemetry
from kcloud_exporter.web.auth import WebAuth
from kcloud_exporter.web.protection import Limits
from kcloud_exporter.web.server import build_app, start_site
from kcloud_exporter.web.status import WebDeps
from tests.web.program import Program

EVENTS = "/api/v1/monitoring/events/power"
SOCKET = "/api/v1/monitoring/stream/power"
START = 1_700_000_000.0
Rows = dict[tuple[str, ...], float]
Pods = Mapping[tuple[str, str, str, str], float]
"""(cluster, node, namespace or "" for nobody, component) → watts."""


def table(rows: Mapping[tuple[str, ...], float]) -> Table:
    return Table(Keys(list(rows)), np.array(list(rows.values()), dtype=np.float64))


def snapshot(
    cycle: int,
    pods: Pods,
    *,
    nodes: Mapping[str, tuple[int, int, int]] | None = None,
    more: Mapping[str, Mapping[Family, Mapping[tuple[str, ...], float]]] | None = None,
    fleet: Mapping[Family, Mapping[tuple[str, ...], float]] | None = None,
    sites: Mapping[str, str] | None = None,
) -> Snapshot:
    """A conserved ledger from what each namespace draws of each node; cycles are ten seconds apart.

    `nodes` gives a cluster's nodes (measured, partial, missing); `more` further tables of clusters.
    """
    tables: dict[str, dict[Family, dict[tuple[str, ...], float]]] = defaultdict(lambda: defaultdict(dict))

    def add(cluster: str, family: Family, row: tuple[str, ...], value: float) -> None:
        rows = tables[cluster][family]
        known = [each for each in (rows.get(row, math.nan), value) if not math.isnan(each)]
        rows[row] = math.fsum(known) if known else math.nan

    for (cluster, node, namespace, component), value in pods.items():
        add(cluster, catalogue.CLUSTER_POWER, (cluster, component), value)
        add(cluster, catalogue.NODE_POWER, (cluster, node, component), value)
        if namespace:
            add(cluster, catalogue.NAMESPACE_POWER, (cluster, namespace, component), value)
            add(cluster, catalogue.POD_POWER, (cluster, node, namespace, "pod", component), value)
        else:
            add(cluster, catalogue.NODE_UNATTRIBUTED, (cluster, node, component), value)
    for cluster in list(tables):
        known = (nodes or {}).get(cluster) or (len({n for c, n, _, _ in pods if c == cluster}), 0, 0)
        for state, count in zip(("measured", "partial", "missing"), known, strict=True):
            add(cluster, catalogue.CLUSTER_NODES, (cluster, state), count)
    for cluster, families in (more or {}).items():
        for family, rows in families.items():
            tables[cluster][family].update(rows)
    return Snapshot(
        timestamp=START + 10 * cycle,
        cycle=cycle,
        clusters={
            name: ClusterSnapshot(
                name, (sites or {}).get(name, f"site-{name}"), {f.name: table(rows) for f, rows in families.items()}
            )
            for name, families in tables.items()
        },
        fleet={family.name: table(rows) for family, rows in (fleet or {}).items()},
    )


def one_node(cycle: int, watts: float) -> Snapshot:
    """Cluster c1 with one node that draws so much, all of it by one namespace."""
    return snapshot(cycle, {("c1", "n1", "train", "gpu"): watts})


@dataclass
class Server:
    """A running server and what it streams."""

    port: int
    store: SnapshotStore
    hub: Hub
    telemetry: Telemetry

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def counted(self, series: str) -> float:
        """The value of one self-metric, `name{labels}` as on the page."""
        found = [
            float(line.removeprefix(series + " "))
            for line in self.telemetry.exposition(False).decode().splitlines()
            if line.startswith(series + " ")
        ]
        assert len(found) == 1, series
        return found[0]


@asynccontextmanager
async def streaming(
    *,
    clients: int = CLIENTS,
    auth: WebAuth | None = None,
    limits: Limits | None = None,
    deps: WebDeps | None = None,
) -> AsyncIterator[Server]:
    store, telemetry = SnapshotStore(), Telemetry()
    hub = Hub(store, telemetry, lambda: 10.0, clients=clients)
    site = await start_site(
        build_app(deps or Program().deps(auth), routes(hub)), "127.0.0.1", 0, None, limits or Limits()
    )
    try:
        async with hub:
            yield Server(site.port, store, hub, telemetry)
    finally:
        await site.close()


@dataclass
class Heard:
    """One server-sent event."""

    id: str
    type: str
    data: dict[str, Any]


class Listener:
    """An SSE client as a browser is one: fields by line, an empty line ends an event."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.comments: list[str] = []
        self.retry: list[int] = []

    async def next(self) -> Heard:
        fields: dict[str, str] = {}
        while line := (await self.response.content.readline()).decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if line == "\n" and "data" in fields:
                return Heard(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
            if line.startswith(":"):
                self.comments.append(line[1:].strip())
            elif name == "retry":
                self.retry.append(int(value))
            elif line != "\n":
                fields[name] = value
        raise EOFError

    async def take(self, count: int) -> list[Heard]:
        return [await asyncio.wait_for(self.next(), 10) for _ in range(count)]


@asynccontextmanager
async def listening(server: Server, query: str = "", *, path: str = EVENTS, **headers: str) -> AsyncIterator[Listener]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession(read_bufsize=2**22) as session,
        session.get(f"{server.url}{path}?{query}", headers=sent) as response,
    ):
        assert response.status == 200, await response.text()
        yield Listener(response)


def totals(events: Iterable[Heard]) -> list[float]:
    return [event.data["data"]["total_power_watts"] for event in events]
