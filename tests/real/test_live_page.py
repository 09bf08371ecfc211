"""The live page in a real browser: what it shows is the ledger, it says when it is not, and everybody can use it."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from kcloud_exporter import catalogue
from kcloud_exporter.fleet import Fleet
from kcloud_exporter.model import Snapshot
from tests.real.chromium import DESKTOP, PHONE, Tab, browser
from tests.real.kcloud import kcloud_exporter
from tests.real.page import group, select, total
from tests.stream.ground import snapshot, streaming

pytestmark = pytest.mark.real
ACCESSIBILITY = (Path(__file__).parent / "accessibility.js").read_text()
SHOWN = "Number(document.getElementById('power').dataset.value)"


async def text(tab: Tab, selector: str) -> str:
    said: str = await tab.evaluate(f"document.querySelector({selector!r}).innerText")
    return said


@pytest.mark.timeout(240)
async def test_the_page_shows_the_ledger_and_says_when_the_server_is_gone(fleet: Fleet, tmp_path: Path) -> None:
    config = fleet.kcloud_config("exporter") | {
        "global": {"interval": "2s", "timeout": "1900ms", "max_staleness": "60s"}
    }
    with kcloud_exporter(config, tmp_path) as exporter:
        port = int(exporter.address.rsplit(":", 1)[1])
        async with browser(tmp_path, f"{exporter.url}/live") as tab:
            await tab.until("document.body.dataset.state === 'live'")
            await tab.until("document.getElementById('completeness').dataset.value === '1'", 60)
            await tab.until("document.querySelector('.up') && !document.querySelector('.down')", 60)
            shown, page = await tab.evaluate(SHOWN), await asyncio.to_thread(exporter.page)

            watts = total(page, "kcloud_cluster_power_watts")
            assert shown == pytest.approx(watts, rel=1e-3)
            assert f"{watts / 1000:.2f}"[:-1] in await text(tab, "#power")
            assert await tab.evaluate("document.querySelectorAll('.device').length") == len(
                select(page, "kcloud_accelerator_info")
            )
            for name, told in group(page, "kcloud_site_pue_ratio", "site").items():
                assert f"{name[0]} {told:.2f}" in await text(tab, "#pue-note")
            flow = await tab.evaluate(
                "[...document.querySelectorAll('.node')].map((n) => n.getAttribute('aria-label'))"
            )
            for names in group(page, "kcloud_namespace_power_watts", "namespace"):
                assert any(f"namespace {names[0]}" in said for said in flow), names
            assert f"{len(select(page, 'kcloud_source_up'))} up, 0 down" in await text(tab, "#sources-note")
            assert tab.complaints() == []
            assert {url.split("/")[2] for url in tab.requests()} == {exporter.address}

            exporter.program.process.terminate()
            await tab.until("document.body.dataset.state === 'lost'")
            assert "The stream is lost" in await text(tab, "#banner")
            assert await tab.evaluate(SHOWN) == pytest.approx(watts, rel=1e-3), "the last figures stay, and are marked"
            exporter.program.process.wait()
            one = config | {"clusters": config["clusters"][:1], "sites": []}
            with kcloud_exporter(one, tmp_path, name="again", port=port):
                await tab.until("document.body.dataset.state === 'live'")
                assert await tab.evaluate("document.getElementById('banner').hidden")


def small(cycle: int = 1, *, watts: float = 300.0) -> Snapshot:
    info = {("c1", "n1", f"GPU-{n}", str(n), "gpu", "nvidia", "H100", "", ""): 1.0 for n in range(3)} | {
        ("c2", "n9", "NPU-0", "0", "npu", "furiosa", "RNGD", "", ""): 1.0
    }
    known = [("c1", "n1", f"GPU-{n}") for n in range(2)]
    named = [row[:3] + row[4:7] for row in info]
    return snapshot(
        cycle,
        {
            ("c1", "n1", "train", "gpu"): watts,
            ("c1", "n1", "", "cpu"): 40.0,
            ("c2", "n9", "train", "npu"): 70.0,
            ("c3", "n5", "lost", "gpu"): math.nan,
        },
        nodes={"c3": (0, 0, 2)},
        more={
            "c1": {
                catalogue.ACCELERATOR_INFO: {row: v for row, v in info.items() if row[0] == "c1"},
                catalogue.ACCELERATOR_POWER: dict.fromkeys(named[:2], 150.0),
                catalogue.ACCELERATOR_POWER_LIMIT: dict.fromkeys(known, 700.0),
                catalogue.ACCELERATOR_UTILIZATION: dict(zip(known, (0.95, 0.0), strict=True)),
                catalogue.SOURCE_UP: {("c1", "dcgm@h:1"): 1.0, ("c1", "kepler@h:2"): 0.0},
                catalogue.SOURCE_SAMPLES: {("c1", "dcgm@h:1"): 30.0},
            },
            "c2": {catalogue.ACCELERATOR_INFO: {row: v for row, v in info.items() if row[0] == "c2"}},
        },
        fleet={catalogue.SITE_IT_POWER: {("site-c1",): watts + 40}},
    )


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")])
async def test_everybody_can_read_it(tmp_path: Path, size: tuple[int, int], scheme: str) -> None:
    async with streaming() as server, browser(tmp_path, f"{server.url}/live", size=size, scheme=scheme) as tab:
        server.store.publish(small())
        await tab.until("document.body.dataset.state === 'live'")
        for details in ("flow-details", "devices-details"):
            await tab.evaluate(f"document.getElementById('{details}').open = true")
        await tab.until("document.querySelectorAll('table').length === 4")
        dark = await tab.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
        assert dark == (scheme == "dark")
        assert await tab.evaluate(ACCESSIBILITY) == []

        await tab.evaluate("document.getElementById('theme').click()")
        assert (await tab.evaluate("getComputedStyle(document.body).colorScheme") == "dark") != dark
        assert await tab.evaluate(ACCESSIBILITY) == [], "in the other colours too"
        await server.hub.close()
        await tab.until("document.body.dataset.state === 'lost'")
        assert await tab.evaluate(ACCESSIBILITY) == [], "and when the stream is lost"


async def test_what_is_not_known_is_called_unknown_and_never_zero(tmp_path: Path) -> None:
    async with streaming() as server, browser(tmp_path, f"{server.url}/live") as tab:
        await tab.until("document.body.dataset.state === 'connecting'")
        assert (await text(tab, "#power")).strip() == "unknown"
        server.store.publish(snapshot(1, {("c3", "n5", "lost", "gpu"): math.nan}, nodes={"c3": (0, 0, 2)}))
        await tab.until("document.body.dataset.state === 'live'")
        for figure in ("power", "pue", "energy"):
            assert await text(tab, f"#{figure}") == "unknown", figure
        assert "2 missing" in await text(tab, "#completeness-note")
        assert "unknown" in await text(tab, "#sites")
        assert "0 W" not in await text(tab, "main")

        server.store.publish(small(2))
        await tab.until(f"{SHOWN} === 410")
        assert "at least" in await text(tab, "#power-note")
        assert "1 of 2 sources are down" in await text(tab, "#power-note")
        steps = await tab.evaluate("[...document.querySelectorAll('.device')].map((d) => d.dataset.step)")
        assert steps == ["2", "2", "unknown", "unknown"], "150 of 700 W twice, and two without a reading"
        await tab.evaluate("document.getElementById('by-use').click()")
        steps = await tab.evaluate("[...document.querySelectorAll('.device')].map((d) => d.dataset.step)")
        assert steps == ["9", "0", "unknown", "unknown"]
        assert tab.complaints() == []


async def test_it_follows_the_fleet_and_one_cluster_of_it(tmp_path: Path) -> None:
    async with streaming() as server, browser(tmp_path, f"{server.url}/live") as tab:
        for cycle in range(1, 4):
            server.store.publish(small(cycle, watts=100.0 * cycle))
            await tab.until(f"{SHOWN} === {100 * cycle + 110}")
        assert await tab.evaluate("document.querySelectorAll('#spark .line').length") == 1
        await tab.evaluate(
            "const s = document.getElementById('cluster'); s.value = 'c2'; s.dispatchEvent(new Event('change'))"
        )
        await tab.until(f"{SHOWN} === 70")
        assert await tab.evaluate("location.hash") == "#c2"
        assert tab.complaints() == []


async def test_keys_walk_through_what_is_drawn(tmp_path: Path) -> None:
    async with streaming() as server, browser(tmp_path, f"{server.url}/live") as tab:
        server.store.publish(small())
        await tab.until("document.body.dataset.state === 'live'")
        for kind in (".node", ".device"):
            stops = f"document.querySelectorAll('{kind}[tabindex=\"0\"]').length"
            assert await tab.evaluate(stops) == 1, "one stop for Tab"
            await tab.evaluate(f"document.querySelector('{kind}[tabindex=\"0\"]').focus()")
            first = await tab.evaluate("document.activeElement.getAttribute('aria-label')")
            await tab.press("ArrowRight")
            second = await tab.evaluate("document.activeElement.getAttribute('aria-label')")
            assert first != second
            assert await tab.evaluate(stops) == 1
            assert not await tab.evaluate("document.getElementById('tip').hidden"), "told on focus as on hover"
            server.store.publish(small(2))
            await asyncio.sleep(0.3)
            assert await tab.evaluate("document.activeElement.getAttribute('aria-label')") == second, "focus stays"
            await tab.press("Escape")
            assert await tab.evaluate("document.getElementById('tip').hidden")


async def test_names_are_text_whatever_they_are(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>'\"&\u202e" + "x" * 200
    async with streaming() as server, browser(tmp_path, f"{server.url}/live", size=PHONE) as tab:
        server.store.publish(
            snapshot(
                1,
                {("c1", evil, evil, "gpu"): 10.0},
                more={"c1": {catalogue.SOURCE_UP: {("c1", evil): 0.0}}},
                sites={"c1": evil},
            )
        )
        await tab.until("document.body.dataset.state === 'live'")
        await tab.evaluate("document.getElementById('flow-details').open = true")
        await tab.until("document.querySelectorAll('#flow-table td').length > 0")
        assert await tab.evaluate("document.querySelectorAll('main img').length") == 0
        assert await tab.evaluate("document.documentElement.scrollWidth") == PHONE[0]
        assert tab.complaints() == []


async def test_a_large_fleet_is_drawn_in_part_and_told_in_full(tmp_path: Path) -> None:
    nodes = [f"node-{n:04d}" for n in range(400)]
    pods = {("c1", node, f"team-{n % 60:02d}", "gpu"): 1000.0 + n for n, node in enumerate(nodes)}
    devices: dict[tuple[str, ...], float] = {
        ("c1", node, f"{node}-{n}", str(n), "gpu", "nvidia", "H100", "", ""): 1.0 for node in nodes for n in range(8)
    }
    more: Any = {
        "c1": {
            catalogue.ACCELERATOR_INFO: devices,
            catalogue.ACCELERATOR_POWER: {row[:3] + row[4:7]: 125.0 for row in devices},
        }
    }
    async with streaming() as server, browser(tmp_path, f"{server.url}/live") as tab:
        server.store.publish(snapshot(1, pods, more=more))
        await tab.until(f"{SHOWN} === {sum(pods.values())}")
        await tab.until("document.querySelectorAll('.device').length === 1024")
        assert "1,024 devices and 2,176 others that draw 272 kW" in await text(tab, "#devices-note")
        labels = await tab.evaluate("[...document.querySelectorAll('.node .label')].map((n) => n.textContent)")
        assert "46 others" in labels
        assert len(labels) < 25
        assert tab.complaints() == []
