"""Fifty clusters, of which some are ill: the others do not wait, and not one byte of theirs changes."""

from __future__ import annotations

import asyncio
import os
import time

import pytest
from aiohttp import web

from tests.faults.bodies import FAILING, REJECTING
from tests.faults.clusters import Answer, answering, config_of, lines_of, page_of, runtime_of, samples, served, timeless
from tests.sources.servers import for_ever, talking

NAMES = [f"c{n:02}" for n in range(50)]
SERIES = int(os.environ.get("KCLOUD_TEST_SERIES", "100000"))
"""Of one cluster that explodes. The long form is a million."""

ALL = "KCLOUD_TEST_ALL" in os.environ
"""Every poison, and not only one for each reason."""


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("hanging", [1, 10, 25])
async def test_the_others_are_fresh_in_every_cycle_and_wait_for_the_hanging_ones_once(hanging: int) -> None:
    ill = set(NAMES[::2][:hanging])
    timeout = 3
    async with served(dict.fromkeys(ill, hang)) as url:
        data = config_of({name: f"{url}/{name}" for name in NAMES}, timeout=f"{timeout}s")
        async with runtime_of(data) as runtime:
            tasks = []
            for cycle in range(4):
                began = time.monotonic()
                await runtime.tick()
                took = time.monotonic() - began
                page = samples(await lines_of(runtime))
                tasks.append(len(asyncio.all_tasks()))
                stamp = page["kcloud_snapshot_timestamp_seconds"]
                for name in NAMES:
                    up = page.get(f'kcloud_source_up{{cluster="{name}",source="dcgm"}}')
                    power = page.get(f'kcloud_cluster_power_watts{{cluster="{name}",component="gpu"}}')
                    if name in ill:
                        assert power is None
                        assert up in (0, None)
                        continue
                    assert up == 1
                    assert power is not None
                    last = page[f'kcloud_source_last_success_timestamp_seconds{{cluster="{name}",source="dcgm"}}']
                    assert last == stamp, "read in this very cycle"
                if cycle:
                    assert took < timeout, "nobody waits for one that hung before"
            assert tasks[-1] <= tasks[1], "questions to the hanging ones do not pile up"
            failures = {s for s in page if s.startswith("kcloud_source_failures_total")}
            assert {s.split('reason="')[1] for s in failures} == {'timeout"}'}
            assert len(failures) == hanging


async def test_one_poisoned_cluster_changes_not_one_byte_of_the_other_forty_nine() -> None:
    """Every poison in turn, in one running program; the control is the same program before the first of them."""
    ill = NAMES[25]
    chosen = FAILING if ALL else {reason: (answer, reason) for answer, reason in FAILING.values()}
    poisons: list[tuple[Answer, str]] = list(chosen.values())
    for text, reason in REJECTING.values():
        extra = text.replace("%s", ill).encode("utf-8", "surrogateescape")
        poisons.append((answering(page_of(ill) + extra), reason))
    special: dict[str, Answer] = {}
    quoted = f'cluster="{ill}"'

    async with served(special) as url:
        data = config_of({name: f"{url}/{name}" for name in NAMES}, limits={"body_bytes": "8MiB"})
        data["limits"]["series_per_source"] = 4000
        async with runtime_of(data) as runtime:

            async def told_and_others(reason: str) -> tuple[float, list[str]]:
                await runtime.tick()
                lines = await lines_of(runtime)
                mine = samples([line for line in lines if quoted in line and f'reason="{reason}"' in line])
                return sum(mine.values()), [line for line in timeless(lines) if quoted not in line]

            _, control = await told_and_others("none")
            assert len(control) > 49 * 8
            for poison, reason in poisons:
                before, _ = await told_and_others(reason)
                special[ill], now = poison, before
                async with asyncio.timeout(30):
                    while now <= before:  # one that failed before is asked, but not waited for
                        now, others = await told_and_others(reason)
                        assert others == control, reason


async def test_a_cluster_whose_series_explode_is_told_and_costs_the_others_nothing() -> None:
    explosion = b"".join(b'DCGM_FI_DEV_POWER_USAGE{gpu="%d",UUID="GPU-%d"} 1\n' % (n, n) for n in range(SERIES))
    special: dict[str, Answer] = {}
    async with served(special) as url:
        data = config_of({name: f"{url}/{name}" for name in NAMES[:5]}, timeout="4s")
        data["limits"] = {"series_per_source": SERIES // 10}
        async with runtime_of(data) as runtime:
            await runtime.tick()
            before = [line for line in timeless(await lines_of(runtime)) if 'cluster="c00"' not in line]
            special["c00"] = answering(explosion)
            for _ in range(3):
                await runtime.tick()
            lines = await lines_of(runtime)
    assert [line for line in timeless(lines) if 'cluster="c00"' not in line] == before
    page = samples(lines)
    assert page['kcloud_source_failures_total{cluster="c00",source="dcgm",reason="series_limit"}'] >= 1
    assert sum('cluster="c00"' in series for series in page) < 100


async def test_the_event_loop_turns_while_a_large_page_is_read() -> None:
    """Whatever takes CPU is done elsewhere: a probe on the loop never waits for as long as the page takes."""
    large = answering(page_of("c00", devices=40_000))
    async with served({"c00": large}) as url:
        data = config_of({"c00": f"{url}/c00"}, timeout="4s")
        data["global"] = {"interval": "60s", "timeout": "50s", "max_staleness": "120s"}
        async with runtime_of(data) as runtime:
            lags: list[float] = []

            async def probe() -> None:
                while True:
                    began = time.perf_counter()
                    await asyncio.sleep(0.002)
                    lags.append(time.perf_counter() - began - 0.002)

            task = asyncio.create_task(probe())
            began = time.perf_counter()
            await runtime.tick()
            took = time.perf_counter() - began
            task.cancel()
            page = await lines_of(runtime)
    assert sum(line.startswith("kcloud_accelerator_power_watts") for line in page) == 40_000
    assert max(lags) < took / 2
    assert len(lags) > 20


async def test_a_dead_upstream_is_not_asked_more_than_once_a_cycle() -> None:
    """No storm: one attempt each cycle, whatever the answer, and no retry within it."""
    asked: list[str] = []

    async def refuse(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=503, headers={"Retry-After": "1"})

    async with served({"a": refuse}) as url, runtime_of(config_of({"a": f"{url}/a"})) as runtime:
        for _ in range(5):
            await runtime.tick()
    assert asked == ["/a"] * 5


async def test_forty_nine_of_fifty_are_dead_at_the_start_and_the_one_is_served() -> None:
    async with talking(for_ever) as hole, served() as url:
        targets = {name: f"{hole.url}/{name}" for name in NAMES[1:]} | {"c00": f"{url}/c00"}
        async with runtime_of(config_of(targets)) as runtime:
            await runtime.tick()
            page = samples(await lines_of(runtime))
    assert page['kcloud_cluster_power_watts{cluster="c00",component="gpu"}'] > 0
    ups = [v for s, v in page.items() if s.startswith("kcloud_source_up")]
    assert sorted(ups) == [0.0] * 49 + [1.0]


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_an_hour_wrong_is_told_and_moves_no_joule(hours: int) -> None:
    """Two clusters that differ in nothing but the times that their samples carry."""
    names = ("right", "wrong")

    async def answer(request: web.Request) -> web.Response:
        ahead = 3600 * hours * (request.path == "/wrong")
        stamp = int(1000 * (time.time() + ahead))
        page = page_of("same").decode().replace("\n", f" {stamp}\n").replace(f"gauge {stamp}", "gauge")
        return web.Response(text=page, content_type="text/plain")

    async with served(dict.fromkeys(names, answer)) as url:
        data = config_of({name: f"{url}/{name}" for name in names})
        async with runtime_of(data) as runtime:
            for _ in range(3):
                await runtime.tick()
                await asyncio.sleep(0.2)
            page = samples(await lines_of(runtime))
    skew = {name: page[f'kcloud_source_clock_skew_seconds{{cluster="{name}",source="dcgm"}}'] for name in names}
    assert abs(skew["right"]) < 60
    assert abs(skew["wrong"] - 3600 * hours) < 60
    for family in ("kcloud_cluster_power_watts", "kcloud_cluster_energy_joules_total"):
        right, wrong = (page[f'{family}{{cluster="{name}",component="gpu"}}'] for name in names)
        assert right == wrong > 0, family
    assert page['kcloud_energy_gap_seconds_total{cluster="wrong"}'] == 0


async def test_an_exporter_that_renames_its_metrics_is_seen() -> None:
    """An upgrade at work: the answers are good, but what they hold has names that no table knows."""
    special: dict[str, Answer] = {}
    async with served(special) as url:
        data = config_of({"a": f"{url}/a"})
        data["global"] |= {"interval": "1s", "timeout": "900ms", "max_staleness": "1s"}
        async with runtime_of(data) as runtime:
            await runtime.tick()
            before = samples(await lines_of(runtime))
            special["a"] = answering(page_of("a").replace(b"DCGM_FI_DEV_POWER_USAGE", b"DCGM_FI_DEV_POWER_NOW"))
            await asyncio.sleep(1.1)
            await runtime.tick()
            after = samples(await lines_of(runtime))
    known, up = 'kcloud_source_samples{cluster="a",source="dcgm"}', 'kcloud_source_up{cluster="a",source="dcgm"}'
    assert (before[known], before[up]) == (2, 1)
    assert (after[known], after[up]) == (0, 1), "it answers, and nothing of it is known"
    assert 'kcloud_cluster_power_watts{cluster="a",component="gpu"}' not in after, "absent, not 0"
    assert 'kcloud_cluster_power_watts{cluster="a",component="gpu"}' in before
