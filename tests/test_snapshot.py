"""The store: every reader hears of the newest snapshot, however slow it is."""

from __future__ import annotations

import asyncio

from kcloud_exporter.model import Snapshot
from kcloud_exporter.snapshot import SnapshotStore


def snapshot(cycle: int) -> Snapshot:
    return Snapshot(float(cycle), cycle, {}, {})


async def test_a_snapshot_that_comes_while_a_reader_is_busy_is_not_lost_to_it() -> None:
    store, seen = SnapshotStore(), []
    store.publish(snapshot(0))

    async def read() -> None:
        async for each in store.updates():
            seen.append(each.cycle)
            if each.cycle == 1:  # busy, and meanwhile two more come
                store.publish(snapshot(2))
                store.publish(snapshot(3))
            if each.cycle == 3:
                return

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    store.publish(snapshot(1))
    await asyncio.wait_for(reader, 5)

    assert seen == [1, 3], "not what was there before, and of many the newest"
