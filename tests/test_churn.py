"""Pods come and go for hundreds of cycles: memory stays with what lives, and no counter loses a joule for it."""

from __future__ import annotations

from aiohttp import web

from kcloud_exporter.clocks import Clocks
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.pipeline import COMPACT_EVERY, Pipeline
from kcloud_exporter.pipeline.building import build_sources
from kcloud_exporter.sources.base import FORGET_AFTER
from kcloud_exporter.storage.books import Counters
from kcloud_exporter.telemetry import Telemetry
from kcloud_exporter.vendors.loading import load_vendors

PODS, CYCLES = 300, 405
NODE = 'kepler_node_cpu_watts{node_name="n1",path="p",zone="package"} 900\n'
POD = 'kepler_pod_cpu_watts{{node_name="n1",pod_id="{0}",pod_name="p{0}",pod_namespace="a",state="running",'
POD += 'zone="package"}} 2\n'


class Exporter:
    """A Kepler whose pods are replaced a few at a time."""

    def __init__(self) -> None:
        self.first = 0

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=NODE + "".join(POD.format(n) for n in range(self.first, self.first + PODS)))


async def test_churned_pods_leave_nothing_behind() -> None:
    exporter, app = Exporter(), web.Application()
    app.router.add_get("/metrics", exporter.page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    config = parse_config(
        {
            "clusters": [
                {
                    "name": "c",
                    "sources": [{"exporter": {"vendor": "kepler", "targets": [f"http://127.0.0.1:{port}/metrics"]}}],
                }
            ]
        },
        {},
    )
    vendors, clock = load_vendors(), iter(range(10**6))
    (source,) = build_sources(config, vendors)
    pipeline = Pipeline(
        config,
        vendors,
        [source],
        Telemetry(),
        counters=Counters(None, 0.0),
        clocks=Clocks(lambda: 1e9 + 15.0 * pipeline.cycles, lambda: 15.0 * next(clock)),
    )
    most_rows, most_keys, namespace = 0, 0, 0.0
    for _ in range(CYCLES):
        exporter.first += 15
        snapshot = await pipeline.tick()
        tables = snapshot.clusters["c"].tables
        pods = tables["kcloud_pod_power_watts"].values
        assert int((pods == 2).sum()) == PODS
        joules = float(tables["kcloud_namespace_energy_joules_total"].values.max())
        assert joules >= namespace
        namespace = joules
        most_keys = max(most_keys, len(tables["kcloud_pod_power_watts"].keys))
        most_rows = max(most_rows, len(source.intake.table))
    await pipeline.close()
    await runner.cleanup()

    seen = PODS + 15 * CYCLES
    told = PODS + 15 * (COMPACT_EVERY + FORGET_AFTER + 1) + 1000
    assert most_rows < told < seen, "a compaction drops what is dead, if that is more than 1,000"
    assert most_keys < 2 * (told + 1000) < seen, "a rebuild drops who has ended, if they are 1,000 more than the others"
    assert namespace == PODS * 2 * 15.0 * (CYCLES - 1), "ended pods stay in their namespace"
