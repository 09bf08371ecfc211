"""The page: what a scrape gets, byte for byte, plain and compressed, whole and narrowed."""

from __future__ import annotations

import gzip
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as _parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import FAMILIES, escape
from kcloud_exporter.exposition.page import PageStore, Variant
from kcloud_exporter.exposition.renderer import Renderer, header
from kcloud_exporter.model import ClusterSnapshot, Keys, Snapshot, Table


def parse_openmetrics(text: str) -> list[Metric]:
    return list(_parse_openmetrics(text))  # type: ignore[no-untyped-call]


def power(cluster: str, *watts: float) -> Table:
    return Table(Keys([(cluster, f"n{at}", "cpu") for at in range(len(watts))]), np.array(watts))


def snapshot(timestamp: float = 100.0) -> Snapshot:
    name = catalogue.NODE_POWER.name
    totals = {c: Table(Keys([(c, "cpu")]), np.array([w])) for c, w in (("a", 3.5), ("b", 7.0))}
    clusters = {
        c: ClusterSnapshot(c, "s", {name: power(c, 1.5, np.nan, w), catalogue.CLUSTER_POWER.name: totals[c]})
        for c, w in (("a", 2.0), ("b", 5.5))
    }
    site = Table(Keys([("s",)]), np.array([10.5]))
    info = Table(Keys([("a", "s", "kr")]), np.array([1.0]))
    return Snapshot(
        timestamp, 1, clusters, {catalogue.SITE_IT_POWER.name: site, catalogue.CLUSTER_INFO_NAME: info}, ("region",)
    )


@pytest.fixture
def pages() -> PageStore:
    store = PageStore(lambda _: b"", lambda: 107.25)
    store.render(snapshot())
    return store


def samples(page: bytes) -> dict[str, float]:
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
        for line in page.decode().splitlines()
        if not line.startswith("#")
    }


async def test_absent_is_not_zero(pages: PageStore) -> None:
    shown = samples(await pages.page(Variant(), gzip=False))

    assert shown['kcloud_node_power_watts{cluster="a",node="n0",component="cpu"}'] == 1.5
    assert 'kcloud_node_power_watts{cluster="a",node="n1",component="cpu"}' not in shown
    assert shown["kcloud_snapshot_series"] == 8


async def test_the_age_is_that_of_the_scrape(pages: PageStore) -> None:
    assert samples(await pages.page(Variant(), gzip=False))["kcloud_snapshot_age_seconds"] == 7.25


@pytest.mark.parametrize(
    "variant",
    [
        Variant(),
        Variant(openmetrics=True),
        Variant(clusters=frozenset({"b"})),
        Variant(openmetrics=True, levels=frozenset({"node", "snapshot"})),
    ],
)
async def test_compressed_is_the_same_page_in_one_gzip_member(pages: PageStore, variant: Variant) -> None:
    packed = await pages.page(variant, gzip=True)
    stream = zlib.decompressobj(31)

    assert stream.decompress(packed) == await pages.page(variant, gzip=False)
    assert stream.eof
    assert stream.unused_data == b""
    assert gzip.decompress(packed)


async def test_both_formats_carry_the_same_samples(pages: PageStore) -> None:
    plain = samples(await pages.page(Variant(), gzip=False))
    strict = samples(await pages.page(Variant(openmetrics=True), gzip=False))

    assert plain == strict


async def test_both_formats_are_valid_to_their_parsers(pages: PageStore) -> None:
    text = (await pages.page(Variant(), gzip=False)).decode()
    openmetrics = (await pages.page(Variant(openmetrics=True), gzip=False)).decode()

    assert {f.name for f in parse_text(text)} == {f.name for f in parse_openmetrics(openmetrics)}
    assert openmetrics.endswith("# EOF\n")
    assert "# UNIT kcloud_node_power_watts watts\n" in openmetrics


async def test_narrowed_to_a_cluster_leaves_the_others_and_the_sites_out(pages: PageStore) -> None:
    shown = samples(await pages.page(Variant(clusters=frozenset({"b"})), gzip=False))

    assert {key.split('cluster="')[1][0] for key in shown if 'cluster="' in key and "info" not in key} == {"b"}
    assert not [key for key in shown if key.startswith("kcloud_site")]


async def test_narrowed_pages_of_large_and_small_clusters_are_parts_of_the_whole() -> None:
    def large(cluster: str, nodes: int) -> Table:
        return Table(Keys([(cluster, f"n{n}", "cpu") for n in range(nodes)]), np.arange(1.0, nodes + 1))

    sizes = {"a": 3, "b": 2000, "c": 4, "d": 5, "e": 1500, "f": 6}
    clusters = {
        name: ClusterSnapshot(name, "s", {catalogue.NODE_POWER.name: large(name, n)}) for name, n in sizes.items()
    }
    store = PageStore(lambda _: b"", lambda: 0.0)
    store.render(Snapshot(0.0, 1, clusters, {}))
    whole = samples(await store.page(Variant(), gzip=False))
    for chosen in ("a", "b", "ac", "cd", "bf", "adef", "abcdef"):
        shown = samples(gzip.decompress(await store.page(Variant(clusters=frozenset(chosen)), gzip=True)))
        assert shown == {k: v for k, v in whole.items() if "cluster=" not in k or k.split('cluster="')[1][0] in chosen}
        assert sum(key.startswith("kcloud_node_power_watts{") for key in shown) == sum(sizes[name] for name in chosen)


async def test_narrowed_to_levels(pages: PageStore) -> None:
    shown = samples(await pages.page(Variant(levels=frozenset({"cluster", "site"})), gzip=False))

    assert set(shown) == {
        'kcloud_cluster_power_watts{cluster="a",component="cpu"}',
        'kcloud_cluster_power_watts{cluster="b",component="cpu"}',
        'kcloud_cluster_info{cluster="a",site="s",region="kr"}',
        'kcloud_site_it_power_watts{site="s"}',
    }


async def test_there_is_no_page_before_the_first_snapshot() -> None:
    with pytest.raises(LookupError):
        await PageStore(lambda _: b"", lambda: 0.0).page(Variant(), gzip=True)


async def test_an_unchanged_family_keeps_its_compression_and_a_changed_one_does_not(pages: PageStore) -> None:
    before = await pages.page(Variant(), gzip=False)
    pages.render(snapshot(105.0))
    after = await pages.page(Variant(), gzip=False)

    assert samples(after)["kcloud_snapshot_age_seconds"] == 2.25
    assert samples(after).keys() == samples(before).keys()


def test_two_families_over_the_same_keys_keep_their_names() -> None:
    table, renderer = power("a", 1.0), Renderer()

    assert renderer.lines(catalogue.NODE_POWER, table)[0].startswith(b"kcloud_node_power_watts{")
    assert renderer.lines(catalogue.NODE_ENERGY, table)[0].startswith(b"kcloud_node_energy_joules_total{")


@given(st.lists(st.text(), min_size=3, max_size=3))
def test_any_label_text_comes_back_from_a_parser(values: list[str]) -> None:
    lines, _ = Renderer().lines(catalogue.NODE_POWER, Table(Keys([tuple(values)]), np.ones(1)))
    (family,) = parse_openmetrics(header(catalogue.NODE_POWER, openmetrics=True).decode() + lines.decode() + "# EOF\n")

    expected = [v.encode("utf-8", "replace").decode() for v in values]
    assert [family.samples[0].labels[name] for name in catalogue.NODE_POWER.labels] == expected


def test_a_lone_surrogate_cannot_poison_the_page() -> None:
    assert escape("prod\ud800") == "prod?"


@pytest.mark.parametrize("family", FAMILIES.values(), ids=str)
def test_a_family_obeys_the_conventions(family: catalogue.Family) -> None:
    assert family.name.startswith("kcloud_")
    assert ":" not in family.name
    assert (family.type == "counter") == family.name.endswith("_total")
    assert len(set(family.labels)) == len(family.labels)
    assert family.level in catalogue.LEVELS
    assert family.help.endswith(".")
