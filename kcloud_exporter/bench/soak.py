"""Soak: the running program over one large cluster for many cycles: does its memory grow, and who waits meanwhile?

The program is `serve` as anybody starts it, with counters and history on disk; what it reads is served over HTTP as a
Prometheus would federate it, with values that move. While cycles run, small requests are asked one after the other.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np
from aiohttp import web

from kcloud_exporter.bench import pages
from kcloud_exporter.bench.measure import tell
from kcloud_exporter.bench.memory import cpu_seconds, resident
from kcloud_exporter.bench.printing import Printer

ASKED: Final = ("/api/v1/monitoring/power", "/-/ready", "/metrics?collect[]=cluster")
_ADDRESS: Final = re.compile(rb"http://127\.0\.0\.1:([0-9]+)/metrics")
_PAUSE: Final = 0.05
_PATIENCE: Final = 900.0
_CYCLE: Final = re.compile(rb"^kcloud_snapshot_timestamp_seconds (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Soak:
    """One run. Memory in MiB after each cycle; latencies in seconds of requests while cycles ran; CPU of all of it."""

    series: int
    churned: int
    interval_seconds: float
    cpu_seconds: float
    memory: list[float] = field(repr=False)
    latencies: list[float] = field(repr=False)

    @property
    def growth(self) -> float:
        """MiB in ten cycles: the slope of the last two thirds, by least squares."""
        kept = self.memory[len(self.memory) // 3 :]
        return float(np.polyfit(np.arange(len(kept)), kept, 1)[0]) * 10 if len(kept) > 1 else 0.0

    @property
    def most_by_third(self) -> list[float]:
        """The most memory, in MiB, in each third of the run: where pods come and go it moves, and must not climb."""
        return [float(np.max(third)) for third in np.array_split(self.memory, 3) if len(third)]

    def latency(self, part: float) -> float:
        """The latency that this part of the requests did not exceed."""
        return float(np.quantile(self.latencies, part)) if self.latencies else float("nan")

    def as_json(self) -> dict[str, Any]:
        """All figures, and those that are the point."""
        told = {key: value for key, value in asdict(self).items() if key not in ("memory", "latencies")}
        return {
            **told,
            "cycles": len(self.memory),
            "requests": len(self.latencies),
            "growth_mib_per_10_cycles": self.growth,
            "first_mib": self.memory[0],
            "last_mib": self.memory[-1],
            "most_mib": max(self.memory),
            "most_mib_by_third": self.most_by_third,
            "memory_mib": self.memory,
            "latency_seconds": {f"{part:g}": self.latency(part) for part in (0.5, 0.9, 0.99, 1.0)},
        }


def measure(series: int, cycles: int, interval: float, churn: float) -> Soak:
    """So many cycles of the running program over so many series; `churn`: the part of the pods that is new in each."""
    with Printer(max(1, round(series / pages.series_per_node()))) as printer:
        return asyncio.run(_measured(printer, cycles, interval, churn))


async def _measured(printer: Printer, cycles: int, interval: float, churn: float) -> Soak:
    with tempfile.TemporaryDirectory(prefix="kcloud-bench-") as folder:
        async with _upstream(printer, churn) as url, _serving(Path(folder), url, interval) as (pid, port):
            latencies: list[float] = []
            asking = asyncio.create_task(_ask(port, latencies))
            try:
                memory = await _cycles(port, pid, cycles)
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            cpu = cpu_seconds(pid)
    new = printer.replace_pods(churn, 10 * cycles) if churn else 0
    return Soak(printer.series, new, interval, cpu, memory, latencies)


@asynccontextmanager
async def _upstream(printer: Printer, churn: float) -> AsyncIterator[str]:
    """A /federate with pages that move; the next one is made while one is read, and shown as soon as it is there."""
    loop, count, page = asyncio.get_running_loop(), 0, b""

    def printed(number: int) -> bytes:
        if churn and number:
            printer.replace_pods(churn, number)
        return printer.page(number)

    following = loop.run_in_executor(None, printed, 0)

    async def federate(request: web.Request) -> web.Response:
        nonlocal following, count, page
        if not any("up" in match for match in request.query.getall("match[]", [])):
            return web.Response(body=b"", content_type="text/plain")
        if following.done() or not page:
            page = await following
            count += 1
            following = loop.run_in_executor(None, printed, count)
        return web.Response(body=page, headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"})

    app = web.Application()
    app.router.add_get("/federate", federate)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await following


@asynccontextmanager
async def _serving(folder: Path, url: str, interval: float) -> AsyncIterator[tuple[int, int]]:
    """`serve` over the upstream: (process id, port). Raises RuntimeError when it does not start."""
    config = {
        "global": {
            "interval": f"{1000 * interval:.0f}ms",
            "timeout": f"{900 * interval:.0f}ms",
            "max_staleness": f"{4000 * interval:.0f}ms",
        },
        "limits": {"body_bytes": "8GiB", "series_per_source": 20_000_000},
        "clusters": [{"name": "bench", "sources": [{"prometheus": {"url": url, "method": "federate"}}]}],
    }
    (folder / "kcloud-exporter.yaml").write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kcloud_exporter", "serve", "--config.file", str(folder / "kcloud-exporter.yaml")),
        *("--storage.path", str(folder / "data"), "--web.listen-address", "127.0.0.1:0", "--log.level", "error"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            while process.stdout is not None and (line := await process.stdout.readline()):
                if told := _ADDRESS.search(line):
                    yield process.pid, int(told[1])
                    return
        raise RuntimeError("kcloud-exporter serve did not start")
    finally:
        process.terminate()
        await process.wait()


async def _cycles(port: int, pid: int, cycles: int) -> list[float]:
    """Memory after each of so many cycles, from the first that has read all. Raises TimeoutError when none comes."""
    memory: list[float] = []
    last, stamp = "", ""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with asyncio.timeout(_PATIENCE):
            while b"kcloud_cluster_power_watts{" not in await _read(session, ASKED[2]):  # noqa: ASYNC110 - a process
                await asyncio.sleep(4 * _PAUSE)
        while len(memory) < cycles:
            async with asyncio.timeout(_PATIENCE):
                while stamp == last:
                    await asyncio.sleep(4 * _PAUSE)
                    found = _CYCLE.search(await _read(session, "/metrics?collect[]=snapshot"))
                    stamp = found[1].decode() if found else last
            last = stamp
            memory.append(resident(pid)[0])
            if len(memory) % 10 == 0 or len(memory) == cycles:
                tell(f"cycle {len(memory)} of {cycles}: {memory[-1]:,.0f} MiB")
    return memory


async def _read(session: aiohttp.ClientSession, path: str) -> bytes:
    async with session.get(path) as answer:
        return await answer.read()


async def _ask(port: int, latencies: list[float]) -> None:
    """Ask for something small again and again; how long each answer took."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for path in itertools.cycle(ASKED):
            begun = time.perf_counter()
            await _read(session, path)
            latencies.append(time.perf_counter() - begun)
            await asyncio.sleep(_PAUSE)


def table(soak: Soak) -> str:
    """The figures to read."""
    told = soak.as_json()
    new = f", {soak.churned:,} of them new in each" if soak.churned else ""
    what = f"{told['cycles']} cycles of {soak.series:,} source series{new}"
    figures = [f"  {name:<44}{figure}" for name, figure in _figures(soak, told)]
    return "\n".join([f"{what}, {soak.interval_seconds:g} s apart", "", *figures])


def _figures(soak: Soak, told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    first, last, most = told["first_mib"], told["last_mib"], told["most_mib"]
    yield "memory after the first and the last cycle", f"{first:,.0f} and {last:,.0f} MiB, at most {most:,.0f}"
    yield "the most in each third of the cycles", ", ".join(f"{each:,.0f}" for each in soak.most_by_third) + " MiB"
    yield "growth over the last two thirds", f"{soak.growth:+.2f} MiB in ten cycles"
    yield "CPU of the program, start included", f"{soak.cpu_seconds / len(soak.memory):.2f} s a cycle"
    half, most_of, longest = (f"{1000 * soak.latency(part):.1f} ms" for part in (0.5, 0.99, 1.0))
    yield f"{told['requests']:,} small requests meanwhile", f"p50 {half}, p99 {most_of}, longest {longest}"
