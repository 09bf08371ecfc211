"""A real browser without a window, spoken to over its DevTools protocol: what a user of a page sees and does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.real.programs import require, start

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-quic",
    "--disable-sync",
    "--hide-scrollbars",
    "--log-level=3",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
)
PHONE, DESKTOP = (390, 844), (1440, 900)


@dataclass
class Tab:
    """One page of the browser, and everything that it has told since it was opened."""

    socket: aiohttp.ClientWebSocketResponse
    told: list[dict[str, Any]] = field(default_factory=list)
    _answers: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def listen(self) -> None:
        """Sort what comes into answers and events, until the browser goes."""
        async for message in self.socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            else:
                self.told.append(said)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        said = await asyncio.wait_for(answer, 30)
        assert "error" not in said, f"{method}: {said}"
        result: dict[str, Any] = said["result"]
        return result

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        told = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, condition: str, seconds: float = 20.0) -> None:
        """Wait until a JavaScript expression holds."""
        try:
            async with asyncio.timeout(seconds):
                while not await self.evaluate(f"Boolean({condition})"):  # noqa: ASYNC110 - the page is what is looked at
                    await asyncio.sleep(0.05)
        except TimeoutError:
            body = await self.evaluate("document.body.innerText")
            raise AssertionError(f"waited in vain for {condition}; the page says:\n{body[:2000]}") from None

    async def press(self, key: str) -> None:
        """One key, as from a keyboard."""
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    async def look(self, size: tuple[int, int], scheme: str) -> None:
        """How large the window is, and whether the system is dark or light."""
        width, height = size
        mobile = width < 600
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, exceptions, and what a policy has blocked."""
        found = []
        for event in self.told:
            parameters = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
            elif event["method"] == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                found.append(str(parameters["args"]))
        return found

    def requests(self) -> list[str]:
        """The URL of everything that was asked for."""
        return [e["params"]["request"]["url"] for e in self.told if e["method"] == "Network.requestWillBeSent"]


@contextlib.asynccontextmanager
async def browser(
    folder: Path, url: str, *, size: tuple[int, int] = DESKTOP, scheme: str = "light"
) -> AsyncIterator[Tab]:
    """Chromium with one page open at `url`."""
    profile = folder / "chromium-profile"
    port_file = profile / "DevToolsActivePort"
    port_file.unlink(missing_ok=True)
    arguments: list[str | Path] = [require("chromium"), *ARGUMENTS, f"--user-data-dir={profile}", "about:blank"]
    with start("chromium", arguments, folder, lambda: port_file.exists() and "\n" in port_file.read_text()):
        port = port_file.read_text().split()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as response:
                address = next(t["webSocketDebuggerUrl"] for t in await response.json() if t["type"] == "page")
            async with session.ws_connect(address, max_msg_size=2**26) as socket:
                tab = Tab(socket)
                listening = asyncio.create_task(tab.listen())
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await tab.call(f"{domain}.enable")
                await tab.look(size, scheme)
                await tab.call("Page.navigate", url=url)
                try:
                    await tab.until("document.readyState === 'complete' && location.protocol === 'http:'")
                    yield tab
                finally:
                    await socket.close()
                    await listening
