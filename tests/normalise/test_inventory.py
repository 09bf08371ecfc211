"""Facts: what Kubernetes tells besides numbers, as long as it tells it."""

from __future__ import annotations

import numpy as np

from kcloud_exporter.model import Compaction, Scrape, SeriesTable, Table
from kcloud_exporter.normalise.inventory import Inventory
from kcloud_exporter.vendors.loading import load_vendors

VENDORS = load_vendors()


class Source:
    """One kube-state-metrics, row by row."""

    def __init__(self) -> None:
        self.table = SeriesTable()

    def answer(self, **values: float) -> Scrape:
        """The rows that stand in the answer, by number `r0`, `r1`, ..."""
        rows = np.array([int(name[1:]) for name in values], np.int32)
        return Scrape("c", "ksm", self.table, rows, np.array(list(values.values())), None, 0.0, 0.0)

    def add(self, name: str, **labels: str) -> None:
        self.table.add(name, labels)


def shown(tables: dict[str, Table], fact: str) -> dict[tuple[str, ...], float]:
    table = tables.get(fact)
    return dict(zip(table.keys.rows, table.values.tolist(), strict=True)) if table is not None else {}


def test_a_container_is_where_its_pod_is() -> None:
    source, inventory = Source(), Inventory("c", VENDORS, 45.0, str)
    source.add("kube_pod_info", namespace="a", pod="p", node="n1", created_by_kind="Job", created_by_name="<none>")
    source.add(
        "kube_pod_container_info", namespace="a", pod="p", container="x", container_id="containerd://1", image="i"
    )
    source.add("kube_pod_container_info", namespace="a", pod="q", container="x", container_id="", image="i")
    inventory.ingest([source.answer(r0=1, r1=1, r2=1)], 0.0)
    tables = inventory.tables(0.0)
    assert shown(tables, "pod") == {("c", "n1", "a", "p", "Job", ""): 1.0}
    assert shown(tables, "container") == {
        ("c", "n1", "a", "p", "x", "containerd://1", "i"): 1.0,
        ("c", "", "a", "q", "x", "", "i"): 1.0,
    }


def test_a_pod_and_its_container_are_on_the_server_of_their_node_and_move_with_it() -> None:
    servers = {"worker-1": "hyp-1"}
    source, inventory = Source(), Inventory("c", VENDORS, 45.0, lambda node: servers.get(node, node))
    source.add("kube_pod_info", namespace="a", pod="p", node="worker-1")
    source.add("kube_pod_container_info", namespace="a", pod="p", container="x")
    source.add("kube_node_role", node="worker-1", role="worker")
    for at, server in ((0.0, "hyp-1"), (15.0, "hyp-1"), (30.0, "hyp-2")):
        servers["worker-1"] = server
        inventory.ingest([source.answer(r0=1, r1=1, r2=1)], at)
        tables = inventory.tables(at)
        assert [key[1] for fact in ("pod", "container") for key in shown(tables, fact)] == [server, server]
        assert shown(tables, "node_role") == {("c", "worker-1", "worker"): 1.0}


def test_the_things_own_labels_win_over_those_of_the_target() -> None:
    source, inventory = Source(), Inventory("c", VENDORS, 45.0, str)
    source.add("kube_node_role", node="where-ksm-runs", exported_node="n1", role="control-plane")
    inventory.ingest([source.answer(r0=1)], 0.0)
    assert shown(inventory.tables(0.0), "node_role") == {("c", "n1", "control-plane"): 1.0}


def test_only_the_row_of_a_condition_that_means_ready_counts() -> None:
    source, inventory = Source(), Inventory("c", VENDORS, 45.0, str)
    for condition in ("Ready", "MemoryPressure"):
        for status in ("true", "false", "unknown"):
            source.add("kube_node_status_condition", node="n1", condition=condition, status=status)
    inventory.ingest([source.answer(r0=0, r1=1, r2=0, r3=0, r4=1, r5=0)], 0.0)
    assert shown(inventory.tables(0.0), "node_ready") == {("c", "n1"): 0.0}
    inventory.ingest([source.answer(r0=1, r1=0, r2=0, r3=0, r4=1, r5=0)], 15.0)
    assert shown(inventory.tables(15.0), "node_ready") == {("c", "n1"): 1.0}


def test_facts_are_carried_for_max_staleness_and_then_gone() -> None:
    source, inventory = Source(), Inventory("c", VENDORS, 45.0, str)
    source.add("kube_node_role", node="n1", role="worker")
    source.add("kube_node_role", node="n2", role="worker")
    inventory.ingest([source.answer(r0=1, r1=1)], 0.0)
    first = inventory.tables(0.0)
    inventory.ingest([source.answer(r0=1, r1=1)], 15.0)
    assert inventory.tables(15.0) is first, "nothing has changed, so nothing is made anew"
    inventory.ingest([source.answer(r0=1)], 60.0)
    assert shown(inventory.tables(60.0), "node_role") == {("c", "n1", "worker"): 1.0, ("c", "n2", "worker"): 1.0}
    assert shown(inventory.tables(61.0), "node_role") == {("c", "n1", "worker"): 1.0}


def test_a_source_that_drops_dead_series_keeps_the_facts_of_the_others() -> None:
    source, inventory = Source(), Inventory("c", VENDORS, 45.0, str)
    source.add("kube_node_role", node="n1", role="worker")
    source.add("kube_pod_info", node="n1", namespace="a", pod="gone")
    source.add("kube_pod_info", node="n1", namespace="a", pod="stays")
    source.add("kube_node_role", node="n2", role="worker")
    inventory.ingest([source.answer(r0=1, r1=1, r2=1, r3=1)], 0.0)
    table, old = SeriesTable(), source.table
    for row in (0, 2, 3):
        table.add(old.names[row], old.labels[row])
    source.table = table
    inventory.follow(Compaction(old, table, np.array([0, -1, 1, 2], np.int32)))
    assert {key[3] for key in shown(inventory.tables(0.0), "pod")} == {"stays"}
    source.add("kube_pod_info", node="n2", namespace="a", pod="new")
    inventory.ingest([source.answer(r0=1, r1=1, r3=1)], 60.0)
    assert {key[1:4] for key in shown(inventory.tables(60.0), "pod")} == {("n1", "a", "stays"), ("n2", "a", "new")}
    assert shown(inventory.tables(60.0), "node_role") == {("c", "n1", "worker"): 1.0}
