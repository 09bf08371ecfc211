"""Folders as a kill leaves them, and what a store that is opened on one of them tells."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kcloud_exporter.storage.counters import CounterStore, Key, Stored

FILES = ("counters.sqlite", "counters.sqlite-wal", "counters.backup.sqlite", "counters.cycle")
SIZES = {
    ("cluster/seoul-a", "kcloud_node_energy_joules_total"): 40,
    ("cluster/seoul-a", "kcloud_pod_energy_joules_total"): 400,
    ("cluster/busan-a", "kcloud_node_energy_joules_total"): 3,
    ("site/icn1", "kcloud_site_it_energy_joules_total"): 1,
}
META = ("cluster/seoul-a", "cluster")


def books(cycle: int) -> dict[Key, Stored]:
    """All counters after a cycle; each family grows by a row a cycle, and every value tells its cycle."""
    found = {
        key: Stored(
            [(key[0], f"{key[1]} {row}") for row in range(size + cycle)],
            np.arange(size + cycle, dtype=np.float64) * 1e6 + cycle,
        )
        for key, size in SIZES.items()
    }
    return found | {META: Stored([], np.empty(0), {"gap_seconds": float(cycle), "monotonic": float(cycle)})}


@dataclass(frozen=True)
class Found:
    """The cycle of each family that was found, and what the store told."""

    cycles: dict[Key, int]
    recovered: str
    next: int

    def whole(self, cycle: int) -> bool:
        """Whether everything is of this cycle."""
        return self.cycles == dict.fromkeys([*SIZES, META], cycle)


def opened(folder: Path) -> Found:
    """Open the store in a folder. Fails when a family holds anything but one whole cycle."""
    store = CounterStore(folder)
    try:
        cycles: dict[Key, int] = {}
        for key, stored in store.load().items():
            if key == META:
                cycles[key] = int(stored.extra["gap_seconds"])
                continue
            cycles[key] = cycle = int(stored.values[0])
            expected = books(cycle)[key]
            assert stored.keys == expected.keys
            assert stored.values.tolist() == expected.values.tolist()
        return Found(cycles, store.recovered, store.cycle)
    finally:
        store.close()


def killed(folder: Path, cycles: int, *, backup_at: int = 0, checkpoint: bool = False) -> Path:
    """A folder after `cycles` cycles and a kill; with `checkpoint` its log is empty, everything is in the main file."""
    store = CounterStore(folder / "live")
    store._db.execute("PRAGMA wal_autocheckpoint = 0")
    for cycle in range(1, cycles + 1):
        store.save(books(cycle))
        if cycle == backup_at:
            store.backup()
    if checkpoint:
        store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(folder / "live", folder / "killed")
    store.close()
    return folder / "killed"
