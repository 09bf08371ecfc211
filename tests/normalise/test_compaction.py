"""A cluster whose sources drop dead series shows to the last bit what one shows whose sources drop nothing."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from kcloud_exporter.sources.base import FORGET_AFTER, LastSeen
from tests.normalise.cluster import Cluster

NODES, GPUS = ("n1", "n2"), 2
GPU = 'DCGM_FI_DEV_POWER_USAGE{{UUID="GPU-{0}-{1}",exported_container="c",exported_namespace="a",exported_pod="{2}",'
GPU += 'gpu="{1}",Hostname="{0}",instance="{0}:9400",job="dcgm",modelName="H100"}} {3}\n'
POD = 'kepler_pod_cpu_watts{{node_name="{0}",pod_id="{1}",pod_name="{1}",pod_namespace="a",state="running",'
POD += 'zone="package",instance="{0}:28282",job="kepler"}} {2}\n'
XID = GPU.replace("POWER_USAGE", "XID_ERRORS")
RAPL = 'node_rapl_package_joules_total{{index="0",path="p",instance="{0}:9100",job="node"}} {1}\n'
DCMI = 'ipmi_dcmi_power_consumption_watts{{instance="{0}",job="ipmi"}} {1}\n'
INFO = 'kube_node_info{{node="{0}",internal_ip="10.0.0.1",instance="ksm:8080",job="ksm"}} 1\n'
WHERE = [(node, gpu) for node in NODES for gpu in range(GPUS)]
WAYS = ("dcgm", "kepler", "rapl", "ipmi", "ksm")


class Dropping:
    """A cluster, and what its one source remembers of its rows."""

    def __init__(self) -> None:
        self.cluster, self.seen, self.dropped = Cluster(), LastSeen(), 0

    def cycle(self, text: str, now: float) -> None:
        self.cluster.cycle(text, now)
        source = self.cluster.prometheus
        rows = source.scrape(text, now).rows
        self.seen.note(0, rows, len(source.table))
        found = self.seen.compacted(source.table, self.cluster.engine.needed(source.table, now))
        if found is not None:
            self.dropped += int((found.rows < 0).sum())
            self.cluster.engine.follow(source.follow(found))


def page(cycle: int, pods: dict[tuple[str, int], int], silent: set[tuple[str, str]]) -> str:
    """What the exporters print but for those that are silent: (node, way)."""
    found = []
    for number, node in enumerate(NODES):
        if (node, "ksm") not in silent:
            found.append(INFO.format(node))
        if (node, "ipmi") not in silent:
            found.append(DCMI.format(node, 2000 + cycle + number))
        if (node, "rapl") not in silent:
            found.append(RAPL.format(node, 1000 * cycle * (1 + number)))
        for gpu in range(GPUS):
            pod = f"p-{node}-{gpu}-{pods[node, gpu]}"
            if (node, "dcgm") not in silent:
                found.append(GPU.format(node, gpu, pod, 300 + cycle + gpu) + XID.format(node, gpu, pod, 0))
            if (node, "kepler") not in silent:
                found.append(POD.format(node, pod, 5 + gpu))
    return "".join(found)


happening = st.lists(
    st.tuples(
        st.sets(st.sampled_from(WHERE)),  # these get a new pod
        st.sets(st.tuples(st.sampled_from(NODES), st.sampled_from(WAYS)), max_size=3),  # these are silent
        st.integers(1, FORGET_AFTER + 2),  # for so many cycles
    ),
    min_size=2,
    max_size=12,
)


@given(happening)
@settings(max_examples=60)
def test_what_is_dropped_is_not_missed(plan: list[tuple[set[tuple[str, int]], set[tuple[str, str]], int]]) -> None:
    keeping, dropping = Cluster(), Dropping()
    pods, cycle = dict.fromkeys(WHERE, 0), 0
    with (
        patch("kcloud_exporter.sources.base._WORTH_IT", 1),
        patch("kcloud_exporter.sources.base._LEAST_PART", 1000),
        patch("kcloud_exporter.normalise.engine._FEW", 1),
    ):
        for new, silent, cycles in plan:
            for which in new:
                pods[which] += 1
            for _ in range(cycles):
                text, now = page(cycle, pods, silent), 15.0 * cycle
                keeping.cycle(text, now)
                dropping.cycle(text, now)
                assert {f: dropping.cluster.shown(f) for f in keeping.tables} == {
                    f: keeping.shown(f) for f in keeping.tables
                }
                cycle += 1


def test_pods_that_have_ended_leave_nothing_behind() -> None:
    dropping = Dropping()
    with patch("kcloud_exporter.sources.base._WORTH_IT", 10), patch("kcloud_exporter.normalise.engine._FEW", 20):
        for cycle in range(300):
            dropping.cycle(page(cycle, dict.fromkeys(WHERE, cycle), set()), 15 * cycle)
            assert len(dropping.cluster.prometheus.table) < 120
            assert len(dropping.cluster.engine.entities.pods) < 100
    assert dropping.dropped > 3 * 300 * 4 - 120
    assert len(dropping.cluster.shown("kcloud_pod_power_watts")) == 8


def test_a_lost_node_stays_as_long_as_it_is_expected_though_pods_come_and_go() -> None:
    dropping, pods = Dropping(), dict.fromkeys(WHERE, 0)
    lost = {("n2", way) for way in WAYS if way != "ksm"}
    with (
        patch("kcloud_exporter.sources.base._WORTH_IT", 1),
        patch("kcloud_exporter.sources.base._LEAST_PART", 1000),
        patch("kcloud_exporter.normalise.engine._FEW", 1),
    ):
        dropping.cycle(page(0, pods, set()), 0)
        for cycle in range(1, 250):
            pods["n1", 0] = pods["n1", 1] = cycle
            # What is told of a device changes, so that all is compiled anew in each cycle.
            dropping.cycle(page(cycle, pods, lost).replace("H100", f"H{cycle}"), 15 * cycle)
            if cycle <= 240:
                assert _devices_of("n2", dropping) == GPUS, "they are expected for an hour"
            if cycle > 3:
                assert dropping.cluster.shown("kcloud_cluster_nodes")["missing",] == 1
    assert _devices_of("n2", dropping) == 0


def _devices_of(node: str, dropping: Dropping) -> int:
    entities = dropping.cluster.engine.entities
    return sum(entities.nodes.keys[of] == node for of, _ in entities.devices.keys)


def test_a_target_that_does_not_answer_for_a_while_keeps_its_counters() -> None:
    """Its series are gone from the Prometheus that scrapes it, which answers all the same."""
    counter = 'kepler_container_package_joules_total{{container_id="1",container_name="c",container_namespace="a",'
    counter += 'mode="dynamic",pod_name="p",instance="n1",job="kepler"}} {0}\n'
    dropping = Dropping()
    with patch("kcloud_exporter.sources.base._WORTH_IT", 1), patch("kcloud_exporter.sources.base._LEAST_PART", 1000):
        for cycle in range(12):
            silent = 4 <= cycle < 4 + FORGET_AFTER + 1
            text = DCMI.format("n2", 500) + ("" if silent else counter.format(150 * cycle))
            dropping.cycle(text, 4.0 * cycle)
            if cycle and not silent:
                assert list(dropping.cluster.shown("kcloud_pod_power_watts").values()) == [150 / 4]
    assert dropping.dropped == 0
