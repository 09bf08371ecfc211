"""Faults at random between a simulated fleet and the exporter, for minutes or hours, and a table of what was seen.

`python -m tests.chaos.run --seconds 120 --seed 1` (`make chaos`), or with `--kill-every 0` and a long time
(`make soak`). The exporter runs as a user runs it and is killed (-9) now and then. It ends with 1 when a counter has
fallen, a page was not had, or the log holds a defect.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from kcloud_exporter.fleet import Fleet, FleetSpec
from tests.faults.proxy import NONE, Fault, FaultProxy
from tests.real.programs import free_port

FIGURES: Final = Path(__file__).parent / "figures"
FAULTS: Final[dict[str, Fault]] = {
    "latency": Fault(latency=0.2, jitter=0.3),
    "bandwidth": Fault(bandwidth=50_000),
    "drip": Fault(drip=(100, 0.05)),
    "cut": Fault(cut_after=700),
    "reset": Fault(reset_after=700),
    "half_close": Fault(half_close_after=700),
    "black_hole": Fault(black_hole=True),
    "corrupt": Fault(corrupt_at=400),
}


@dataclass
class Seen:
    """What the reader of /metrics has seen."""

    pages: int = 0
    refused: int = 0
    kills: int = 0
    fell: list[str] = field(default_factory=list)
    counters: dict[str, float] = field(default_factory=dict)
    before: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    gaps: dict[str, float] = field(default_factory=dict)
    memory: list[tuple[float, float]] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


def samples_of(page: str) -> dict[str, float]:
    """Series → value."""
    lines = (line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, value in lines}


async def start(folder: Path, port: int) -> asyncio.subprocess.Process:
    """The exporter, ready."""
    command = [sys.executable, "-m", "kcloud_exporter", "serve", "--config.file", str(folder / "c.yaml")]
    command += ["--storage.path", str(folder / "data"), "--web.listen-address", f"127.0.0.1:{port}"]
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
        while process.returncode is None:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"http://127.0.0.1:{port}/-/ready")).status_code == 200:
                    return process
            await asyncio.sleep(0.1)
    raise RuntimeError((folder / "log").read_text())


async def disturb(proxies: list[FaultProxy], source: random.Random, *, each: float) -> None:
    """From time to time another fault somewhere, and an end of it; now and then one refuses altogether."""
    while True:
        proxy = source.choice(proxies)
        name = source.choice([*FAULTS, "refuse"])
        if name == "refuse":
            await proxy.refuse()
        else:
            proxy.fault = FAULTS[name]
        await asyncio.sleep(each * source.uniform(0.5, 1.5))
        proxy.fault = NONE
        if name == "refuse":
            await proxy.listen()


async def look(port: int, process: asyncio.subprocess.Process, seen: Seen, began: float) -> None:
    """One look at the page and at the process."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        asked = time.perf_counter()
        try:
            answer = await client.get(f"http://127.0.0.1:{port}/metrics")
        except httpx.HTTPError:
            seen.refused += 1
            return
    seen.latencies.append(time.perf_counter() - asked)
    if answer.status_code != 200:
        seen.refused += 1
        return
    seen.pages += 1
    page = samples_of(answer.text)
    for series, value in page.items():
        if "joules_total" in series:
            if value < seen.counters.get(series, 0.0) - 1e-9:
                seen.fell.append(series)
            seen.counters[series] = value
        if series.startswith("kcloud_energy_gap_seconds_total"):
            seen.gaps[series] = value
    now: Counter[str] = Counter()
    for series, value in page.items():
        if series.startswith("kcloud_source_failures_total"):
            now[series.split('reason="')[1].split('"')[0]] += int(value)
    seen.reasons = now + seen.before
    seen.rejected = Counter()
    for series, value in page.items():
        if series.startswith("kcloud_samples_rejected_total"):
            seen.rejected[series.split('reason="')[1].split('"')[0]] += int(value)
    running = psutil.Process(process.pid)
    seen.memory.append((time.monotonic() - began, running.memory_info().rss / 2**20))
    seen.files.append(running.num_fds())
    seen.threads.append(running.num_threads())


def slope(points: list[tuple[float, float]]) -> float:
    """Theil and Sen's slope per hour, of the second half: the first one fills caches."""
    late = points[len(points) // 2 :][:: max(1, len(points) // 400)]
    slopes = [(b - y) / (t - s) * 3600 for n, (s, y) in enumerate(late) for t, b in late[n + 1 :] if t > s]
    return statistics.median(slopes) if slopes else 0.0


async def run(seconds: float, seed: int, kill_every: float) -> tuple[Seen, Counter[str], list[str]]:
    """The whole: what was seen, the faults that happened, and the log's defects."""
    source, seen = random.Random(seed), Seen()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        async with Fleet(FleetSpec(seed=seed)) as fleet, contextlib.AsyncExitStack() as stack:
            config: dict[str, Any] = fleet.kcloud_config("exporter", interval="1s")
            proxies: list[FaultProxy] = []
            for cluster in config["clusters"]:
                for entry in cluster["sources"]:
                    exporter = entry["exporter"]
                    for at, url in enumerate(exporter["targets"]):
                        place = httpx.URL(url)
                        proxy = FaultProxy(place.host, place.port or 80, seed=seed, address=place.host)
                        proxies.append(await stack.enter_async_context(proxy))
                        exporter["targets"][at] = str(place.copy_with(port=proxy.port))
            (folder / "c.yaml").write_text(json.dumps(config), encoding="utf-8")
            port, began = free_port(), time.monotonic()
            process = await start(folder, port)
            tasks = [asyncio.create_task(disturb(proxies, source, each=4.0)) for _ in range(max(2, len(proxies) // 5))]
            killed = began
            try:
                while time.monotonic() < began + seconds:
                    await asyncio.sleep(1)
                    await look(port, process, seen, began)
                    if kill_every and time.monotonic() - killed > kill_every:
                        process.kill()
                        await process.wait()
                        seen.before, seen.kills = seen.reasons.copy(), seen.kills + 1
                        process, killed = await start(folder, port), time.monotonic()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                process.terminate()
                await process.wait()
            faults = Counter(str(each.kind) for proxy in proxies for each in proxy.injected)
            log = (folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()
    return seen, faults, [line for line in log if "level=error" in line or line.startswith("Traceback")]


def table(seconds: float, seed: int, seen: Seen, faults: Counter[str], defects: list[str]) -> list[str]:
    """What is printed at the end."""

    def told(counts: Counter[str]) -> str:
        return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none"

    worst = sorted(seen.latencies)[int(0.99 * len(seen.latencies))] if seen.latencies else 0.0
    rows = {
        "time": f"{seconds:.0f} s, seed {seed}",
        "faults injected": told(faults),
        "failures told": told(seen.reasons),
        "samples rejected": told(seen.rejected),
        "kill -9": str(seen.kills),
        "pages read": f"{seen.pages}, not had {seen.refused}, p99 {1000 * worst:.0f} ms",
        "counters watched": f"{len(seen.counters)}, fell {len(seen.fell)}",
        "gaps told": f"{sum(seen.gaps.values()):.1f} s in {sum(v > 0 for v in seen.gaps.values())} clusters",
        "memory": f"{min(m for _, m in seen.memory):.0f} to {max(m for _, m in seen.memory):.0f} MiB, "
        f"{slope(seen.memory):+.1f} MiB/h in the second half",
        "open files": f"{min(seen.files)} to {max(seen.files)}",
        "threads": f"{min(seen.threads)} to {max(seen.threads)}",
        "defects in the log": str(len(defects)),
    }
    return [f"{name:<20} {value}" for name, value in rows.items()]


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kill-every", type=float, default=20.0, help="seconds between kills; 0: none")
    parser.add_argument("--write", help="keep the table under this name in tests/chaos/figures")
    arguments = parser.parse_args()
    seen, faults, defects = asyncio.run(run(arguments.seconds, arguments.seed, arguments.kill_every))
    lines = table(arguments.seconds, arguments.seed, seen, faults, defects)
    print("\n".join([*lines, *defects[:5], *seen.fell[:5]]))
    if arguments.write:
        FIGURES.mkdir(exist_ok=True)
        (FIGURES / f"{arguments.write}.json").write_text(
            json.dumps({"table": lines}, indent=1) + "\n", encoding="utf-8"
        )
    return 1 if seen.fell or seen.refused or defects else 0


if __name__ == "__main__":
    sys.exit(main())
