"""Fifty clusters, and whatever may hang, explode or stall beside them: what that costs the others, in figures.

`python -m tests.chaos.load` (`make load`). The exporter runs as a user runs it, the exporters of its clusters in a
process of their own. Each line of the table is one situation: how long /metrics took, how late the event loop was,
how much memory it took. It ends with 1 when a page was not had.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import multiprocessing
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx
import psutil
from aiohttp import web

from tests.chaos.run import FIGURES, samples_of, start
from tests.faults.clusters import config_of
from tests.real.programs import free_port

NAMES: Final = [f"c{n:02}" for n in range(50)]
DEVICES, METRICS = 250, 20
EXPLOSION, SERIES_LIMIT = 1_000_000, 200_000
_KNOWN: Final = ("POWER_USAGE", "GPU_TEMP", "GPU_UTIL", "FB_USED")
LAG: Final = "kcloud_exporter_event_loop_lag_seconds"


def page_of(cluster: str) -> bytes:
    """A DCGM page: some metrics that are known, and many that are not."""
    names = [*_KNOWN, *(f"X{n}" for n in range(METRICS - len(_KNOWN)))]
    return "".join(
        f'DCGM_FI_DEV_{name}{{gpu="{n % 8}",UUID="GPU-{cluster}-{n}",device="nvidia{n % 8}",modelName="NVIDIA H100",'
        f'Hostname="{cluster}-n{n // 8}"}} {40 + n % 50}\n'
        for name in names
        for n in range(DEVICES)
    ).encode()


def bomb() -> bytes:
    """2 GiB of nothing, as gzip."""
    packer, block = zlib.compressobj(9, wbits=31), bytes(64 << 20)
    return b"".join([*(packer.compress(block) for _ in range(32)), packer.flush()])


def serve(port: int) -> None:
    """The exporters of all clusters: /NAME; /set/NAME/MODE makes one good, hang, explode or send a bomb."""
    pages = {name: page_of(name) for name in NAMES}
    modes = dict.fromkeys(NAMES, "good")
    prepared: dict[str, bytes] = {}

    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        headers = {"Content-Type": "text/plain; version=0.0.4"}
        if modes[name] == "hang":
            await asyncio.sleep(3600)
        if modes[name] == "bomb":
            return web.Response(body=prepared["bomb"], headers=headers | {"Content-Encoding": "gzip"})
        return web.Response(body=prepared["explode"] if modes[name] == "explode" else pages[name], headers=headers)

    async def change(request: web.Request) -> web.StreamResponse:
        name, mode = request.match_info["name"], request.match_info["mode"]
        if mode == "bomb":
            prepared[mode] = bomb()
        if mode == "explode":
            prepared[mode] = b"".join(b'DCGM_FI_DEV_POWER_USAGE{UUID="%d"} 1\n' % n for n in range(EXPLOSION))
        modes[name] = mode
        return web.Response()

    app = web.Application()
    app.router.add_get("/{name}", answer)
    app.router.add_get("/set/{name}/{mode}", change)
    web.run_app(app, host="127.0.0.1", port=port, print=None, handle_signals=False)


class Program:
    """The exporter under test and what is measured of it."""

    def __init__(self, port: int, upstream: int, process: asyncio.subprocess.Process) -> None:
        self.url, self.port = f"http://127.0.0.1:{port}", port
        self._upstream, self.process = f"http://127.0.0.1:{upstream}", psutil.Process(process.pid)
        self.not_had = 0

    async def set(self, mode: str, *names: str) -> None:
        """These clusters behave like this from now on."""
        async with httpx.AsyncClient(trust_env=False, timeout=120) as client:
            for name in names:
                (await client.get(f"{self._upstream}/set/{name}/{mode}")).raise_for_status()

    async def page(self) -> dict[str, float]:
        """The page without its many rows."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            return samples_of((await client.get(f"{self.url}/metrics?collect[]=source&collect[]=snapshot")).text)

    async def size(self) -> int:
        """Bytes of the whole page."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.get(f"{self.url}/metrics", headers={"Accept-Encoding": "identity"})
            return len(answer.content)

    async def failures(self, cluster: str) -> Counter[str]:
        """Reason → how often a cluster failed."""
        start = f'kcloud_source_failures_total{{cluster="{cluster}"'
        found = {s.split('reason="')[1].split('"')[0]: int(v) for s, v in (await self.page()).items() if start in s}
        return Counter(found)

    async def measured(self, seconds: float, rate: float, path: str = "/metrics") -> str:
        """Ask for the page at this rate, and tell how that was."""
        before, took, memory, size = await self.page(), [], [self.process.memory_info().rss], 0
        base = memory[0]
        began = time.monotonic()

        async def ask(client: httpx.AsyncClient) -> None:
            nonlocal size
            asked = time.perf_counter()
            try:
                answer = await client.get(f"{self.url}{path}", headers={"Accept-Encoding": "gzip"})
                size = int(answer.headers.get("Content-Length", 0))
                self.not_had += answer.status_code != 200
            except httpx.HTTPError:
                self.not_had += 1
            took.append(time.perf_counter() - asked)

        async with httpx.AsyncClient(trust_env=False, timeout=60) as client, asyncio.TaskGroup() as group:
            while time.monotonic() < began + seconds:
                group.create_task(ask(client))
                memory.append(self.process.memory_info().rss)
                await asyncio.sleep(1 / rate)
        after = await self.page()
        took.sort()
        return (
            f"{len(took):4} pages of {size / 2**20:.1f} MiB (gzip): p50 {1000 * took[len(took) // 2]:.0f} ms, "
            f"p99 {1000 * took[int(0.99 * (len(took) - 1))]:.0f} ms; loop lag {lag(before, after)}; "
            f"memory {base / 2**20:.0f} MiB, +{(max(memory) - base) / 2**20:.0f}"
        )


def lag(before: dict[str, float], after: dict[str, float]) -> str:
    """The bounds below which 99 of 100 looks, and all looks, found the loop's lag between two pages."""
    counts = {
        float(series.split('le="')[1].split('"')[0].replace("+Inf", "inf")): value - before[series]
        for series, value in after.items()
        if series.startswith(f"{LAG}_bucket")
    }
    total = max(counts.values())
    p99 = min(bound for bound, count in counts.items() if count >= 0.99 * total)
    most = min(bound for bound, count in counts.items() if count >= total)
    tell = [f"{1000 * bound:.0f} ms" if math.isfinite(bound) else "more than 2.5 s" for bound in (p99, most)]
    return f"p99 at most {tell[0]}, all at most {tell[1]} of {total:.0f}"


@contextlib.asynccontextmanager
async def slow_clients(port: int, loris: int, stalled: int, idle: int) -> AsyncIterator[None]:
    """Clients that drip, clients that ask for the page and never read it, clients that say nothing."""
    open_ = [await asyncio.open_connection("127.0.0.1", port, limit=1024) for _ in range(loris + stalled + idle)]
    for _, writer in open_[:loris]:
        writer.write(b"GET /metrics HTTP/1.1\r\nX-a: ")
    for _, writer in open_[loris : loris + stalled]:
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")

    async def drip() -> None:
        while True:
            for _, writer in open_[:loris]:
                if not writer.is_closing():
                    writer.write(b"b")
            await asyncio.sleep(0.5)

    task = asyncio.create_task(drip())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for _, writer in open_:
            writer.transport.abort()


async def run(seconds: float) -> tuple[list[str], int]:
    """All situations, each for so many seconds."""
    upstream, port, lines = free_port(), free_port(), []

    def told(name: str, text: str) -> None:
        lines.append(f"{name:<26} {text}")
        print(lines[-1], flush=True)

    served = multiprocessing.get_context("spawn").Process(target=serve, args=(upstream,), daemon=True)
    served.start()
    with tempfile.TemporaryDirectory(prefix="load-") as name:
        folder = Path(name)
        config = config_of({each: f"http://127.0.0.1:{upstream}/{each}" for each in NAMES}, timeout="4s")
        config["global"] |= {"interval": "15s", "max_staleness": "45s"}
        config["limits"] = {"series_per_source": SERIES_LIMIT}
        (folder / "c.yaml").write_text(json.dumps(config), encoding="utf-8")
        process = await start(folder, port)
        program = Program(port, upstream, process)
        try:
            await asyncio.sleep(20)
            raw = await program.size()
            told("the page", f"{raw / 2**20:.1f} MiB of {len(NAMES)} clusters of {DEVICES * METRICS} series each")
            told("nothing is wrong", await program.measured(seconds, 10))
            for count in (1, 10, 25):
                await program.set("hang", *NAMES[:count])
                told(f"{count} of 50 hang", await program.measured(seconds, 10))
            await program.set("good", *NAMES)
            await asyncio.sleep(40)
            async with slow_clients(port, 300, 4, 150):
                told("slow: 300 drip, 4 stall", await program.measured(15, 4))
            for mode, what in (("bomb", "gzip bomb of 2 GiB"), ("explode", "1,000,000 series in one")):
                before = await program.failures(NAMES[0])
                await program.set(mode, NAMES[0])
                told(what, await program.measured(max(40, seconds), 10, "/-/healthy"))
                told("", f"told of that cluster: {dict(await program.failures(NAMES[0]) - before)}")
                await program.set("good", NAMES[0])
                await asyncio.sleep(35)
            page = await program.page()
            dropped = {
                s.split('"')[1]: int(v) for s, v in page.items() if "connections_dropped_total" in s and "{" in s
            }
            told("connections dropped", ", ".join(f"{reason} {count}" for reason, count in dropped.items()))
            told("pages not had", str(program.not_had))
        finally:
            process.terminate()
            await process.wait()
            served.kill()
    return lines, program.not_had


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each situation (default 40)")
    parser.add_argument("--write", action="store_true", help="keep the table in tests/chaos/figures")
    arguments = parser.parse_args()
    lines, not_had = asyncio.run(run(arguments.seconds))
    if arguments.write:
        (FIGURES / "load.json").write_text(json.dumps({"table": lines}, indent=1) + "\n", encoding="utf-8")
    return 1 if not_had else 0


if __name__ == "__main__":
    sys.exit(main())
