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
TOKENS = {"unit": "token", "metric": "vllm:generation_tokens_total"}


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
        "clusters.0.sources.0.exporter.targets.0",
        "clusters.0.sources.1",
        "sites.0.facility_power.0.category",
    ]
    assert "did you mean 'interval'" in told[0]


def test_one_mistake_hides_no_other() -> None:
    """A wrong field, an unknown key, a name that stands twice and a file that is not there are of different kinds."""
    told = mistakes(
        {
            "global": {"interval": "5s", "speed": 1},
            "clusters": [
                {"name": "a", "sources": [{"prometheus": {"url": "http://p", "bearer_token_file": "none"}}]},
                {"name": "a", "sources": [SOURCE, SOURCE]},
                {"name": "b", "sources": []},
            ],
            "sites": [{"name": "s", "facility_power": [{"cluster": "c", "metric": "m", "category": "pue1"}]}],
        }
    )

    assert [line.split(":")[0] for line in told] == [
        "global.speed",
        "clusters.2.sources",
        "global",
        "clusters.0.sources.0.prometheus.bearer_token_file",
        "clusters.1.name",
        "clusters.1.sources.1",
        "sites.0.facility_power.0.cluster",
    ]


def test_the_same_prometheus_may_be_read_twice_for_different_series() -> None:
    url = "http://p:9090"
    parts = [{"prometheus": {"url": url, "name": job, "match": {"job": job}}} for job in ("dcgm", "kepler")]

    assert len(parse_config(config(clusters=[{"name": "a", "sources": parts}]), {}).clusters[0].sources) == 2


def test_equal_configurations_have_equal_hashes() -> None:
    one = parse_config(config(clusters=[{"name": "a", "sources": [SOURCE], "labels": {"x": "1", "y": "2"}}]), {})
    two = parse_config(config(clusters=[{"name": "a", "sources": [SOURCE], "labels": {"y": "2", "x": "1"}}]), {})
    other = parse_config(config(), {})

    assert one == two
    assert hash(one) == hash(two)
    assert one != other


def test_counters_of_work_that_do_not_meet_may_share_a_unit_or_a_series() -> None:
    clusters = [{"name": name, "sources": [SOURCE]} for name in ("a", "b")]
    work = [
        {**TOKENS, "clusters": ["a"]},
        {**TOKENS, "clusters": ["b"]},
        {**TOKENS, "unit": "output", "labels": {"model_name": "m"}},
        {**TOKENS, "unit": "output", "labels": {"model_name": "n"}},
        {**TOKENS, "metric": "sglang:generation_tokens_total"},
    ]

    found = parse_config(config(clusters=clusters, work_units=work), {}).work_units
    assert len(found) == 5
    assert found[0].namespace == ("exported_namespace", "namespace")


def test_a_section_with_everything_commented_out_is_none() -> None:
    assert parse_config(config(sites=None, ledger=None), {}) == parse_config(config(), {})


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
        (config(work_units=[{**TOKENS, "clusters": ["b"]}]), "work_units.0.clusters", "no cluster 'b'; known: a"),
        (config(work_units=[{**TOKENS, "clusters": ["a", "a"]}]), "work_units.0.clusters", "a cluster stands twice"),
        (config(work_units=[TOKENS, {**TOKENS, "scale": 2}]), "work_units.1", "the same counter as work_units.0"),
        (
            config(work_units=[TOKENS, {**TOKENS, "labels": {"model_name": "m"}, "clusters": ["a"]}]),
            "work_units.1",
            "counts series again that belong to work_units.0",
        ),
        (
            config(
                work_units=[{**TOKENS, "metric": "m"}],
                sites=[{"name": "s", "facility_power": [{"cluster": "a", "metric": "m", "category": "pue1"}]}],
            ),
            "work_units.0.metric",
            "'m' is read as watts by sites.0.facility_power.0",
        ),
        (config(work_units=[{**TOKENS, "pod": []}]), "work_units.0.pod", "at least 1"),
        (config(work_units=[{**TOKENS, "scale": 0}]), "work_units.0.scale", "greater than 0"),
        (config(sites=[{"name": "s", "static_pue": 0.9}]), "sites.0.static_pue", "greater than or equal to 1"),
        (config(history={"backend": "prometheus"}), "history", "url"),
        (config(clusters="a"), "clusters", "must be a list"),
        (config(clusters=[{"name": 7, "sources": [SOURCE]}]), "clusters.0.name", "put it in quotes"),
        (
            config(clusters=[{"name": "a", "sources": [SOURCE], "labels": {"my-region": "x"}}]),
            "clusters.0.labels.my-region",
            "no label name",
        ),
        (
            config(clusters=[{"name": "a", "sources": [{"prometheus": {"url": "http://p/?x=1"}}]}]),
            "clusters.0.sources.0.prometheus.url",
            "must end before ?",
        ),
        (
            config(clusters=[{"name": "a", "sources": [{"prometheus": {"url": f"http://p/{x}"}} for x in "ab"]}]),
            "clusters.0.sources.1",
            "called 'prometheus@p:80' too",
        ),
        (
            config(
                clusters=[
                    {
                        "name": "a",
                        "sources": [{"exporter": {"vendor": "ipmi", "targets": ["http://i/m", "https://i:80/m"]}}],
                    }
                ]
            ),
            "clusters.0.sources.0",
            "2 targets would be called 'ipmi@i:80/m'",
        ),
        (
            config(sites=[{"name": "s", "facility_power": [{"cluster": "a", "metric": "m", "category": "pue1"}] * 2}]),
            "sites.0.facility_power.1",
            "the same meter",
        ),
        (config(sites=[{"name": "s", "static_pue": float("inf")}]), "sites.0.static_pue", "finite"),
        (config(vendors_dir="nowhere"), "vendors_dir", "there is no folder nowhere"),
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

    @pytest.mark.parametrize("host", ["${PROM-HOST}", "${}", "${1ST}"])
    def test_what_is_no_variable_is_not_taken_as_text(self, host: str) -> None:
        data = config(clusters=[{"name": "a", "sources": [{"prometheus": {"url": f"http://{host}:9090"}}]}])

        (told,) = mistakes(data)
        assert told.startswith(f"clusters.0.sources.0.prometheus.url: {host} names no variable")

    def test_a_missing_variable_is_told_once(self) -> None:
        data = config(clusters=[{"name": "a", "sources": [{"prometheus": {"url": "${URL}"}}]}])

        assert mistakes(data) == ["clusters.0.sources.0.prometheus.url: the environment variable URL is not set"]

    @pytest.mark.parametrize(
        "environ",
        [
            {"PROMETHEUS_URL": "http://p:1", "PROMETHEUS_USERNAME": "u", "PROMETHEUS_PASSWORD": "a$$b${HOME}@"},
            {"PROMETHEUS_URL": "http://u:a$$b${HOME}%40@p:1"},
        ],
    )
    def test_a_password_in_a_variable_is_taken_as_it_is(self, environ: dict[str, str]) -> None:
        source = load_config(None, environ).clusters[0].sources[0].prometheus

        assert source is not None
        assert source.url == "http://p:1"
        assert source.basic_auth is not None
        assert source.basic_auth.password is not None
        assert source.basic_auth.password.get_secret_value() == "a$$b${HOME}@"

    def test_one_prometheus_is_enough(self) -> None:
        assert load_config(None, {"PROMETHEUS_URL": "http://p:1", "DEFAULT_CLUSTER": "lab"}).clusters[0].name == "lab"

    @pytest.mark.parametrize(
        "environ",
        [
            {},
            {"PROMETHEUS_CLUSTERS": "{"},
            {"PROMETHEUS_CLUSTERS": "[1]"},
            {"PROMETHEUS_CLUSTERS": "[]"},
            {"PROMETHEUS_URL": "http://p", "PROMETHEUS_TIMEOUT": "soon"},
            {"PROMETHEUS_URL": "http://p", "PROMETHEUS_TIMEOUT": "0"},
            {"PROMETHEUS_URL": "http://[p"},
            {"PROMETHEUS_URL": "http://p", "PROMETHEUS_PASSWORD": "x"},
            {"PROMETHEUS_URL": "http://p", "PROMETHEUS_USERNAME": "u", "PROMETHEUS_PASSWORD": "changeme"},
            {"PROMETHEUS_URL": "http://p", "PROMETHEUS_CA_BUNDLE": "nowhere.pem"},
        ],
    )
    def test_what_cannot_be_used_is_told(self, environ: dict[str, str]) -> None:
        with pytest.raises(ConfigError):
            load_config(None, environ)


def with_access(**access: Any) -> dict[str, Any]:
    return config(clusters=[{"name": "a", "sources": [{"prometheus": {"url": "http://p:9090", **access}}]}])


class TestSecrets:
    PLACE = "clusters.0.sources.0.prometheus"

    def test_a_secret_never_prints_itself(self) -> None:
        data = with_access(basic_auth={"username": "u", "password": "${SECRET}"})
        found = parse_config(data, {"SECRET": "canary-77"})

        assert "canary-77" not in repr(found) + str(found) + found.model_dump_json()

    @pytest.mark.parametrize("secret", ["canary-77", "$$canary-77", 7])
    def test_a_secret_does_not_stand_in_the_file(self, secret: object) -> None:
        (told,) = mistakes(with_access(bearer_token=secret))

        assert told.startswith(f"{self.PLACE}.bearer_token: ")
        assert "bearer_token_file" in told
        assert "canary" not in told

    def test_a_label_may_be_called_password(self) -> None:
        data = config(clusters=[{"name": "a", "sources": [SOURCE], "labels": {"password": "x"}}])

        assert parse_config(data, {}).clusters[0].labels == {"password": "x"}

    def test_a_well_known_password_is_refused_wherever_it_stands(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("changeme\n")
        from_file = {"username": "u", "password_file": str(tmp_path / "secret")}
        from_variable = {"username": "u", "password": "${SECRET}"}

        (one,) = mistakes(with_access(basic_auth=from_file))
        (two,) = mistakes(with_access(basic_auth=from_variable), {"SECRET": "ChangeMe"})

        assert "well-known" in one
        assert "well-known" in two

    @pytest.mark.parametrize(
        ("access", "words"),
        [
            ({"basic_auth": {"username": "u"}}, "password_file"),
            ({"bearer_token": "${T}", "basic_auth": {"username": "u", "password": "${T}"}}, "only one of"),
            ({"tls": {"key_file": __file__}}, "cert_file"),
        ],
    )
    def test_ways_in_that_do_not_fit_together(self, access: dict[str, Any], words: str) -> None:
        (told,) = mistakes(with_access(**access), {"T": "t"})

        assert words in told

    def test_paths_are_relative_to_the_file_that_names_them(self, tmp_path: Path) -> None:
        main = tmp_path / "main.yaml"
        main.write_text(
            "vendors_dir: tables\n"
            "clusters: [{name: a, sources: [{prometheus: {url: 'http://p', bearer_token_file: token}}]}]\n"
        )
        with pytest.raises(ConfigError, match="there is no file") as caught:
            load_config(main, {})
        assert len(caught.value.problems) == 2

        (tmp_path / "token").write_text("t")
        (tmp_path / "tables").mkdir()
        found = load_config(main, {})

        assert found.vendors_dir == str(tmp_path / "tables")
        assert found.clusters[0].sources[0].prometheus is not None
        assert found.clusters[0].sources[0].prometheus.bearer_token_file == str(tmp_path / "token")


class TestFiles:
    def test_included_clusters(self, tmp_path: Path) -> None:
        (tmp_path / "clusters.d").mkdir()
        (tmp_path / "clusters.d" / "b.yaml").write_text("{name: b, sources: [{prometheus: {url: 'http://b'}}]}")
        (tmp_path / "clusters.d" / "c.yaml").write_text("- {name: c, sources: [{prometheus: {url: 'http://c'}}]}")
        main = tmp_path / "main.yaml"
        main.write_text("clusters_from: clusters.d/*.yaml\n")

        assert [cluster.name for cluster in load_config(main, {}).clusters] == ["b", "c"]

        (tmp_path / "clusters.d" / "c.yaml").write_text("- {name: c, sources: [{prometheus: {url: 'c'}}]}")
        with pytest.raises(ConfigError) as caught:
            load_config(main, {})
        (told,) = caught.value.problems
        assert told.startswith("clusters.1.sources.0.prometheus.url: 'c' is no http:// or https:// URL")
        assert told.endswith("(in " + str(tmp_path / "clusters.d" / "c.yaml") + ")")

    def test_an_absolute_pattern(self, tmp_path: Path) -> None:
        (tmp_path / "b.yml").write_text("{name: b, sources: [{prometheus: {url: 'http://b'}}]}")
        main = tmp_path / "main.yaml"
        main.write_text(f"clusters_from: {tmp_path}/*.yml\n")

        assert [cluster.name for cluster in load_config(main, {}).clusters] == ["b"]

    def test_unquoted_scalars_mean_what_they_look_like(self, tmp_path: Path) -> None:
        """In YAML 1.1 `no` is false, 22:00 is 1320 (base 60), and a day is a date."""
        main = tmp_path / "main.yaml"
        main.write_text(
            "clusters:\n"
            "  - {name: a, labels: {region: no, since: 2024-01-01}, sources: [{prometheus: {url: 'http://p'}}]}\n"
            "sites:\n"
            "  - name: a\n"
            "    tariff:\n"
            "      {currency: KRW, price_per_kwh: 1e2, periods: [{from: 22:00, to: 08:00, price_per_kwh: 50}]}\n"
        )
        found = load_config(main, {})

        assert found.clusters[0].labels == {"region": "no", "since": "2024-01-01"}
        assert found.sites[0].tariff is not None
        assert found.sites[0].tariff.price_per_kwh == 100
        assert (found.sites[0].tariff.periods[0].from_, found.sites[0].tariff.periods[0].to) == ("22:00", "08:00")

    def test_anchors_and_merge_keys(self, tmp_path: Path) -> None:
        main = tmp_path / "main.yaml"
        main.write_text(
            "clusters:\n"
            "  - {name: a, sources: [{prometheus: &all {url: 'http://a', method: query}}]}\n"
            "  - {name: b, sources: [{prometheus: {<<: *all, url: 'http://b'}}]}\n"
        )
        sources = [cluster.sources[0].prometheus for cluster in load_config(main, {}).clusters]

        assert [(s.url, s.method) for s in sources if s] == [("http://a", "query"), ("http://b", "query")]

    @pytest.mark.parametrize(
        ("text", "where"),
        [
            ("clusters: [\n", "main.yaml:2:1"),
            ("a: 1\na: 2\n", "main.yaml:2:1: the key 'a' stands twice"),
            ("- 1\n", "must hold a mapping"),
            ("", "must hold a mapping"),
            ("a: b\x00\n", r"main.yaml:1:5: the character U\+0000"),
            ("a: 1\n? [b]\n: c\n", "main.yaml:2:3: a key must be a text"),
            ("a: 1\n---\na: 1\n", "main.yaml:2:1"),
            ("clusters_from: no/*.yaml\n", "no file matches"),
            ("clusters_from: ''\n", "write a file pattern"),
            ("clusters_from: '*.yaml'\nclusters: 5\n", "must be a list"),
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


def test_a_matcher_that_is_no_regular_expression_is_told() -> None:
    source = {"prometheus": {"url": "http://p:9090", "match": {"node": "~("}}}
    assert any("node: no regular expression" in m for m in mistakes({"clusters": [{"name": "a", "sources": [source]}]}))
