"""The writer against stores that take, refuse, fail and are away: order is kept, losses are counted, cycles go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from kcloud_exporter import catalogue
from kcloud_exporter.config.schema import RemoteWriteConfig
from kcloud_exporter.model import ClusterSnapshot, Keys, Snapshot, Table
from kcloud_exporter.remote import writer
from kcloud_exporter.remote.state import RemoteState
from kcloud_exporter.remote.writer import RemoteWriter
from kcloud_exporter.snapshot import SnapshotStore
from tests.remote.oracle import unpacked
from tests.sources.servers import serving

KEYS = Keys([("c", "n1")])


def snapshot(number: int) -> Snapshot:
    table = Table(KEYS, np.array([float(number)]))
    return Snapshot(1_800_000_000.0 + number, number, {"c": ClusterSnapshot("c", "s", {NODE: table})}, {})


NODE = catalogue.NODE_WALL_POWER.name


class Store:
    """A receiver that answers with the statuses it is given, then with 204, and remembers what it took."""

    def __init__(self, *statuses: int) -> None:
        self.statuses, self.taken, self.headers = list(statuses), list[float](), dict[str, str]()

    async def answer(self, request: web.Request) -> web.Response:
        status = self.statuses.pop(0) if self.statuses else 204
        self.headers = dict(request.headers)
        if status == 204:
            self.taken += [samples[0][0] for samples in unpacked(await request.read()).values()]
        return web.Response(status=status)


class Told:
    """The self-metrics of one remote."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.state = RemoteState(self.registry)

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"kcloud_exporter_remote_write_{name}", {"remote": "r", **labels})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for are counters
            await asyncio.sleep(0.01)


async def run(url: str, told: Told, numbers: int, done: Callable[[], bool], **config: object) -> None:
    """Publish some snapshots one after the other, and wait for what they lead to."""
    remote = RemoteWriteConfig.model_validate({"url": url, "name": "r", **config})
    store = SnapshotStore()
    async with RemoteWriter(remote, told.state).following(store):
        await asyncio.sleep(0)
        for number in range(1, numbers + 1):
            store.publish(snapshot(number))
            await asyncio.sleep(0.02)
        await until(done)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_SHORTEST", 0.01)
    monkeypatch.setattr(writer, "_LAST_WORDS", 0.05)


async def test_every_snapshot_arrives_once_and_in_order() -> None:
    store, told = Store(), Told()
    async with serving(store.answer) as url:
        await run(url, told, 5, lambda: len(store.taken) == 5)

    assert store.taken == [1, 2, 3, 4, 5]
    assert store.headers["Content-Encoding"] == "snappy"
    assert store.headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
    assert (told("samples_total"), told("failures_total"), told("queue_bytes")) == (5, 0, 0)


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_store_that_is_busy_is_asked_again_and_nothing_is_lost(status: int) -> None:
    store, told = Store(status, status, status), Told()
    async with serving(store.answer) as url:
        await run(url, told, 3, lambda: len(store.taken) == 3)

    assert store.taken == [1, 2, 3]
    assert told("failures_total") == 3
    assert told("lost_samples_total", reason="refused") == 0


@pytest.mark.parametrize("status", [400, 401, 404, 413, 301])
async def test_what_is_refused_is_counted_and_not_asked_again(status: int) -> None:
    store, told = Store(status), Told()
    async with serving(store.answer) as url:
        await run(url, told, 3, lambda: len(store.taken) == 2)

    assert store.taken == [2, 3]
    assert told("lost_samples_total", reason="refused") == 1


async def test_a_store_that_stays_away_costs_no_more_than_the_queue() -> None:
    store, told = Store(*[503] * 10_000), Told()
    async with serving(store.answer) as url:
        await run(url, told, 12, lambda: (told("lost_samples_total", reason="queue_full") or 0) >= 5, queue_bytes=400)

    assert (told("queue_bytes") or 0) <= 400
    assert told("samples_total") == 0


async def test_credentials_go_with_it() -> None:
    store, told = Store(), Told()
    async with serving(store.answer) as url:
        await run(url, told, 1, lambda: bool(store.taken), bearer_token="s3cret")

    assert store.headers["Authorization"] == "Bearer s3cret"


async def test_a_stopping_program_sends_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_LAST_WORDS", 5.0)
    store, told = Store(503, 503), Told()
    async with serving(store.answer) as url:
        await run(url, told, 2, lambda: (told("queue_bytes") or 0) > 0)

        assert store.taken == [1, 2]
