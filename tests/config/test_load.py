"""The configuration: every mistake at once, each with its place; secrets that stay secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kcloud_exporter.config.load import json_schema, load_config, parse_config
from kcloud_exporter.errors import ConfigError

ROOT = Path(__file__).parents[2]
SOURCE = {"prometheus": {"url": "http://p:9090"}}


def config(**changes: Any) -> dict[str, Any]:
    return {"clusters": [{"name": "a", "sources": [SOURCE]}], **changes}


def mistakes(data: dict[str, Any], environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(data, environ or {})
    return list(caught.value.problems)


def test_the_example_is_good_and_the_schema_is_current() -> None:
    assert len(load_config(ROOT / "config" / "kcloud-exporter.example.yaml", {}).clusters) == 2
    assert json.loads((ROOT / "config" / "schema.json").read_text()) == json_schema()


def test_defaults() -> None:
    found = parse_config(config(), {})

    assert (found.global_.interval, found.global_.timeout, found.global_.max_staleness) == (15, 10, 45)
    assert found.clusters[0].site == "a"
    assert found.limits.body_bytes == 64 * 2**20
    assert found.ledger.idle == found.ledger.overhead == "unattributed"


def test_every_mistake_is_told_at_once_with_its_place() -> None:
    told = mistakes(
        {
            "global": {"intervall": "15s"},
            "clusters": [{"name": "a", "sources": [{"exporter": {"vendor": "dcgm", "targets": ["ftp://x"]}}, {}]}],
            "sites": [{"name": "s", "facility_power": [{"cluster": "a", "metric": "x", "category": "pue9"}]}],
        }
    )

    assert [line.split(":")[0] for line in told] == [
        "global.intervall",
        "clusters.0.sources.0.exporter.targets",
        "clusters.0.sources.1",
        "sites.0.facility_power.0.category",
    ]
    assert "did you mean 'interval'" in told[0]


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        (config(**{"global": {"interval": "5s"}}), "global", "timeout (10s) must be shorter than interval (5s)"),
        (config(**{"global": {"interval": 15}}), "global.interval", "no unit"),
        (config(clusters=[]), "clusters", "at least 1"),
        (config(clusters=[{"name": "a", "sources": [SOURCE]}] * 2), "clusters.1.name", "stands twice"),
        (config(clusters=[{"name": "a", "sources": [SOURCE, SOURCE]}]), "clusters.0.sources.1", "already read"),
        (
            config(clusters=[{"name": "a", "sources": [SOURCE], "labels": {"cluster": "x"}}]),
            "clusters.0.labels",
            "set by the exporter",
        ),
        (
            config(clusters=[{"name": "a", "sources": [SOURCE], "nodes": {"pattern": "("}}]),
            "clusters.0.nodes.pattern",
            "no regular expression",
        ),
        (
            config(clusters=[{"name": "a", "sources": [SOURCE], "nodes": {"pattern": "x"}}]),
            "clusters.0.nodes.pattern",
            "(?P<node>",
        ),
        (
            config(clusters=[{"name": "a", "sources": [{"prometheus": {"url": "http://u:p@h"}}]}]),
            "clusters.0.sources.0.prometheus.url",
            "basic_auth",
        ),
        (
            config(sites=[{"name": "s", "facility_power": [{"cluster": "b", "metric": "m", "category": "pue1"}]}]),
            "sites.0.facility_power.0.cluster",
            "no cluster 'b'",
        ),
        (config(sites=[{"name": "s", "static_pue": 0.9}]), "sites.0.static_pue", "greater than or equal to 1"),
        (config(history={"backend": "prometheus"}), "history", "url"),
    ],
)
def test_a_mistake_names_its_place_and_the_mend(data: dict[str, Any], place: str, words: str) -> None:
    (told,) = mistakes(data)

    assert told.startswith(f"{place}: ")
    assert words in told


class TestEnvironment:
    def test_variables_are_filled_in_and_a_missing_one_is_named(self) -> None:
        data = config(storage={"path": "/var/${NAME}/$$x"})

        assert parse_config(data, {"NAME": "kc"}).storage.path == "/var/kc/$x"
        assert mistakes(data) == ["storage.path: the environment variable NAME is not set"]

    def test_the_originals_variables_work_without_a_file(self) -> None:
        environ = {
            "PROMETHEUS_CLUSTERS": '[{"name": "x", "url": "http://p:1", "region": "kr"}]',
            "PROMETHEUS_USERNAME": "u",
            "PROMETHEUS_PASSWORD": "s3cret",
            "PROMETHEUS_TIMEOUT": "30",
        }
        found = load_config(None, environ)
        source = found.clusters[0].sources[0].prometheus

        assert source is not None
        assert source.basic_auth is not None
        assert source.basic_auth.username == "u"
        assert found.clusters[0].labels == {"region": "kr"}
        assert found.global_.timeout < found.global_.interval

    def test_one_prometheus_is_enough(self) -> None:
        assert load_config(None, {"PROMETHEUS_URL": "http://p:1", "DEFAULT_CLUSTER": "lab"}).clusters[0].name == "lab"

    @pytest.mark.parametrize(
        "environ",
        [
            {},
            {"PROMETHEUS_CLUSTERS": "{"},
            {"PROMETHEUS_CLUSTERS": "[1]"},
            {"PROMETHEUS_URL": "http://p", "PROMETHEUS_TIMEOUT": "soon"},
        ],
    )
    def test_what_cannot_be_used_is_told(self, environ: dict[str, str]) -> None:
        with pytest.raises(ConfigError):
            load_config(None, environ)


class TestSecrets:
    def test_a_password_never_prints_itself(self) -> None:
        auth = {"basic_auth": {"username": "u", "password": "canary-77"}}
        found = parse_config(
            config(clusters=[{"name": "a", "sources": [{"prometheus": SOURCE["prometheus"] | auth}]}]), {}
        )

        assert "canary-77" not in repr(found) + str(found) + found.model_dump_json()

    def test_a_well_known_password_is_refused(self) -> None:
        auth = {"basic_auth": {"username": "u", "password": "changeme"}}
        (told,) = mistakes(config(clusters=[{"name": "a", "sources": [{"prometheus": SOURCE["prometheus"] | auth}]}]))

        assert "well-known" in told

    def test_a_secret_file_must_be_there(self, tmp_path: Path) -> None:
        auth = {"bearer_token_file": str(tmp_path / "token")}
        data = config(clusters=[{"name": "a", "sources": [{"prometheus": SOURCE["prometheus"] | auth}]}])

        assert "there is no file" in mistakes(data)[0]
        (tmp_path / "token").write_text("t")
        parse_config(data, {})


class TestFiles:
    def test_included_clusters(self, tmp_path: Path) -> None:
        (tmp_path / "clusters.d").mkdir()
        (tmp_path / "clusters.d" / "b.yaml").write_text("{name: b, sources: [{prometheus: {url: 'http://b'}}]}")
        (tmp_path / "clusters.d" / "c.yaml").write_text("- {name: c, sources: [{prometheus: {url: 'http://c'}}]}")
        main = tmp_path / "main.yaml"
        main.write_text("clusters_from: clusters.d/*.yaml\n")

        assert [cluster.name for cluster in load_config(main, {}).clusters] == ["b", "c"]

    @pytest.mark.parametrize(
        ("text", "where"),
        [
            ("clusters: [\n", "main.yaml:2:1"),
            ("a: 1\na: 2\n", "main.yaml:2:1: the key 'a' stands twice"),
            ("- 1\n", "must hold a mapping"),
            ("clusters_from: no/*.yaml\n", "no file matches"),
        ],
    )
    def test_broken_yaml_names_file_line_and_column(self, tmp_path: Path, text: str, where: str) -> None:
        main = tmp_path / "main.yaml"
        main.write_text(text)
        with pytest.raises(ConfigError, match=where.replace("*", r"\*")):
            load_config(main, {})

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="No such file"):
            load_config(tmp_path / "none.yaml", {})
