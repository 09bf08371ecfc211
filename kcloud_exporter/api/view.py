"""View: one snapshot as the routes see it. Frames are built when first asked for; nothing is built twice.

Views (owns the joins, lives as long as the server) ─► View (one snapshot) ─► Frame (one resource)
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from kcloud_exporter import catalogue
from kcloud_exporter.api.frames import Frame, Layout, joined
from kcloud_exporter.api.resources import CLUSTERS, FACT, NODES, SITES, Resource
from kcloud_exporter.errors import RequestError
from kcloud_exporter.model import ClusterSnapshot, Snapshot, Table

_INCOMPLETE: Final = {"partial": "a part of its power is not measured", "missing": "known, but without any reading"}
"""State of a node → why an answer lacks something of it."""
_TOLD: Final = 100
"""What is missing is told one by one up to here; after that its number is told."""


class Views:
    """Makes the view of the newest snapshot. Keeps what does not change from one snapshot to the next."""

    def __init__(self) -> None:
        self._layouts: dict[tuple[str, str], Layout] = {}
        self._building = threading.Lock()
        self._view: View | None = None

    def of(self, snapshot: Snapshot) -> View:
        """The view of a snapshot; the same object while the snapshot is the same."""
        if self._view is None or self._view.snapshot is not snapshot:
            self._view = View(snapshot, self)
        return self._view

    def build(self, snapshot: Snapshot, resource: Resource) -> Frame:
        """The frame of a resource over all clusters (of sites: over the fleet's tables)."""
        if resource is SITES:
            return self._layout("", resource).frame(snapshot.fleet)
        gone = {scope for scope, _ in self._layouts} - {"", *snapshot.clusters}
        for key in [key for key in self._layouts if key[0] in gone]:
            del self._layouts[key]
        frames = [self._layout(name, resource).frame(known_of(c)) for name, c in snapshot.clusters.items()]
        return joined(frames, resource)

    def _layout(self, scope: str, resource: Resource) -> Layout:
        return self._layouts.setdefault((scope, resource.name), Layout(resource))

    @property
    def building(self) -> threading.Lock:
        """Held while a frame is built: joins have one owner at a time."""
        return self._building


def known_of(cluster: ClusterSnapshot) -> dict[str, Table]:
    """Families and facts of a cluster in one dictionary."""
    return {**cluster.tables, **{FACT + name: table for name, table in cluster.facts.items()}}


class View:
    """One snapshot: its frames, which clusters, nodes and namespaces there are, and what is missing."""

    def __init__(self, snapshot: Snapshot, views: Views) -> None:
        self.snapshot = snapshot
        self._views = views
        self._frames: dict[str, Frame] = {}
        self._by_cluster: dict[tuple[str, str], Frame] = {}
        self._lacking: dict[str | None, tuple[list[dict[str, Any]], int, float | None]] = {}
        self.series = sum(len(table.values) for c in snapshot.clusters.values() for table in c.tables.values())

    def frame(self, resource: Resource, cluster: str | None = None) -> Frame:
        """All things of a kind, of one cluster or of all. Raises RequestError (404) for a cluster that is not there."""
        whole = self._frames.get(resource.name)
        if whole is None:
            with self._views.building:
                whole = self._frames.get(resource.name)
                if whole is None:
                    whole = self._frames[resource.name] = self._views.build(self.snapshot, resource)
        if cluster is None:
            return whole
        self.clusters(cluster)
        part = self._by_cluster.get((resource.name, cluster))
        if part is None:
            part = self._by_cluster[resource.name, cluster] = whole.where(cluster=cluster)
        return part

    def clusters(self, cluster: str | None = None) -> list[str]:
        """The clusters that an answer speaks of: one, or all. Raises RequestError (404)."""
        if cluster is None:
            return list(self.snapshot.clusters)
        if cluster not in self.snapshot.clusters:
            raise no_such("cluster", cluster, self.snapshot.clusters)
        return [cluster]

    def site_of(self, cluster: str) -> str:
        """The site on which a cluster stands."""
        return self.snapshot.clusters[cluster].site

    def check_node(self, node: str | None, cluster: str | None) -> None:
        """Raises RequestError (404) for a node that no cluster, or not this cluster, shows."""
        if node is not None:
            nodes = self.frame(NODES, cluster).texts["node"]
            if not bool((nodes == node).any()):
                raise no_such("node", node, nodes.tolist(), cluster)

    def rows_of(self, family: str, cluster: str | None = None) -> Iterable[tuple[tuple[str, ...], float]]:
        """(labels, value) of every known row of a family, in one cluster, in all, or in the fleet."""
        tables: list[Table | None] = [self.snapshot.fleet.get(family)] if cluster is None else []
        tables += [self.snapshot.clusters[name].tables.get(family) for name in self.clusters(cluster)]
        for table in tables:
            if table is not None:
                for row, value in zip(table.keys.rows, table.values.tolist(), strict=False):
                    if value == value:
                        yield row, value

    def _incomplete(self, cluster: str) -> Iterable[tuple[str, str]]:
        """(node, state) of the nodes of a cluster that are not wholly measured."""
        states = self.snapshot.clusters[cluster].facts.get("node_state")
        for row, value in zip(states.keys.rows, states.values.tolist(), strict=False) if states else ():
            if value > 0 and row[2] in _INCOMPLETE:
                yield row[1], row[2]

    def missing(self, cluster: str | None) -> tuple[list[dict[str, Any]], int, float | None]:
        """What an answer lacks: (the first of it, how much in all, completeness of its clusters or None)."""
        known = self._lacking.get(cluster)
        if known is None:
            known = self._lacking[cluster] = self._look_for(cluster)
        return known

    def _look_for(self, cluster: str | None) -> tuple[list[dict[str, Any]], int, float | None]:
        found: list[dict[str, Any]] = []
        for (of, source), up in self.rows_of(catalogue.SOURCE_UP.name, cluster):
            if up == 0:
                found.append(_lack("source", source, of, "its last answer was not good; what it told before ages out"))
        frame = self.frame(CLUSTERS, cluster)
        names, numbers = frame.texts["cluster"].tolist(), frame.numbers
        telling = set(_with_power(frame))
        silent = [name for name in self.clusters(cluster) if name not in telling]
        found += [_lack("cluster", name, name, "nothing is known of its power") for name in silent]
        for name in names:
            found += [_lack("node", node, name, _INCOMPLETE[state]) for node, state in self._incomplete(name)]
        nodes = sum(numbers[f"nodes_{s}"] for s in ("measured", "partial", "missing"))
        total = float(np.nansum(nodes))
        ratio = float(np.nansum(numbers["nodes_measured"])) / total if total else None
        return found[:_TOLD], len(found), ratio


def _with_power(frame: Frame) -> list[str]:
    names: list[str] = frame.texts["cluster"][~np.isnan(frame.numbers["power_watts"])].tolist()
    return names


def _lack(kind: str, name: str, cluster: str | None, reason: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "cluster": cluster, "reason": reason}


def no_such(kind: str, name: str, known: Iterable[str], cluster: str | None = None) -> RequestError:
    """A 404 that names what was asked for, and the known ones where they are few."""
    names = sorted({str(each) for each in known})
    where = f" in cluster {cluster[:200]!r}" if cluster else ""
    told = f"; known: {', '.join(names)}" if 0 < len(names) <= 20 else ""
    return RequestError(404, f"there is no {kind} {name[:200]!r}{where}{told}", {kind.replace(" ", "_"): name[:200]})
