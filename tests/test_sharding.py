"""Shards: equal exporters that divide the clusters. Together they show what one alone would show, and nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter.config.load import parse_config
from kcloud_exporter.config.schema import Config
from kcloud_exporter.config.sharding import own_part, shard_of
from kcloud_exporter.errors import ConfigError
from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.runtime import Runtime

OF_THE_MOMENT = ("kcloud_source_duration_seconds", "kcloud_source_last_success", "kcloud_snapshot", "kcloud_exporter")
"""What differs between two looks at the same fleet, and what an exporter tells of itself."""


@pytest_asyncio.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with Fleet(FleetSpec(frozen=True)) as running:
        yield running


async def lines(config: Config) -> list[str]:
    """The series of the first cycle's page: no rates yet, so that only what was printed is compared."""
    runtime = Runtime(config, lambda: config)
    try:
        await runtime.tick()
        page = (await runtime.page(False, False, frozenset(), frozenset())).decode()
    finally:
        await runtime.close()
    found = [line for line in page.splitlines() if line.startswith("kcloud_")]
    return [line for line in found if not line.startswith(OF_THE_MOMENT)]


def sharded(fleet: Fleet, index: int, total: int) -> Config:
    more = {
        "clusters": [{**c, "labels": {c["name"].replace("-", "_"): "x"}} for c in fleet.kcloud_config()["clusters"]]
    }
    sharding = {"sharding": {"index": index, "total": total}} if total else {}
    return parse_config({**fleet.kcloud_config(), **more, **sharding})


@pytest.mark.parametrize("total", [2, 3, 7])
async def test_the_union_of_the_shards_is_the_page_of_one(fleet: Fleet, total: int) -> None:
    whole = await lines(sharded(fleet, 0, 0))
    parts = [line for index in range(total) for line in await lines(sharded(fleet, index, total))]

    assert Counter(parts) == Counter(whole)
    assert any(line.startswith("kcloud_site_pue_ratio") for line in whole)


def config_of(clusters: list[tuple[str, str]], meters: list[tuple[str, str]]) -> dict[str, Any]:
    sites = sorted({site for _, site in clusters} | {site for site, _ in meters})
    return {
        "clusters": [
            {"name": name, "site": site, "sources": [{"prometheus": {"url": f"http://{name}:9090"}}]}
            for name, site in clusters
        ],
        "sites": [
            {
                "name": site,
                "facility_power": [
                    {"cluster": cluster, "metric": f"m{n}", "category": "pue2"}
                    for n, (of, cluster) in enumerate(meters)
                    if of == site
                ],
            }
            for site in sites
        ],
    }


@given(data=st.data(), total=st.integers(1, 9))
def test_every_cluster_has_one_shard_and_its_site_all_that_it_is_made_of(data: st.DataObject, total: int) -> None:
    names = [f"c{n}" for n in range(data.draw(st.integers(1, 12)))]
    places = st.sampled_from(["s0", "s1", "s2", "s3"])
    clusters = [(name, data.draw(places)) for name in names]
    meters = data.draw(st.lists(st.tuples(places, st.sampled_from(names)), max_size=4))
    whole = config_of(clusters, meters)
    parts = [own_part(parse_config({**whole, "sharding": {"index": i, "total": total}})) for i in range(total)]

    assert Counter(c.name for part in parts for c in part.clusters) == Counter(names)
    assert Counter(s.name for part in parts for s in part.sites) == Counter(s["name"] for s in whole["sites"])
    for part in parts:
        mine = {cluster.name for cluster in part.clusters}
        for site in part.sites:
            assert {name for name, of in clusters if of == site.name} <= mine
            assert {meter.cluster for meter in site.facility_power} <= mine


def test_shards_stay_where_they_are() -> None:
    """Counters lie on the disk of their shard, so the rule must never change."""
    assert [shard_of(name, 7) for name in ("icn1", "pus1", "cdg3", "")] == [5, 2, 3, 0]


@pytest.mark.parametrize("sharding", [{"index": 3, "total": 3}, {"index": -1, "total": 3}, {"total": 0}])
def test_a_shard_that_cannot_be_is_a_mistake(sharding: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="sharding"):
        parse_config({**config_of([("a", "s")], []), "sharding": sharding})


def test_the_index_may_come_from_the_environment() -> None:
    data = {**config_of([("a", "s")], []), "sharding": {"index": "${SHARD}", "total": 3}}
    config = parse_config(data, {"SHARD": "2"})
    assert config.sharding is not None
    assert config.sharding.index == 2
