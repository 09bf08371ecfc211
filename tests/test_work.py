"""Work per energy in the running program, against a fleet whose model servers' tokens are known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kcloud_exporter.config.load import parse_config
from kcloud_exporter.errors import ConfigError
from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.runtime import Runtime
from tests.test_runtime import Running

Counts = dict[tuple[str, str, str, str], float]


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with Fleet(FleetSpec(frozen=True)) as running:
        yield running


def true_counts(fleet: Fleet) -> Counts:
    return {
        (cluster, server["namespace"], server["pod"], unit): count
        for cluster, seen in fleet.truth(time.time())["clusters"].items()
        for server in seen["work_units"]
        for unit, count in server["units"].items()
    }


def shown(page: dict[str, float]) -> Counts:
    return {
        tuple(part.split('"')[1] for part in series.split(",")): value  # type: ignore[misc]
        for series, value in page.items()
        if series.startswith("kcloud_work_units_total{")
    }


async def bracketed(fleet: Fleet, it: Running) -> tuple[Counts, Counts]:
    """One cycle, and the truth just before and just after it."""
    before = true_counts(fleet)
    await it.runtime.tick()
    return before, true_counts(fleet)


async def test_tokens_on_the_page_are_those_that_were_generated_and_a_restart_loses_none(
    fleet: Fleet, tmp_path: Path
) -> None:
    it = Running(fleet, tmp_path, "10s")
    first = await bracketed(fleet, it)
    await asyncio.sleep(0.3)
    last = await bracketed(fleet, it)
    counted = shown(await it.page())
    await it.close()
    assert counted.keys() == last[0].keys()
    for key, units in counted.items():
        assert last[0][key] - first[1][key] <= units <= last[1][key] - first[0][key]
    assert min(counted.values()) > 0

    await asyncio.sleep(0.3)
    again = Running(fleet, tmp_path, "10s")
    last = await bracketed(fleet, again)
    counted = shown(await again.page())
    await again.close()
    for key, units in counted.items():
        assert last[0][key] - first[1][key] <= units <= last[1][key] - first[0][key]


async def test_a_reload_that_changes_the_cluster_counts_nothing_twice(fleet: Fleet) -> None:
    it = Running(fleet, interval="10s")
    first = await bracketed(fleet, it)
    it.data["clusters"][1]["labels"] = {"region": "elsewhere"}
    assert await it.runtime.reload() == []
    await asyncio.sleep(0.2)
    last = await bracketed(fleet, it)
    counted = shown(await it.page())
    await it.close()
    for key, units in counted.items():
        assert last[0][key] - first[1][key] <= units <= last[1][key] - first[0][key]


async def test_joules_per_token_are_the_namespaces_energy_over_its_tokens(fleet: Fleet) -> None:
    it = Running(fleet, interval="10s")
    await it.runtime.tick()
    for _ in range(4):
        await asyncio.sleep(0.2)
        await it.runtime.tick()
    page = await it.page()
    await it.close()
    counted = shown(page)
    for cluster in ("seoul-a", "seoul-b", "busan-a"):
        of = f'cluster="{cluster}",namespace="serving"'
        joules = sum(v for s, v in page.items() if s.startswith("kcloud_namespace_energy_joules_total{" + of))
        units = sum(v for key, v in counted.items() if key[0] == cluster and key[3] == "token")
        assert page[f'kcloud_namespace_energy_per_work_joules{{{of},unit="token"}}'] == pytest.approx(joules / units)


async def test_a_series_that_a_vendor_table_reads_is_no_counter_of_work(fleet: Fleet) -> None:
    data: dict[str, Any] = fleet.kcloud_config()
    data["work_units"] = [{"unit": "x", "metric": "DCGM_FI_DEV_POWER_USAGE"}]
    config = parse_config(data, {})
    with pytest.raises(ConfigError) as caught:
        Runtime(config, lambda: config)
    (told,) = caught.value.problems
    assert told.startswith("work_units.0.metric: 'DCGM_FI_DEV_POWER_USAGE' is what the vendor table dcgm reads")
