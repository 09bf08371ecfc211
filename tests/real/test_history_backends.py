"""The same answers from files of our own, from a real Prometheus and from a real VictoriaMetrics."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from kcloud_exporter.history.embedded import EmbeddedHistory
from kcloud_exporter.history.prometheus import PrometheusHistory
from kcloud_exporter.history.series import History
from kcloud_exporter.history.state import HistoryState
from kcloud_exporter.model import Snapshot
from tests.history.snapshots import snapshot
from tests.real.programs import require, wait_until
from tests.real.prometheus import prometheus, victoria_metrics

pytestmark = pytest.mark.real

NOW = time.time() // 3600 * 3600
BEGIN, END = NOW - 3 * 3600, NOW
POWER, ENERGY = "kcloud_pod_power_watts", "kcloud_pod_energy_joules_total"
_History = TypeVar("_History", bound=History)
HOSTILE = ('quo"te', "back\\slash", "new\nline", "서울", "tab\there", "{}=~", "'; drop")


def cycle(at: float) -> Snapshot:
    """Pods with hostile names; one has a gap, one lives shortly, and one's counter begins anew.

    The short life is of whole intervals, for in files of our own a part of one weighs like a whole.
    """
    age = at - BEGIN + 500
    power: dict[tuple[str, ...], float] = {}
    energy: dict[tuple[str, ...], float] = {}
    for n, name in enumerate(HOSTILE):
        key = ("seoul-a", "n1", "ml", name, "gpu")
        if n == 1 and BEGIN + 3600 < at <= BEGIN + 5400:
            continue
        if n == 2 and not BEGIN + 3900 < at <= BEGIN + 6000:
            continue
        power[key] = float(np.float32(100 + 10 * n + 30 * np.sin(age / 700 + n)))
        energy[key] = 10.0 * n * (age if n != 3 or at <= BEGIN + 7200 else at - BEGIN - 7200 + 15)
    return snapshot(at, {"seoul-a": {POWER: power, ENERGY: energy}})


def cycles() -> Iterator[Snapshot]:
    return (cycle(float(at)) for at in np.arange(BEGIN + 15, END + 1, 15))


def text(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def exposition(family: str, milliseconds: bool) -> Iterator[str]:
    names = ("cluster", "node", "namespace", "pod", "component")
    for seen in cycles():
        table = seen.clusters["seoul-a"].tables[family]
        for key, value in zip(table.keys.rows, table.values.tolist(), strict=True):
            labels = ",".join(f'{n}="{text(v)}"' for n, v in zip(names, key, strict=True))
            stamp = f"{seen.timestamp * 1000:.0f}" if milliseconds else f"{seen.timestamp:.0f}"
            yield f'{family}{{{labels},instance="127.0.0.1:28283",job="kcloud"}} {value!r} {stamp}\n'


@contextlib.asynccontextmanager
async def closing(history: _History) -> AsyncIterator[_History]:
    try:
        yield history
    finally:
        await history.close()


@contextlib.asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[History]:
    history = EmbeddedHistory(folder / "history", 1e9, HistoryState(CollectorRegistry()), clock=lambda: END)
    for seen in cycles():
        history._queue.put(seen)
    history._queue.put(cycle(END + 15))
    await history.flush()
    async with closing(history):
        yield history


@contextlib.asynccontextmanager
async def store(kind: str, folder: Path, page_points: int = 2000) -> AsyncIterator[History]:
    if kind == "prometheus":
        source = folder / "history.om"
        source.write_text(
            f"# TYPE {POWER} gauge\n" + "".join(exposition(POWER, milliseconds=False))
            + f"# TYPE {ENERGY.removesuffix('_total')} counter\n" + "".join(exposition(ENERGY, milliseconds=False))
            + "# EOF\n", encoding="utf-8",
        )  # fmt: skip
        command = [
            require("promtool"),
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            str(source),
            f"{folder}/prometheus",
        ]
        done = subprocess.run(list(map(str, command)), capture_output=True, timeout=60)  # noqa: ASYNC221 - nothing else runs here
        assert done.returncode == 0, done.stderr
        with prometheus({"scrape_configs": []}, folder) as server:
            async with closing(PrometheusHistory(server.url, page_points=page_points)) as history:
                yield history
    else:
        with victoria_metrics({"scrape_configs": []}, folder) as server:
            body = "".join([*exposition(POWER, milliseconds=True), *exposition(ENERGY, milliseconds=True)]).encode()
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.post(f"{server.url}/api/v1/import/prometheus", content=body)
                assert answer.status_code == 204
                await client.get(f"{server.url}/internal/force_flush")
            wait_until(
                lambda: len(server.query(f"count_over_time({POWER}[4h])")) == len(HOSTILE), "the samples are there"
            )
            async with closing(PrometheusHistory(server.url, page_points=page_points)) as history:
                yield history


@pytest.mark.parametrize("kind", ["prometheus", "victoria-metrics"])
async def test_a_store_and_our_own_files_answer_the_same(kind: str, tmp_path: Path) -> None:
    async with embedded(tmp_path) as ours, store(kind, tmp_path, page_points=7) as theirs:
        for window in ((BEGIN, END, 300.0), (BEGIN + 900, END - 300, 900.0), (BEGIN, END, 3 * 3600.0)):
            for family in (POWER, ENERGY):
                a = await ours.series(family, {}, *window)
                b = await theirs.series(family, {}, *window)
                assert a.labels == b.labels
                assert len(a.labels) == len(HOSTILE)
                np.testing.assert_array_equal(a.timestamps, b.timestamps)
                np.testing.assert_allclose(a.values, b.values, rtol=1e-6)
        for name in HOSTILE:
            a = await ours.series(POWER, {"pod": name, "cluster": "seoul-a"}, BEGIN, END, 600)
            b = await theirs.series(POWER, {"pod": name, "cluster": "seoul-a"}, BEGIN, END, 600)
            assert a.labels == b.labels == [("seoul-a", "n1", "ml", name, "gpu")]
            np.testing.assert_allclose(a.values, b.values, rtol=1e-6)
        c = await ours.increments(ENERGY, {}, BEGIN, END, 900)
        d = await theirs.increments(ENERGY, {}, BEGIN, END, 900)
        assert c.labels == d.labels
        np.testing.assert_allclose(c.values, d.values, rtol=1e-9, atol=10 * 3 * 300)
        steady = [i for i, key in enumerate(c.labels) if key[3] != HOSTILE[3]]
        np.testing.assert_allclose(c.values[steady], d.values[steady], rtol=1e-9)
        assert (await theirs.series(POWER, {"pod": ".*"}, BEGIN, END, 600)).labels == []
        for begin, end in ((BEGIN, END), (BEGIN + 3600, END - 3600), (BEGIN - 3600, BEGIN + 1800)):
            x = await ours.increase(ENERGY, {}, begin, end)
            y = await theirs.increase(ENERGY, {}, begin, end)
            assert x.labels == y.labels
            # A store sees every cycle of the moment in which a counter began anew, our files only each interval's end.
            np.testing.assert_allclose(x.values, y.values, rtol=1e-9, atol=10 * 3 * 300)
            steady = [i for i, key in enumerate(x.labels) if key[3] != HOSTILE[3]]
            np.testing.assert_allclose(x.values[steady], y.values[steady], rtol=1e-9)


async def test_a_store_that_refuses_large_queries_is_asked_for_less_at_a_time(tmp_path: Path) -> None:
    async with store("prometheus", tmp_path):
        pass
    binary_flags = tmp_path / "prometheus.yml"
    assert binary_flags.exists()
    with prometheus({"scrape_configs": []}, tmp_path, flags=["--query.max-samples=3000"]) as server:
        async with closing(PrometheusHistory(server.url)) as history:
            power = await history.series(POWER, {}, BEGIN, END, 300)
            joules = await history.increase(ENERGY, {"pod": HOSTILE[5]}, BEGIN, END)

    assert power.values.shape == (len(HOSTILE), 36)
    assert joules.values.tolist() == [10.0 * 5 * (3 * 3600 - 15)]
