"""Engine: the samples of one cluster → the readings of one cycle.

State is what must survive a tick: which series mean what, the last good value of each slot, the last sample of
each counter. Clusters share nothing, so one poisoned cluster cannot touch another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kcloud_exporter.catalogue import COMPONENTS
from kcloud_exporter.errors import RejectReason
from kcloud_exporter.model import Compaction, Floats, Mask, Rows, Scrape, SeriesTable
from kcloud_exporter.normalise.bindings import carry_over, count_by_source
from kcloud_exporter.normalise.columns import Column
from kcloud_exporter.normalise.compiler import Compiler
from kcloud_exporter.normalise.identity import NodeNames
from kcloud_exporter.normalise.samples import Samples, as_samples, by_series
from kcloud_exporter.normalise.spreading import Dense, present_of, spread
from kcloud_exporter.normalise.state import TableState
from kcloud_exporter.normalise.work import WorkCounters, WorkMeter
from kcloud_exporter.readings import NEVER, Entities, Evaluated, Grow, Readings
from kcloud_exporter.vendors.mapping import VendorIndex
from kcloud_exporter.vendors.quantities import QUANTITIES

Rejections = Counter[tuple[str, RejectReason]]

_COME_AND_GO: Final = ("pod", "vm", "share", "partition")
"""Entities that nobody expects when their exporter does not show them."""
_ENDED_PART: Final = 0.5
_FEW: Final = 1000
"""Pods that have ended are let go when they are more than this part of all that are known, and this many beside."""


class ClusterEngine:
    """Normalises one cluster. Feed it scrapes with `ingest`, then ask for `readings`."""

    def __init__(
        self,
        vendors: VendorIndex,
        *,
        aliases: dict[str, str],
        pattern: str | None,
        meters: Sequence[str],
        max_staleness: float,
        forget_after: float,
        work: Sequence[WorkMeter] = (),
    ) -> None:
        self._work = WorkCounters(work)
        self._vendors, self._aliases, self._pattern, self._meters = vendors, aliases, pattern, tuple(meters)
        self._max_staleness, self._forget_after = max_staleness, forget_after
        self.beyond_limit = 0
        self._compacted = False
        self._newest: dict[str, tuple[float, float]] = {}
        self._begin()

    def _begin(self) -> None:
        self.entities = Entities()
        self.columns = {
            name: Column(strict_sum=quantity.entity in ("node", "vm", "facility"))
            for name, quantity in QUANTITIES.items()
        }
        self._tables: dict[int, TableState] = {}
        self._compiler = Compiler(
            self._vendors, NodeNames(self._aliases, self._pattern), self._meters, self.entities, self.columns
        )
        self._target_seen, self._node_listed = Grow(np.float64), Grow(np.float64)
        self._device_held, self._partition_seen, self._share_seen = (Grow(np.float64) for _ in range(3))
        self._inventory_at = NEVER

    def ingest(self, scrapes: Iterable[Scrape], now: float) -> Rejections:
        """Take in one cycle's good answers. Returns how many samples were rejected, by source and reason."""
        by_table: dict[int, list[Scrape]] = {}
        for scrape in scrapes:
            by_table.setdefault(id(scrape.table), []).append(scrape)
        rejections: Rejections = Counter()
        self._work.begin()
        if self._compacted:
            self._let_go()
            self._compacted = False
        states = [self._state(group[0].table) for group in by_table.values()]
        for state, group in zip(states, by_table.values(), strict=True):
            state.shown = max(state.shown, *(int(s.rows.max()) + 1 for s in group if len(s.rows)), 0)
        self._compile(states)
        if self._compiler.outdated:
            self._rebuild()
        for group in by_table.values():
            rejections.update(self._apply(self._state(group[0].table), group, now))
        return rejections

    def remember(self, samples: Samples) -> None:
        """Let counters that are seen for the first time go on from the last samples that an earlier engine had."""
        self._compiler.remembered.update(by_series(samples))

    def last_samples(self, now: float) -> Samples:
        """The last sample of every counter, for an engine that comes after this one; none that is stale."""
        since = now - self._max_staleness
        remembered = self._compiler.remembered
        for series in [series for series, last in remembered.items() if last.noted < since]:
            del remembered[series]
        found = [b.last_samples(since) for s in self._tables.values() for b in s.bindings.values() if b.counts]
        return np.concatenate([as_samples(remembered), *found])

    def needed(self, table: SeriesTable, now: float) -> Mask:
        """Rows of a source's table that must stay though it shows them no more, as of the cycle of `now`.

        They are of a target that has not answered for a while, or all that tells of a node, a device or a sensor that
        is expected still.
        """
        state = self._tables.get(id(table))
        if state is None:
            return np.zeros(0, bool)
        target, answered = state.row_target.view, self._target_seen.view
        silent = np.append((answered < now) & (answered >= now - self._max_staleness), False)
        needed: Mask = silent[target]  # -1, no target, is the last
        for name, binding in state.bindings.items():
            if QUANTITIES[name].entity not in _COME_AND_GO:
                lost = binding.column.lost(now, self._forget_after)
                needed[binding.rows.view[lost[binding.slots.view]]] = True
        return needed

    def follow(self, compaction: Compaction) -> None:
        """A source has dropped its dead series: its new table takes the old one's place."""
        self._work.follow(compaction)
        state = self._tables.pop(id(compaction.old), None)
        if state is None:
            return
        state.follow(compaction)
        self._compacted = True  # what has ended is let go by the next cycle, so that this one can be explained
        self._tables[id(compaction.table)] = state

    def _let_go(self) -> None:
        """Let go of pods and VMs of which no row tells any more, if they are worth it."""
        ended = ~self._bound_pods()
        if int(ended.sum()) <= _ENDED_PART * len(ended) + _FEW:
            return
        self.entities, left = self.entities.without(ended)
        for name, column in self.columns.items():
            rows = left.of(QUANTITIES[name].entity)
            if rows is not None:
                slots = column.move(rows)
                for binding in (state.bindings[name] for state in self._tables.values() if name in state.bindings):
                    binding.slots.become(slots[binding.slots.view])
        for state in self._tables.values():
            # Whatever a row holds is bound to it, so that only -1, which stands for none, is not among them.
            state.holder_share.become(np.append(left.shares, -1).astype(np.int32)[state.holder_share.view])
        self._share_seen.keep(left.shares >= 0)
        self._compiler.let_go(self.entities)

    def _bound_pods(self) -> Mask:
        """The pods and VMs of which a row of any source's table still tells."""
        entities = self.entities
        bound: Mask = np.zeros(len(entities.pods), bool)
        for state in self._tables.values():
            shares = [state.holder_share.view]
            for name, binding in state.bindings.items():
                entity = QUANTITIES[name].entity
                if entity in ("pod", "vm"):
                    bound[binding.column.entities()[binding.slots.view]] = True
                elif entity == "share":
                    shares.append(binding.column.entities()[binding.slots.view])
            for share in shares:
                bound[entities.share_pod.view[share[share >= 0]]] = True
        return bound

    @property
    def tables(self) -> list[TableState]:
        """The series tables of all sources with what their rows are bound to."""
        return list(self._tables.values())

    def _state(self, table: SeriesTable) -> TableState:
        state = self._tables.get(id(table))
        if state is None:
            state = self._tables[id(table)] = TableState(table)
        return state

    def _compile(self, states: Collection[TableState]) -> None:
        for inventory in (True, False):  # names and addresses first: they decide what the other rows mean
            for state in states:
                self._compiler.compile(state, state.compiled, state.shown, inventory=inventory)
        for state in states:
            state.compiled = state.shown
        entities = self.entities
        for grow, size in (
            (self._target_seen, len(self._compiler.targets)),
            (self._device_held, len(entities.devices)),
            (self._partition_seen, len(entities.partitions)),
            (self._share_seen, len(entities.shares)),
            (self._node_listed, len(entities.nodes)),
        ):
            for _ in range(size - len(grow)):
                grow.append(NEVER)

    def _rebuild(self) -> None:
        """What rows mean has changed (a node got its name, a pod turned out to be the exporter): compile anew.

        Entities begin again, without those of which no row tells any more; counters keep their last sample, slots
        their last value, and holds when they were last there.
        """
        before, compiler, inventory_at = self._tables, self._compiler, self._inventory_at
        listed = dict(zip(self.entities.nodes.keys, self._node_listed.view, strict=True))
        answered = dict(zip(compiler.targets.keys, self._target_seen.view, strict=True))
        held = {at: self._held(state) for at, state in before.items()}
        self._begin()
        self._inventory_at = inventory_at
        self._compiler.continue_from(compiler)
        for state in before.values():
            self._state(state.table).shown = state.shown
        self._compile(self._tables.values())
        self._compiler.forget_untold()
        self._compiler.outdated = False
        for at, state in self._tables.items():
            for name, binding in state.bindings.items():
                if name in before[at].bindings:
                    carry_over(before[at].bindings[name], binding, before[at].compiled)
            self._carry_holds(state, held[at])
        for node, row in self.entities.nodes.rows.items():
            self._node_listed.view[row] = listed.get(node, NEVER)
        for target, row in self._compiler.targets.rows.items():
            self._target_seen.view[row] = answered.get(target, NEVER)

    def _held(self, state: TableState) -> Floats:
        """When each row of a table was last there as a holder, so far as its share or its partition remembers."""
        held = np.full(state.compiled, NEVER)
        rows, share, partition = state.holder_rows.view, state.holder_share.view, state.holder_partition.view
        held[rows] = self._partition_seen.view[partition]
        held[rows[share >= 0]] = self._share_seen.view[share[share >= 0]]
        return held

    def _carry_holds(self, state: TableState, held: Floats) -> None:
        rows, share = state.holder_rows.view, state.holder_share.view
        known = rows < len(held)
        when = held[rows[known]]
        np.maximum.at(self._device_held.view, state.holder_device.view[known], when)
        np.maximum.at(self._partition_seen.view, state.holder_partition.view[known], when)
        is_share = share[known] >= 0
        np.maximum.at(self._share_seen.view, share[known][is_share], when[is_share])

    def _hold(self, state: TableState, at: NDArray[np.int64], now: float) -> None:
        """Mark device, part and holder of some rows as seen now, if that is later than what stands."""
        share = state.holder_share.view[at]
        for seen, rows in (
            (self._device_held.view, state.holder_device.view[at]),
            (self._partition_seen.view, state.holder_partition.view[at]),
            (self._share_seen.view, share[share >= 0]),
        ):
            seen[rows] = np.maximum(seen[rows], now)

    def _apply(self, state: TableState, group: list[Scrape], now: float) -> Rejections:
        dense, row_source, sources = spread(state.shown, group)
        rejections: Rejections = Counter()
        for scrape in group:
            for reason, n in scrape.rejected.items():
                rejections[(scrape.source, reason)] += n
        rejected = self._withdraw_stale(dense, group, now)
        rejected.append(("unidentified", np.array(state.unresolved_rows, np.int32)))
        rejected.append(("unidentified", present_of(state.unidentified_rows.view, dense)))
        state.unresolved_rows = []
        target = state.row_target.view[dense.present]
        self._target_seen.view[target[target >= 0]] = now
        for binding in state.bindings.values():
            rejected.extend(binding.apply(dense, now))
        rejected.extend(self._work.take(state.table, dense, row_source, sources))
        for (source, reason), n in count_by_source(rejected, row_source).items():
            rejections[(sources[source], reason)] += n
        if len(state.holder_rows):
            self._hold(state, np.flatnonzero(dense.present[state.holder_rows.view]), now)
        if len(state.inventory_rows):
            on = dense.present[state.inventory_rows.view]
            if on.any():
                self._node_listed.view[state.inventory_node.view[on]] = now
                self._inventory_at = now
        return rejections

    def _withdraw_stale(self, dense: Dense, group: list[Scrape], now: float) -> list[tuple[RejectReason, Rows]]:
        """Drop samples that are too old, by the upstream's own clock: how far theirs is from ours is not asked.

        A sample is stale when it lags the newest of its answer by more than max_staleness, and all are when
        the newest has not moved for that long: such an upstream only repeats itself.
        """
        stale: list[Rows] = []
        for scrape in group:
            newest = scrape.newest
            if scrape.timestamps is None or newest is None:
                continue
            known, since = self._newest.get(scrape.source, (-np.inf, now))
            if newest != known:
                since = now
            self._newest[scrape.source] = (newest, since)
            frozen = now - since > self._max_staleness
            old = scrape.rows[scrape.timestamps < (np.inf if frozen else newest - self._max_staleness)]
            if len(old):
                dense.present[old] = False
                stale.append(old)
        return [("stale", rows) for rows in stale]

    def server_of(self, node: str) -> str:
        """The server that a node of Kubernetes is, or on which it runs as a VM."""
        return self._compiler.names.server_of(node)

    def readings(self, now: float) -> Readings:
        """All quantities as they stand now; what is older than max_staleness is absent."""
        entities = self.entities
        sizes = {
            "device": len(entities.devices),
            "device_sensor": len(entities.device_sensors),
            "partition": len(entities.partitions),
            "share": len(entities.shares),
            "node": len(entities.nodes),
            "pod": len(entities.pods),
            "vm": len(entities.pods),
            "sensor": len(entities.sensors),
            "facility": len(entities.facilities),
        }
        evaluated: dict[str, Evaluated] = {}
        for name in sorted(self.columns, key=lambda name: bool(self.columns[name].needs)):  # what is needed first
            column, entity = self.columns[name], QUANTITIES[name].entity
            fresh: Mask | None = None
            if entity in ("pod", "vm", "share", "partition"):
                fresh = column.seen.view == self._target_seen.view[column.targets()]
            elif column.needs:
                fresh = _believed(column, evaluated, bad_news=0.0 if name == "accelerator_healthy" else np.nan)
            evaluated[name] = column.evaluate(sizes[entity], now, self._max_staleness, self._forget_after, fresh)
        self._beyond_limit(evaluated)
        self._told_twice(evaluated)
        held = self._device_held.view
        recent = held >= now - self._max_staleness
        partition_device = entities.partition_device.view
        partition_live = (self._partition_seen.view == held[partition_device]) & recent[partition_device]
        share_partition = entities.share_partition.view
        share_device = partition_device[share_partition]
        share_live = (self._share_seen.view == held[share_device]) & recent[share_device]
        return Readings(
            entities,
            evaluated,
            {n: c.candidate_origin for n, c in self.columns.items()},
            share_live,
            partition_live,
            self._node_listed.view == self._inventory_at,
            self._inventory_at > NEVER,
            self._work.readings(),
        )

    def _beyond_limit(self, evaluated: dict[str, Evaluated]) -> None:
        """A device cannot draw more than 1.5 times its own limit: such a reading is a fault, not power."""
        power, limit = evaluated["accelerator_power_watts"], evaluated["accelerator_power_limit_watts"]
        with np.errstate(invalid="ignore"):
            absurd = power.value > 1.5 * limit.value
        if absurd.any():
            power.value[absurd] = np.nan
            power.missing[absurd] = True
        self.beyond_limit = int(absurd.sum())

    def _told_twice(self, evaluated: dict[str, Evaluated]) -> None:
        """Stand-ins step back where other exporters tell the power of devices of their kind on their node."""
        entities = self.entities
        stand_in = entities.device_stand_in.view
        if not stand_in.any():
            return
        known = ~np.isnan(evaluated["accelerator_power_watts"].value)
        kinds = entities.device_node.view * len(COMPONENTS) + entities.device_component.view
        aside = stand_in & np.isin(kinds, kinds[known & ~stand_in])
        for name, quantity in QUANTITIES.items():
            if quantity.entity == "device":
                evaluated[name].value[aside] = np.nan
                evaluated[name].missing[aside] = False


def _believed(column: Column, evaluated: dict[str, Evaluated], *, bad_news: float) -> Mask:
    """Slots that may be believed: where a table says so, only while the device has another reading as well.

    The value `bad_news` is always believed: a device that reports its own fault need not prove that it lives.
    """
    fresh = np.ones(len(column), bool)
    for needed, slots in column.needs.items():
        needing = np.fromiter(slots, np.int64)
        known = ~np.isnan(evaluated[needed].value[column.entities()[needing]])
        fresh[needing] = known | (column.value.view[needing] == bad_news)
    return fresh
