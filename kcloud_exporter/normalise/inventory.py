"""Inventory: what Kubernetes tells of nodes, pods and containers besides numbers, as facts.

Rows are read once, when their series first appears; a cycle only looks which of them are there. Facts are no part of
the ledger: nothing here can change a watt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

import numpy as np

from kcloud_exporter.model import FACTS, Compaction, Floats, Keys, Labels, Mask, Rows, Scrape, SeriesTable, Table
from kcloud_exporter.readings import NEVER, Grow
from kcloud_exporter.vendors.mapping import VendorIndex

_TOLD: Final = {"pod_info": "pod", "container_info": "container", "node_role": "node_role", "node_ready": "node_ready"}
"""What a vendor table calls it → the fact."""


@dataclass(slots=True)
class _Rows:
    """Rows of one source's series table that tell one fact: which, and what they tell."""

    rows: Grow[np.int32] = field(default_factory=lambda: Grow(np.int32))
    seen: Grow[np.float64] = field(default_factory=lambda: Grow(np.float64))
    value: Grow[np.float64] = field(default_factory=lambda: Grow(np.float64))
    keys: list[tuple[str, ...]] = field(default_factory=list)
    nodes: set[str] = field(default_factory=set)

    def move(self, new_rows: Rows) -> None:
        """Follow a compacted table: `new_rows[old row]`, -1 for a dropped one."""
        rows = new_rows[self.rows.view]
        kept = rows >= 0
        self.rows.become(rows[kept])
        self.seen.keep(kept)
        self.value.keep(kept)
        self.keys = list(compress(self.keys, kept.tobytes()))
        if self.nodes:
            self.nodes = {key[1] for key in self.keys}


@dataclass(slots=True)
class _State:
    """How far one series table has been read."""

    table: SeriesTable
    read: int = 0
    facts: dict[str, _Rows] = field(default_factory=dict)


class Inventory:
    """The facts of one cluster. Feed it scrapes with `ingest`, then ask for `tables`.

    `server_of` says on which server a node of Kubernetes is, so that a pod stands where its power does: what runs on
    a VM that is a node belongs to the hypervisor.
    """

    def __init__(
        self, cluster: str, vendors: VendorIndex, max_staleness: float, server_of: Callable[[str], str]
    ) -> None:
        self._cluster, self._vendors, self._max_staleness = cluster, vendors, max_staleness
        self._server_of = server_of
        self._states: dict[int, _State] = {}
        self._names = frozenset(n for n in vendors.names() if any(r.rule.to in _TOLD for r in vendors.rules(n)))
        self._made: tuple[object, dict[str, Table]] = (None, {})

    def ingest(self, scrapes: Iterable[Scrape], now: float) -> None:
        """Take in one cycle's good answers."""
        for scrape in scrapes:
            state = self._states.setdefault(id(scrape.table), _State(scrape.table))
            self._read(state)
            if not state.facts:
                continue
            values: Floats = np.full(len(scrape.table), np.nan)
            values[scrape.rows] = scrape.values
            for told in state.facts.values():
                found = values[told.rows.view]
                there = ~np.isnan(found)
                told.seen.view[there] = now
                told.value.view[there] = found[there]

    def follow(self, compaction: Compaction) -> None:
        """A source has dropped its dead series."""
        state = self._states.pop(id(compaction.old), None)
        if state is None:
            return
        state.table, state.read = compaction.table, compaction.living(state.read)
        for told in state.facts.values():
            told.move(compaction.rows)
        self._states[id(compaction.table)] = state

    def _read(self, state: _State) -> None:
        """Read the rows that have come since."""
        for row in range(state.read, len(state.table)):
            name, labels = state.table.names[row], state.table.labels[row]
            if name not in self._names:
                continue
            for _, rule, _ in self._vendors.rules(name):
                fact = _TOLD.get(rule.to)
                if fact is None or not rule.matches(labels):
                    continue
                told = state.facts.setdefault(fact, _Rows())
                told.rows.append(row)
                told.seen.append(NEVER)
                told.value.append(np.nan)
                told.keys.append(_key(fact, self._cluster, labels))
                if fact == "pod":
                    told.nodes.add(told.keys[-1][1])
        state.read = len(state.table)

    def tables(self, now: float) -> dict[str, Table]:
        """Fact → table. The same tables as in the last cycle while nothing has changed."""
        live: dict[str, list[tuple[_Rows, Mask]]] = {}
        for state in self._states.values():
            for fact, told in state.facts.items():
                on = (told.seen.view >= now - self._max_staleness) & ~np.isnan(told.value.view)
                live.setdefault(fact, []).append((told, on))
        nodes = {node for told, _ in live.get("pod", ()) for node in told.nodes}
        servers = {node: server for node in nodes if (server := self._server_of(node)) != node}
        mark = (
            servers,
            *(
                (fact, id(told), on.tobytes(), told.value.view[on].tobytes())
                for fact, parts in live.items()
                for told, on in parts
            ),
        )
        if mark != self._made[0]:
            self._made = mark, self._tables(live, servers)
        return self._made[1]

    def _tables(self, live: dict[str, list[tuple[_Rows, Mask]]], servers: Mapping[str, str]) -> dict[str, Table]:
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for fact, parts in live.items():
            rows = found.setdefault(fact, {})
            for told, on in parts:
                for at in np.flatnonzero(on).tolist():
                    if fact == "node_ready" or told.value.view[at] > 0:
                        rows[told.keys[at]] = float(told.value.view[at])
        if servers:
            pods = found["pod"].items()
            found["pod"] = {(k[0], servers.get(k[1], k[1]), *k[2:]): value for k, value in pods}
        places = {key[2:4]: key[1] for key in found.get("pod", {})}
        if "container" in found:
            named = found["container"].items()
            found["container"] = {(k[0], places.get(k[2:4], ""), *k[2:]): value for k, value in named}
        return {fact: _table(rows) for fact, rows in found.items()}


def _table(rows: dict[tuple[str, ...], float]) -> Table:
    values = np.array(list(rows.values()), np.float64)
    values.flags.writeable = False
    return Table(Keys(list(rows)), values)


def _key(fact: str, cluster: str, labels: Labels) -> tuple[str, ...]:
    """The labels of a fact's row. Prometheus puts `exported_` before those that its target has as well."""
    sources: Sequence[str] = [_SOURCES.get(label, label) for label in FACTS[fact][1:]]
    return cluster, *(_said(labels.get(f"exported_{name}") or labels.get(name, "")) for name in sources)


def _said(text: str) -> str:
    """kube-state-metrics prints `<none>` where there is nothing."""
    return "" if text == "<none>" else text


_SOURCES: Final = {"owner_kind": "created_by_kind", "owner_name": "created_by_name"}
"""Label of a fact → what kube-state-metrics calls it, where that is something else."""
