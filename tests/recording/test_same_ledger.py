"""What was recorded of a live fleet gives the same ledger again, byte for byte, whatever the exporters did."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from kcloud_exporter.config.load import parse_config
from kcloud_exporter.config.schema import Config
from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.fleet.faults import FAULTS
from kcloud_exporter.recording.live import Live
from tests.recording.tapes import events_in, replayed_pages
from tests.sources.servers import serving

POD = (
    'kepler_pod_cpu_watts{{node_name="n{0}",pod_id="{1}",pod_name="p{1}",pod_namespace="a{2}",state="running",'
    'zone="package"}} {3}\n'
)
GPU = 'DCGM_FI_DEV_POWER_USAGE{{gpu="0",UUID="GPU-{0}",Hostname="n{0}",namespace="a",pod="p{1}",container="c"}} {2}\n'


async def recorded(
    config: Config, path: Path, cycles: int, before: Callable[[int], None] = lambda _: None
) -> tuple[list[bytes], Live]:
    """Record some cycles without waiting between them; the pages that were shown."""
    live = Live(config, path)
    pages = []
    for cycle in range(cycles):
        before(cycle)
        pages.append(await live.tick())
    await live.close()
    return pages, live


async def test_a_fleet_with_every_kind_of_fault(tmp_path: Path) -> None:
    async with Fleet(FleetSpec(step_seconds=0.5)) as fleet, httpx.AsyncClient(trust_env=False) as client:
        data = fleet.kcloud_config("exporter", interval="1s")
        data["global"] = {"interval": "2s", "timeout": "1s", "max_staleness": "4s"}
        live, pages = Live(parse_config(data, {}), tmp_path / "r.tar"), []
        # Each of them on both nodes in turn: one that a busy machine has made late is not asked again at once.
        for cycle, fault in enumerate(["clear", *(fault for fault in FAULTS for _ in range(2))]):
            for match, kind in (("gpu-", "clear"), (f"gpu-{1 + cycle % 2}", fault)):
                answer = await client.post(f"{fleet.control_url}/fault", json={"match": match, "fault": kind})
                assert answer.status_code == 200
            pages.append(await live.tick())
        await live.close()
    assert replayed_pages(tmp_path / "r.tar") == pages
    assert len(set(pages)) == len(pages)
    failed = {o["reason"] for e in events_in(tmp_path / "r.tar") for o in e.get("outcomes", []) if "reason" in o}
    assert {"truncated", "timeout", "http_5xx"} <= failed, "the faults were there"


KINDS = [*["good"] * 6, "late", "late", "hang", "500", "garbage", "cut"]


class Erratic:
    """Exporters that answer late, wrongly, in any order, in any form, and with other pods each time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.asked = 0
        self.hang = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        rng, node = self.random, request.match_info["path"]
        self.asked += 1
        kind = (
            "good" if self.asked < 12 else rng.choice(["good"] * 6 + ["late", "late", "hang", "500", "garbage", "cut"])
        )
        body = self.page(node).encode()
        await asyncio.sleep(rng.random() * 0.02 + (0.7 if kind == "late" else 0.0))
        if kind == "hang":
            await self.hang.wait()
        if kind == "500":
            return web.Response(status=500)
        if kind == "garbage":
            return web.Response(body=body + b"\xff{ no exposition")
        if kind == "cut":
            response = web.StreamResponse(headers={"Content-Length": str(len(body))})
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            return response
        if rng.random() < 0.5:
            return web.Response(body=gzip.compress(body, 1), headers={"Content-Encoding": "gzip"})
        if rng.random() < 0.5:
            return web.Response(body=body)
        text = "application/openmetrics-text; version=1.0.0"
        return web.Response(body=body + b"# EOF\n", headers={"Content-Type": text})

    def page(self, node: str) -> str:
        rng = self.random
        if node.startswith("gpu"):
            return GPU.format(node, rng.randrange(3), rng.uniform(50, 300))
        pods = rng.sample(range(30), 12)
        return "".join(POD.format(node, pod, pod % 3, rng.uniform(0, 9)) for pod in pods)


def erratic_config(url: str, targets: int = 5) -> dict[str, Any]:
    """Two clusters of two kinds of exporters at one server."""
    clusters = [
        {
            "name": cluster,
            "sources": [
                {"exporter": {"vendor": "kepler", "targets": [f"{url}/{cluster}{n}" for n in range(targets)]}},
                {"exporter": {"vendor": "dcgm", "targets": [f"{url}/gpu{cluster}{n}" for n in range(2)]}},
            ],
            "nodes": {"aliases": {"127.0.0.1": "here"}},
        }
        for cluster in ("a", "b")
    ]
    site = {
        "name": "a",
        "tariff": {"currency": "KRW", "price_per_kwh": 152.1},
        "carbon_intensity": {"grams_per_kwh": 424},
    }
    times = {"interval": "2s", "timeout": "1s", "max_staleness": "3s"}
    return {"global": times, "clusters": clusters, "sites": [site], "ledger": {"idle": "proportional"}}


@pytest.mark.parametrize("seed", [1, 2])
async def test_exporters_that_answer_late_wrongly_and_in_any_order(seed: int, tmp_path: Path) -> None:
    erratic = Erratic(seed)
    async with serving(erratic.answer) as url:
        pages, _ = await recorded(parse_config(erratic_config(url), {}), tmp_path / "r.tar", 8)
        erratic.hang.set()
    assert replayed_pages(tmp_path / "r.tar") == pages
    cycles = [e for e in events_in(tmp_path / "r.tar") if e["event"] == "cycle"]
    assert min(len(e["outcomes"]) for e in cycles) < 14, "some answers came in a later cycle"
    assert any("reason" in o for e in cycles for o in e["outcomes"])


async def test_targets_that_answer_in_another_order_each_time(tmp_path: Path) -> None:
    delays = [0.0] * 8

    async def answer(request: web.Request) -> web.Response:
        node = int(request.match_info["path"])
        await asyncio.sleep(delays[node])
        # Numbers whose sum depends on the order in which they are added.
        return web.Response(text="".join(POD.format(node, pod, 0, 0.1 * 3 ** (node + pod)) for pod in range(4)))

    def before(cycle: int) -> None:
        delays[:] = random.Random(cycle).sample([0.01 * n for n in range(8)], 8)

    async with serving(answer) as url:
        kepler = {"exporter": {"vendor": "kepler", "targets": [f"{url}/{n}" for n in range(8)]}}
        config = parse_config({"clusters": [{"name": "a", "sources": [kepler]}]}, {})
        pages, _ = await recorded(config, tmp_path / "r.tar", 4, before)
    assert replayed_pages(tmp_path / "r.tar") == pages
    parts = [e["part"] for e in events_in(tmp_path / "r.tar") if e["event"] == "answer"]
    orders = {tuple(parts[at : at + 8]) for at in range(0, 32, 8)}
    assert len(orders) > 1, "they were read in another order"


async def test_tables_that_are_compacted_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcloud_exporter.pipeline.COMPACT_EVERY", 4)
    monkeypatch.setattr("kcloud_exporter.sources.base.FORGET_AFTER", 2)
    monkeypatch.setattr("kcloud_exporter.sources.base._WORTH_IT", 5)
    first = [0]

    async def answer(request: web.Request) -> web.Response:
        node = request.match_info["path"]
        await asyncio.sleep(0.7 if node == "late" else 0.0)
        if node == "late" and first[0] % 3 == 0:
            return web.Response(status=500)
        return web.Response(text="".join(POD.format(node, pod, 0, pod / 7) for pod in range(first[0], first[0] + 20)))

    def before(cycle: int) -> None:
        first[0] = 15 * cycle

    async with serving(answer) as url:
        kepler = {"exporter": {"vendor": "kepler", "targets": [f"{url}/{n}" for n in ("x", "y", "late")]}}
        config = parse_config({"clusters": [{"name": "a", "sources": [kepler]}], "global": {"timeout": "1s"}}, {})
        pages, live = await recorded(config, tmp_path / "r.tar", 12, before)
    assert len(live.sources[0].intake.table) < 200, "dead series were dropped"
    assert replayed_pages(tmp_path / "r.tar") == pages
    assert [e["event"] for e in events_in(tmp_path / "r.tar")].count("compacted") == 3
