"""Explain: for every power series of the page, the tree's arithmetic gives the number that the page shows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import httpx
import numpy as np
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kcloud_exporter import catalogue
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.config.schema import Config
from kcloud_exporter.derive.ledger import Policy
from kcloud_exporter.errors import SelectorError
from kcloud_exporter.explain.families import EXPLAINED, ClusterFamilies
from kcloud_exporter.explain.ledger import LedgerTrees
from kcloud_exporter.explain.tree import LEAVES, Node, recompute
from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.model import Snapshot
from kcloud_exporter.pipeline import Pipeline
from kcloud_exporter.runtime import Runtime
from tests.normalise.cluster import Cluster
from tests.vendors.book import Book, cycles, fixtures

SITES = ("kcloud_site_facility_power_watts", "kcloud_site_it_power_watts", "kcloud_site_pue_ratio")
POWER = [name for name in catalogue.FAMILIES if name.endswith("_watts")]


def shown(snapshot: Snapshot, family: str) -> Iterator[tuple[str, float]]:
    """Every series of a family on the page, with its value."""
    for tables in (snapshot.fleet, *(c.tables for c in snapshot.clusters.values())):
        if family in tables:
            table = tables[family]
            for row in np.flatnonzero(np.isfinite(table.values)).tolist():
                yield catalogue.FAMILIES[family].series(table.keys.rows[row]), float(table.values[row])


def holds(tree: Node, value: float) -> None:
    """The root is the number, and every node follows from its parts, so the leaves alone give the number."""
    assert tree.value == pytest.approx(value, rel=1e-12, abs=1e-9), tree.what
    scale = max((abs(node.value) for node in tree.walk()), default=0.0)
    assert recompute(tree) == pytest.approx(value, rel=1e-9, abs=1e-9 * min(scale, 1e4)), tree.what
    for node in tree.walk():
        assert math.isfinite(node.value) or "not chosen" in node.note, node
        assert bool(node.parts) != (node.operation in LEAVES), node


def test_every_power_family_has_a_tree() -> None:
    assert set(POWER) == {*EXPLAINED, *SITES} - {"kcloud_site_pue_ratio"}


@pytest_asyncio.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with Fleet(FleetSpec(frozen=True)) as running:
        yield running


def config_of(fleet: Fleet, idle: Policy, overhead: Policy) -> Config:
    return parse_config({**fleet.kcloud_config(interval="60s"), "ledger": {"idle": idle, "overhead": overhead}})


async def check_all(pipeline: Pipeline, snapshot: Snapshot, *, every: int = 1) -> Counter[str]:
    seen: Counter[str] = Counter()
    for family in (*EXPLAINED, *SITES):
        for at, (series, value) in enumerate(shown(snapshot, family)):
            if at % every == 0:
                tree, when = await pipeline.explain(series, 64)
                assert when == snapshot.timestamp
                holds(tree, value)
                seen[family] += 1
    return seen


@pytest.mark.parametrize(
    ("idle", "overhead"),
    [("unattributed", "unattributed"), ("proportional", "proportional"), ("proportional", "unattributed")],
)
async def test_every_number_of_the_fleet_follows_from_what_was_printed(
    fleet: Fleet, idle: Policy, overhead: Policy
) -> None:
    seen = await check_fleet(fleet, idle, overhead)
    assert set(seen) == {*EXPLAINED, *SITES} - {"kcloud_accelerator_power_limit_watts"}, "the fleet prints no limits"


@pytest.mark.parametrize("policy", ["unattributed", "proportional"])
async def test_every_number_of_a_fleet_of_all_makers_with_pods_and_vms_does(policy: Policy) -> None:
    async with Fleet(FleetSpec(size="mixed", frozen=True, ailing=True)) as mixed:
        assert set(await check_fleet(mixed, policy, policy)) == {*EXPLAINED, *SITES}


async def check_fleet(fleet: Fleet, idle: Policy, overhead: Policy) -> Counter[str]:
    """How many numbers of each family were checked after two cycles."""
    config = config_of(fleet, idle, overhead)
    runtime = Runtime(config, lambda: config)
    try:
        for _ in range(2):
            await runtime.tick()
        assert runtime.store.current is not None
        return await check_all(runtime.pipeline, runtime.store.current, every=3 if overhead == "proportional" else 1)
    finally:
        await runtime.close()


async def test_what_is_carried_over_is_told_as_held(fleet: Fleet) -> None:
    config = config_of(fleet, "unattributed", "unattributed")
    runtime = Runtime(config, lambda: config)
    try:
        for _ in range(2):
            await runtime.tick()
        async with httpx.AsyncClient(trust_env=False) as client:
            asked = {"match": "dcgm", "fault": "http500", "seconds": None}
            answer = await client.post(f"{fleet.control_url}/fault", json=asked)
        assert answer.json()["matched"] > 0
        await runtime.tick()
        assert runtime.store.current is not None
        series, value = next(shown(runtime.store.current, "kcloud_accelerator_power_watts"))
        tree, _ = await runtime.pipeline.explain(series)
    finally:
        await runtime.close()

    holds(tree, value)
    leaves = [node for node in tree.walk() if not node.parts]
    assert {leaf.operation for leaf in leaves} == {"held"}
    assert "older than this cycle" in leaves[0].note


@pytest.mark.parametrize(
    ("series", "message", "absent"),
    [
        ("kcloud_pod_power_watts", "series are meant; say more labels", False),
        ('kcloud_node_power_watts{node="nowhere"}', "no such series is on the page", True),
        ('kcloud_node_power_watts{pod="x"}', "has no label pod; it has cluster, node, component", False),
        ('kcloud_node_power_watts{node=~"x"}', "only = is understood", False),
        ('kcloud_node_power_watts{node="x"', "labels stand between", False),
        ('kcloud_node_power_watts{node="x" "y"}', "separated by commas", False),
        ("kcloud_nonsense", "is no family of this exporter", False),
        ("", "does not begin with a metric name", False),
        ("kcloud_node_energy_joules_total", "the integral of kcloud_node_power_watts", False),
        ("kcloud_accelerator_healthy", "these have one: ", False),
        ("x" * 5000, "longer than 4096 characters", False),
    ],
)
async def test_what_cannot_be_explained_is_told(fleet: Fleet, series: str, message: str, absent: bool) -> None:
    config = config_of(fleet, "unattributed", "unattributed")
    runtime = Runtime(config, lambda: config)
    try:
        with pytest.raises(SelectorError, match="no cycle has ended"):
            await runtime.pipeline.explain("kcloud_cluster_power_watts")
        await runtime.tick()
        with pytest.raises(SelectorError) as caught:
            await runtime.pipeline.explain(series)
    finally:
        await runtime.close()

    assert message in str(caught.value)
    assert caught.value.absent == absent


watts = st.one_of(st.none(), st.floats(0.0, 700.0).map(lambda w: round(w, 3)))
ratio = st.one_of(st.none(), st.sampled_from([0.0, 0.2, 0.5, 1.0]))


@st.composite
def pages(draw: st.DrawFn) -> str:
    """A random node as its exporters would print it: any meter may be missing, pods may claim too much."""
    lines = []

    def say(series: str, value: float | None, **labels: str) -> None:
        if value is not None:
            pairs = ",".join(f'{label}="{text}"' for label, text in labels.items())
            lines.append(f"{series}{{{pairs}}} {value}")

    for node in ("n1", "n2")[: draw(st.integers(1, 2))]:
        say("ipmi_dcmi_power_consumption_watts", draw(watts), instance=node)
        say("ipmi_power_watts", draw(watts), instance=node, id="1", name="System Power")
        for zone in ("package", "dram"):
            for socket in ("0", "1"):
                say("kepler_node_cpu_watts", draw(watts), node_name=node, instance="k", zone=zone, path=socket)
            for pod in ("p", "q", "r"):
                more = {"pod_id": pod + node, "pod_name": pod + node, "pod_namespace": "a" if pod == "p" else "b"}
                say(
                    "kepler_pod_cpu_watts",
                    draw(watts),
                    node_name=node,
                    instance="k",
                    state="running",
                    zone=zone,
                    **more,
                )
        for gpu in ("0", "1"):
            device = {"gpu": gpu, "UUID": f"GPU-{node}-{gpu}", "modelName": "NVIDIA H100", "Hostname": node}
            say("DCGM_FI_DEV_ENFORCED_POWER_LIMIT", draw(st.sampled_from([None, 700.0])), **device)
            power = draw(watts)
            holders = draw(st.lists(st.sampled_from(["p", "q", "r"]), max_size=3))
            slices = draw(st.sampled_from([(), ("1g.10gb",), ("1g.10gb", "3g.40gb"), ("4g.40gb", "4g.40gb")]))
            parts = [{"GPU_I_ID": str(i), "GPU_I_PROFILE": profile} for i, profile in enumerate(slices)] or [{}]
            for at, part in enumerate(parts):
                own = holders[at : at + 1] if slices else holders
                rows = [
                    {"exported_namespace": "a", "exported_pod": pod + node, "exported_container": f"c{i}"}
                    for i, pod in enumerate(own)
                ] or [{}]
                for row in rows:
                    say("DCGM_FI_DEV_POWER_USAGE", power, **device, **part, **row)
                    used = draw(ratio)
                    if row and not slices:
                        uid = {"pod_uid": row["exported_pod"]}
                        say("DCGM_FI_DEV_GPU_UTIL", None if used is None else used * 100, **device, **row, **uid)
                if slices:
                    say("DCGM_FI_PROF_GR_ENGINE_ACTIVE", draw(ratio), **device, **part)
    return "\n".join(lines) + "\n"


@given(page=pages(), idle=st.sampled_from(["unattributed", "proportional"]), overhead=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_number_of_any_cluster_follows_from_what_was_printed(page: str, idle: Policy, overhead: bool) -> None:
    spread: Policy = "proportional" if overhead else "unattributed"
    cluster = Cluster(idle=idle, overhead=spread).cycle(page, 0.0)
    assert cluster.readings is not None
    trees = LedgerTrees(
        "c", cluster.readings, cluster.engine.columns, cluster.engine.tables, idle=idle, overhead=spread
    )
    families = ClusterFamilies(trees, cluster.readings)
    for name in EXPLAINED:
        for labels, value in cluster.shown(name).items():
            holds(families.part(catalogue.FAMILIES[name], ("c", *labels))(64), value)


@pytest.mark.parametrize("vendor", fixtures())
def test_every_number_of_every_exporter_follows_from_its_page(vendor: str) -> None:
    book = Book().read(*cycles(vendor))
    trees = book.trees()
    for name in EXPLAINED:
        for labels, value in book.shown(name).items():
            holds(trees.part(catalogue.FAMILIES[name], ("c", *labels))(64), value)
