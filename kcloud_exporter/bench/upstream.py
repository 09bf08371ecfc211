"""Upstream: what a cycle asks of others, by way of asking: /federate, queries, or the exporters themselves.

A real Prometheus holds one cluster, scraped from the generated page; what it spends on our questions is read from
/proc. The same cluster is also read from its exporters directly. All three must come to the same watts.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from kcloud_exporter import catalogue
from kcloud_exporter.bench.exporters import exporters, targets
from kcloud_exporter.bench.memory import apart, cpu_seconds
from kcloud_exporter.bench.pages import cluster_series, series_per_node
from kcloud_exporter.bench.prometheus import post, prometheus, serving, until, value
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.config.schema import Config
from kcloud_exporter.exposition.page import PageStore
from kcloud_exporter.model import Snapshot
from kcloud_exporter.pipeline import Pipeline
from kcloud_exporter.pipeline.building import build_sources
from kcloud_exporter.sources.exporter import ExporterSource
from kcloud_exporter.sources.intake import Answered, Step
from kcloud_exporter.sources.prometheus import PrometheusSource
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.storage.counters import CounterStore
from kcloud_exporter.telemetry import Telemetry
from kcloud_exporter.vendors.loading import load_vendors

_LIMITS: Final = {"body_bytes": "2GiB", "series_per_source": 20_000_000}
_GLOBAL: Final = {"interval": "10m", "timeout": "5m", "max_staleness": "60m"}
"""What is scraped once must stay good for as long as is measured."""
_FRESH: Final = "--query.lookback-delta=2h"
_SMALL: Final = 20
"""Nodes that are scraped in less than a second on any machine."""
_WARM: Final = 2
"""Cycles before those that count: every series is new in the first."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One way of asking, per cycle. `prometheus_cpu_seconds` is None where no Prometheus is asked."""

    way: str
    series: int
    requests: int
    wire_bytes: int
    prometheus_cpu_seconds: float | None
    own_cpu_seconds: float
    watts: float

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return asdict(self)


def measure(series: int, cycles: int) -> list[Asked]:
    """The ways over a cluster of about `series` series; without a Prometheus on this machine, directly only.

    Raises RuntimeError when two ways do not come to the same watts.
    """
    nodes = max(round(series / series_per_node()), 1)
    count = nodes * series_per_node()
    found = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kcloud-bench-")))
        binary = shutil.which("prometheus")
        if binary is not None:
            with _holding(binary, folder, nodes) as (url, pid):
                for method in ("federate", "query"):
                    sources = [{"prometheus": {"url": url, "method": method}}]
                    found.append(apart(_asked, method, count, sources, cycles, pid))
        port = stack.enter_context(exporters(nodes))
        direct = [{"exporter": {"vendor": v, "targets": urls}} for v, urls in targets(nodes, port).items()]
        found.append(apart(_asked, "direct", count, direct, cycles, None))
    for each in found:
        if not math.isclose(each.watts, found[0].watts, rel_tol=1e-6):
            raise RuntimeError(f"{each.way} comes to {each.watts} W, {found[0].way} to {found[0].watts} W")
    return found


@contextmanager
def _holding(binary: str, folder: Path, nodes: int) -> Iterator[tuple[str, int]]:
    """A Prometheus that has scraped the whole cluster once and scrapes no more: its URL and process id."""
    described = cluster_series(nodes)
    # With a time of its own a sample does not end when it is scraped no more.
    now = round(time.time() * 1000)
    lines = [f"{key} {level:.6g} {now}\n" for key, level in zip(described.keys, described.levels, strict=True)]
    with serving("".join(lines).encode()) as target:
        configured = folder / "prometheus.yml"
        configured.write_text(_scraping(target, "1s" if nodes < _SMALL else "10s"))
        with prometheus(binary, folder, _FRESH) as (url, process):
            until(lambda: value(url, "scrape_samples_scraped") >= len(lines), "the page is scraped")
            configured.write_text(_scraping(target, "1h"))
            post(f"{url}/-/reload")
            until(lambda: value(url, 'count({job=~".+",job!="bench"})') >= len(lines), "all series are there")
            yield url, process.pid


def _scraping(target: str, interval: str) -> str:
    scrape = {
        "job_name": "bench",
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "honor_labels": True,
        "body_size_limit": 0,
        "static_configs": [{"targets": [target]}],
    }
    return yaml.safe_dump({"scrape_configs": [scrape]})


def _asked(way: str, series: int, sources: Sequence[dict[str, Any]], cycles: int, pid: int | None) -> Asked:
    """Whole cycles of the product in this process, and what they cost here and there."""
    told = {"global": _GLOBAL, "limits": _LIMITS, "clusters": [{"name": "bench", "sources": list(sources)}]}
    with tempfile.TemporaryDirectory(prefix="kcloud-bench-") as folder:
        return asyncio.run(_cycles(way, series, parse_config(told, {}), Path(folder), cycles, pid))


async def _cycles(way: str, series: int, config: Config, folder: Path, cycles: int, pid: int | None) -> Asked:
    vendors, telemetry = load_vendors(), Telemetry()
    sources, answers = build_sources(config, vendors), _Answers()
    for source in sources:
        if isinstance(source, PrometheusSource | ExporterSource):
            source.intake.tape = answers
    counters = Counters(CounterStore(folder), time.time())
    pipeline = Pipeline(config, vendors, sources, telemetry, counters=counters)
    rendered = PageStore(telemetry.exposition, time.time)
    own, theirs = [], 0.0
    for cycle in range(_WARM + cycles):
        if cycle == _WARM:
            answers.count, answers.bytes = 0, 0
            theirs = cpu_seconds(pid) if pid is not None else 0.0
        begun = time.process_time()
        snapshot = await pipeline.tick()
        await asyncio.to_thread(rendered.render, snapshot)
        own.append(time.process_time() - begun)
    spent = None if pid is None else (cpu_seconds(pid) - theirs) / cycles
    await pipeline.close()
    counters.close()
    return Asked(
        way=way,
        series=series,
        requests=round(answers.count / cycles),
        wire_bytes=round(answers.bytes / cycles),
        prometheus_cpu_seconds=spent,
        own_cpu_seconds=statistics.median(own[_WARM:]),
        watts=_watts(snapshot),
    )


class _Answers:
    """Counts answers and their bytes as they came over the wire, bodies only. Hears of them in the reading threads."""

    def __init__(self) -> None:
        self.count = self.bytes = 0
        self._lock = threading.Lock()

    def __call__(self, step: Step) -> None:
        if isinstance(step, Answered):
            with self._lock:
                self.count += 1
                self.bytes += len(step.fetched.raw)


def _watts(snapshot: Snapshot) -> float:
    table = snapshot.clusters["bench"].tables.get(catalogue.CLUSTER_POWER.name)
    return float(table.values.sum()) if table is not None else 0.0


WAYS: Final = {
    "federate": "Prometheus, method: federate",
    "query": "Prometheus, method: query",
    "direct": "the exporters directly",
}


def table(results: Sequence[Asked]) -> str:
    """The figures of one size to read."""
    series, watts = results[0].series, results[0].watts
    lines = [
        f"A cycle over {series:,} series, by way of asking; each comes to {watts / 1e3:,.0f} kW",
        "",
        f"  {'':<32}{'requests':>10}{'bytes on the wire':>20}{'CPU of Prometheus':>20}{'our CPU':>12}",
    ]
    for each in results:
        theirs = "-" if each.prometheus_cpu_seconds is None else f"{each.prometheus_cpu_seconds:.3f} s"
        asked = f"{each.requests:>10,}{each.wire_bytes:>20,}"
        lines.append(f"  {WAYS[each.way]:<32}{asked}{theirs:>20}{each.own_cpu_seconds:>10.3f} s")
    if len(results) < len(WAYS):
        lines += ["", "  no prometheus on this machine: only the exporters were asked"]
    return "\n".join(lines)
