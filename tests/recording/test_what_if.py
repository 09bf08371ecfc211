"""What if: the same answers under another configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kcloud_exporter.config.load import parse_config
from kcloud_exporter.errors import ConfigError
from kcloud_exporter.exposition.ledger import ledger_page
from kcloud_exporter.exposition.renderer import Renderer
from kcloud_exporter.recording.live import Live
from kcloud_exporter.recording.reading import open_recording
from kcloud_exporter.recording.replay import Replay, replay_to
from tests.real.page import Page, parse_page, total
from tests.recording.conftest import DATA
from tests.recording.tapes import replayed_pages

SOURCES = DATA["clusters"][0]["sources"]


def page_of(tape: Path, **other: Any) -> Page:
    """The last page under a configuration with some other sections."""
    _, at = replay_to(tape, None, parse_config({**DATA, **other}, {}))
    return parse_page(ledger_page(Renderer(), at.snapshot).decode())


def with_sources(*sources: Any, **more: Any) -> list[dict[str, Any]]:
    return [{**DATA["clusters"][0], "sources": list(sources), **more}]


def test_another_policy_shares_the_same_watts_in_another_way(tape: Path) -> None:
    before, after = page_of(tape), page_of(tape, ledger={"idle": "proportional", "overhead": "proportional"})
    assert total(before, "kcloud_pod_power_watts") == 24
    assert total(after, "kcloud_pod_power_watts") == total(before, "kcloud_cluster_power_watts") == 602


def test_another_tariff_costs_more_for_the_same_energy(tape: Path) -> None:
    dear = [{"name": "icn1", "tariff": {"currency": "KRW", "price_per_kwh": 300.0}}]
    before, after = page_of(tape), page_of(tape, sites=dear)
    cost = total(before, "kcloud_namespace_cost_total")
    assert total(after, "kcloud_namespace_cost_total") == pytest.approx(3 * cost, rel=1e-12)
    assert cost == pytest.approx((22 + 24) * 15 / 3.6e6 * 100)


def test_targets_and_sources_may_stand_in_another_order(tape: Path) -> None:
    kepler, prometheus = SOURCES
    turned = {"exporter": {"vendor": "kepler", "targets": ["http://k2:1", "http://k1:1"]}}
    assert page_of(tape, clusters=with_sources(prometheus, turned)) == page_of(tape)
    assert kepler != turned


def test_nodes_may_have_other_names(tape: Path) -> None:
    page = page_of(tape, clusters=with_sources(*SOURCES, nodes={"aliases": {"n1": "first"}}))
    assert total(page, "kcloud_node_power_watts", node="first") == 502


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (SOURCES[:1], "the prometheus 'prometheus@p:9090' of cluster 'a' is missing"),
        (
            [*SOURCES, {"prometheus": {"url": "http://q"}}],
            "the prometheus 'prometheus@q:80' of cluster 'a' was not recorded",
        ),
        ([{"exporter": {"vendor": "kepler", "targets": ["http://k1:1"]}}, SOURCES[1]], "'kepler@k1:1' and 1 more of"),
    ],
)
def test_other_sources_are_refused(sources: list[Any], message: str, tape: Path) -> None:
    with pytest.raises(ConfigError) as stopped:
        page_of(tape, clusters=with_sources(*sources))
    assert message in str(stopped.value)
    assert "can only be replayed with the sources that it holds" in str(stopped.value)


def test_series_that_the_prometheus_was_not_asked_for_are_told(tape: Path) -> None:
    facility = [{"cluster": "a", "metric": "pdu_watts", "category": "pue2"}]
    config = parse_config({**DATA, "sites": [{"name": "icn1", "facility_power": facility}]}, {})
    assert Replay(open_recording(tape), config).unasked == {"a": ["pdu_watts"]}
    assert Replay(open_recording(tape)).unasked == {}


def test_a_shard_is_recorded_and_replayed_as_the_whole_that_it_is(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d", "seoul", "busan", "jeju", "daegu")
    clusters = [{"name": n, "labels": {f"of_{n}": "x"}, "sources": SOURCES} for n in names]
    config = parse_config({"clusters": clusters, "sharding": {"index": 1, "total": 2}}, {})
    live, renderer = Live(config, tmp_path / "r.tar"), Renderer()
    mine = list(live.pipeline.clusters)
    assert 0 < len(mine) < len(names)
    snapshot = live.pipeline.cycle({name: [] for name in mine}, 1e9, 0.0)
    live.recorder.page(snapshot.timestamp, ledger_page(renderer, snapshot))
    live.recorder.close()
    (page,) = replayed_pages(tmp_path / "r.tar")
    assert [name for name in names if f'of_{name}="x"'.encode() in page] == mine
    again = Replay(open_recording(tmp_path / "r.tar"), config)
    assert list(again.pipeline.clusters) == mine, "the configuration of all shards fits as well"
