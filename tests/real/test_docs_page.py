"""The page that shows the OpenAPI document, in a real browser: every operation is there, can be found and tried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kcloud_exporter.web.server import build_app, start_site
from tests.api.program import Program, running
from tests.real.chromium import DESKTOP, PHONE, browser

pytestmark = pytest.mark.real
ACCESSIBILITY = (Path(__file__).parent / "accessibility.js").read_text()
LOOK = "document.querySelectorAll('main article').length > 0"
TRY = "document.querySelector('article .body:not([hidden]) form').requestSubmit()"
ANSWER = "document.querySelector('article .body:not([hidden]) .told b')"


async def operations(program: Program) -> int:
    paths = (await program.get("/openapi.json")).json["paths"]
    return sum(len(item) for item in paths.values())


async def test_every_operation_is_shown_found_and_tried(tmp_path: Path) -> None:
    async with running() as program:
        base = f"http://127.0.0.1:{program.port}"
        async with browser(tmp_path, f"{base}/docs#get_monitoring_power_breakdown") as tab:
            await tab.until(LOOK)
            assert await tab.evaluate("document.querySelectorAll('main article').length") == await operations(program)
            await tab.until("!document.querySelector('#get_monitoring_power_breakdown .body').hidden")
            await tab.evaluate(TRY)
            await tab.until(ANSWER)
            assert (await tab.evaluate(f"{ANSWER}.innerText")).startswith("200")
            assert "seoul-a" in await tab.evaluate(
                "document.querySelector('article .body:not([hidden]) pre').innerText"
            )

            await tab.evaluate("document.querySelector('article .body:not([hidden]) [name=cluster]').value = 'nope'")
            await tab.evaluate(TRY)
            await tab.until(f"{ANSWER}?.innerText.startsWith('404')")
            assert "there is no cluster" in await tab.evaluate(
                "document.querySelector('article .body:not([hidden]) pre').innerText"
            )

            await tab.evaluate("document.activeElement.blur()")
            await tab.press("/")
            assert await tab.evaluate("document.activeElement.id") == "find"
            await tab.evaluate("$('find').value = 'gpu power'; find()")
            shown = "[...document.querySelectorAll('#list li')].filter((li) => li.checkVisibility()).length"
            assert 1 <= await tab.evaluate(shown) < 5
            answers = [said for said in tab.complaints() if "404" not in said]
            assert answers == [], "the browser itself complains of a 404 that was asked for; nothing else"
            assert {url.split("/")[2] for url in tab.requests() if not url.startswith("data:")} == {base.split("/")[2]}


async def test_it_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    async with running() as program:
        port = program.port
        async with browser(tmp_path, f"http://127.0.0.1:{port}/docs#get_monitoring_power") as tab:
            await tab.until(LOOK)
            await tab.until("!document.querySelector('#get_monitoring_power .body').hidden")
            await program.site.close()
            await tab.evaluate(TRY)
            told = "document.querySelector('article .body:not([hidden]) .told')"
            await tab.until(f"{told}?.innerText.includes('no answer')")
            program.site = await start_site(build_app(program.web_deps(), program.routes()), "127.0.0.1", port, None)
            await tab.evaluate(TRY)
            await tab.until(f"{ANSWER}?.innerText.startsWith('200')")
            watts = (await program.get("/monitoring/power")).data["total_power_watts"]
            shown = await tab.evaluate("document.querySelector('article .body:not([hidden]) pre').innerText")
            assert json.loads(shown)["data"]["total_power_watts"] == watts


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_everybody_can_read_it(tmp_path: Path, scheme: str, size: tuple[int, int]) -> None:
    async with (
        running() as program,
        browser(tmp_path, f"http://127.0.0.1:{program.port}/docs", size=size, scheme=scheme) as tab,
    ):
        await tab.until(LOOK)
        await tab.evaluate("location.hash = '#get_accelerators_gpus'")
        await tab.until("!document.querySelector('#get_accelerators_gpus .body').hidden")
        await tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        await tab.evaluate(TRY)
        await tab.until(ANSWER)
        assert await tab.evaluate(ACCESSIBILITY) == []
        overflow = await tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, "nothing is cut off at the side"
