"""History of the running program: a simulated fleet, ticking; what was on the page is what history answers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from kcloud_exporter import app
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.history.embedded import FileReader
from kcloud_exporter.model import Snapshot
from kcloud_exporter.options import ServeOptions

OPTIONS = ServeOptions(None, "127.0.0.1", 0, None, enable_lifecycle=False, allow_unauthenticated=False,
                       storage_path=None, log_level="info", log_format="logfmt")  # fmt: skip


def energy(snapshot: Snapshot, cluster: str, family: str) -> dict[tuple[str, ...], float]:
    table = snapshot.clusters[cluster].tables[family]
    return dict(zip(table.keys.rows, table.values.tolist(), strict=False))


async def test_joules_of_history_are_those_of_the_page_at_every_level(tmp_path: Path) -> None:
    async with Fleet(FleetSpec(frozen=True)) as fleet:
        config = parse_config(fleet.kcloud_config("exporter", interval="60s"), {})
        begun = time.time()
        async with app.running(config, lambda: config, OPTIONS, tmp_path) as (runtime, _):
            seen = [runtime.store.current]
            for _ in range(4):
                await asyncio.sleep(0.2)
                await runtime.tick()
                seen.append(runtime.store.current)
    snapshots = [snapshot for snapshot in seen if snapshot is not None]
    assert len(snapshots) == 5
    reader = FileReader(tmp_path / "history")
    levels = ("accelerator", "node", "pod", "namespace", "cluster")
    total = 0.0
    for level in levels:
        name = f"kcloud_{level}_energy_joules_total"
        for cluster in snapshots[-1].clusters:
            after = energy(snapshots[-1], cluster, name)
            first: dict[tuple[str, ...], float] = {}
            for snapshot in reversed(snapshots):
                first |= energy(snapshot, cluster, name)
            joules = await reader.increase(name, {"cluster": cluster}, begun - 60, time.time())
            came = dict(zip(joules.labels, joules.values.tolist(), strict=True))
            assert came.keys() == after.keys()
            for labels, value in after.items():
                assert came[labels] == pytest.approx(value - first[labels], rel=1e-9)
                total += came[labels]
    assert total > 0
    power = await reader.series("kcloud_site_it_power_watts", {}, begun - 60, begun + 60, 60)
    assert power.labels
