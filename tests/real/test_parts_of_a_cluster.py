"""One cluster that several instances divide: together they show it as one would, and no watt twice."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from kcloud_exporter import catalogue
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.runtime import Runtime
from tests.real.page import Page, parse_page
from tests.real.prometheus import QueryServer, prometheus
from tests.real.simulated_fleet import config_of, simulated_fleet

pytestmark = pytest.mark.real

CLUSTER = "seoul-a"
Method = Literal["federate", "query"]
SUMS = {
    family.name
    for family in catalogue.FAMILIES.values()
    if family.level in ("cluster", "namespace") and family.name.endswith(("_power_watts", "_joules_total", "_nodes"))
}
"""Families of which each part shows its part; all others are on one page as they are on the whole one."""

OF_EACH = {"kcloud_cluster_completeness_ratio", "kcloud_energy_gap_seconds_total"}
"""Families that each part shows of itself."""


@pytest.fixture(scope="module")
def still() -> Iterator[Fleet]:
    """Powers stand still, so that pages of different moments can be compared."""
    with simulated_fleet(FleetSpec(frozen=True)) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def upstream(still: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServer]:
    """A Prometheus that knows the node of each target, as relabelling of Kubernetes' discovery gives it."""
    config = still.prometheus_config(CLUSTER)
    nodes = {each.url.removeprefix("http://").partition("/")[0]: each.node for each in still.exporters}
    for job in config["scrape_configs"]:
        if job["job_name"] in ("dcgm", "kepler", "ipmi"):  # kube-state-metrics names nodes itself; the rest has none
            for target in job["static_configs"]:
                target.setdefault("labels", {})["node"] = nodes[target["targets"][0]]
    with prometheus(config, tmp_path_factory.mktemp("parts")) as server:
        server.wait_for_all_targets()
        yield server


def of_nodes(fleet: Fleet) -> list[str]:
    return sorted({e.node for e in fleet.exporters if e.cluster == CLUSTER and e.vendor == "kepler"})


async def _page(config: dict[str, Any]) -> Page:
    checked = parse_config(config, {})
    runtime = Runtime(checked, lambda: checked)
    try:
        await runtime.tick()
        return parse_page((await runtime.page(False, False, frozenset(), frozenset())).decode())
    finally:
        await runtime.close()


def page(fleet: Fleet, server: QueryServer, method: Method, nodes: list[str] | None, *, rest: bool = False) -> Page:
    """The first cycle of an instance that reads some nodes, and what has no node if `rest`; None: of one for all."""
    config = config_of(fleet, method, {CLUSTER: server.url}, interval="5s")
    if nodes is not None:
        (cluster,) = config["clusters"]
        (source,) = cluster["sources"]
        matching = [{"node": "~" + ("|".join(nodes) or "none")}, *([{"node": ""}] if rest else [])]
        cluster["part"] = True
        cluster["sources"] = [
            {"prometheus": {**source["prometheus"], "match": match, "name": f"upstream-{at}"}}
            for at, match in enumerate(matching)
        ]
    return asyncio.run(_page(config))


def ledger(found: Page) -> Page:
    """What is said of the cluster; what an exporter tells of itself, of its sources and of its moment is its own."""
    own = ("kcloud_source_", "kcloud_snapshot_", "kcloud_exporter_", "kcloud_cluster_info", "kcloud_samples_")
    return {key: value for key, value in found.items() if key[0].startswith("kcloud_") and not key[0].startswith(own)}


@pytest.mark.parametrize("total", [2, 3, 7])
@pytest.mark.parametrize("method", ["federate", "query"])
def test_the_parts_together_are_the_whole(still: Fleet, upstream: QueryServer, method: Method, total: int) -> None:
    nodes = of_nodes(still)
    whole = ledger(page(still, upstream, method, None))
    together = defaultdict(list)
    for index in range(total):
        for key, value in ledger(page(still, upstream, method, nodes[index::total], rest=index == 0)).items():
            together[key].append(value)

    assert len(nodes) == 4
    assert {name for name, _ in whole} > SUMS - {"kcloud_namespace_energy_joules_total"}
    assert sorted(map(str, together.keys() - whole.keys())) == []
    assert sorted(map(str, whole.keys() - together.keys())) == []
    for key, values in together.items():
        if key[0] in SUMS:
            assert math.isclose(math.fsum(values), whole[key], rel_tol=1e-12), key
        elif key[0] in OF_EACH:
            assert set(values) == {whole[key]}, key
        else:
            assert values == [pytest.approx(whole[key], rel=1e-12, abs=1e-9)], f"{key} stands on {len(values)} pages"


def test_what_has_no_node_is_lost_unless_somebody_reads_it(still: Fleet, upstream: QueryServer) -> None:
    whole = ledger(page(still, upstream, "federate", None))
    shown = [ledger(page(still, upstream, "federate", [node])).keys() for node in of_nodes(still)]

    assert {name for name, _ in whole.keys() - set().union(*shown)} == {"kcloud_work_units_total"}


@pytest.mark.parametrize("part", [False, True])
def test_a_part_shows_no_ratio_of_the_whole(still: Fleet, part: bool) -> None:
    config = still.kcloud_config("exporter", interval="5s")
    for cluster in config["clusters"]:
        cluster["part"] = part
    names = {name for name, _ in asyncio.run(_page(config))}

    assert {"kcloud_site_facility_power_watts", "kcloud_site_it_power_watts", "kcloud_work_units_total"} <= names
    assert ("kcloud_site_pue_ratio" in names) is not part
