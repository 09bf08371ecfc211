"""How late the event loop is, as the page tells it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from kcloud_exporter.event_loop import watched
from tests.faults.clusters import config_of, lines_of, samples, served
from tests.faults.whole import product


async def test_whatever_holds_the_loop_is_seen_in_full() -> None:
    lags: list[float] = []
    async with watched(lags.append):
        await asyncio.sleep(0.25)
        assert lags
        assert min(lags) >= 0
        before = len(lags)
        time.sleep(0.5)  # noqa: ASYNC251 - the defect that is looked for
        async with asyncio.timeout(20):
            while len(lags) == before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert max(lags) >= 0.5 - 0.1 - 0.01, "but for what was left of the wait"
    count = len(lags)
    await asyncio.sleep(0.3)
    assert len(lags) == count, "nobody looks any more"


async def test_the_page_tells_it(tmp_path: Path) -> None:
    async with served() as url, product(config_of({"a": f"{url}/a"}), tmp_path) as (runtime, _):
        await asyncio.sleep(0.3)
        time.sleep(0.7)  # noqa: ASYNC251
        await asyncio.sleep(0.3)
        page = samples(await lines_of(runtime))
    name = "kcloud_exporter_event_loop_lag_seconds"
    assert page[f"{name}_count"] - page[f'{name}_bucket{{le="0.5"}}'] >= 1
    assert page[f"{name}_sum"] >= 0.5
