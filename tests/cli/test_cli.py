"""The command line: help that teaches, and errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from kcloud_exporter.cli import log_level, main, parser
from kcloud_exporter.commands.flags import is_loopback, listen_address, serve_options
from kcloud_exporter.errors import ConfigError
from kcloud_exporter.options import ServeOptions

GOOD = "clusters: [{name: a, sources: [{exporter: {vendor: dcgm, targets: ['http://h:1/metrics']}}]}]\n"


@pytest.mark.parametrize(
    "command", ["serve", "demo", "fleet", "snapshot", "explain", "check", "vendors", "record", "replay", "bench"]
)
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args([command, "--help"])

    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "example" in text
    assert "--log.level" in text


def test_check_tells_what_it_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)

    assert main(["check", "--config.file", str(file)]) == 0
    assert "1 cluster, 1 source, 0 sites" in capsys.readouterr().out


def test_check_prints_every_mistake_and_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("global: {intervall: 1s}\nclusters: []\n")

    assert main(["check", "--config.file", str(file)]) == 2
    told = capsys.readouterr().err
    assert "global.intervall: unknown key" in told
    assert "clusters: " in told
    assert "2 mistakes" in told


def test_a_vendor_that_no_table_knows_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(GOOD.replace("dcgm", "dgcm"))

    assert main(["check", "--config.file", str(file)]) == 2
    told = capsys.readouterr().err
    assert "'dgcm' is no vendor table; known: amd, " in told
    assert "Did you mean dcgm?" in told


@pytest.mark.parametrize("address", ["0.0.0.0:28283", ":28283", "10.0.0.1:1", "[::]:1"])
def test_an_open_address_without_protection_is_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("API_AUTH_USERNAME", raising=False)
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)

    assert main(["serve", "--config.file", str(file), "--web.listen-address", address]) == 2
    assert "--web.allow-unauthenticated" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "environ"),
    [
        (["--web.config.file", "{folder}/tls.yaml"], {}),
        (["--web.allow-unauthenticated"], {}),
        ([], {"API_AUTH_USERNAME": "u", "API_AUTH_PASSWORD": "s3cret"}),
    ],
)
def test_an_open_address_with_protection_is_taken(tmp_path: Path, flags: list[str], environ: dict[str, str]) -> None:
    (tmp_path / "tls.yaml").write_text("tls_server_config: {cert_file: c, key_file: k}")
    flags = [flag.format(folder=tmp_path) for flag in flags]
    options = serve_options(parser().parse_args(["serve", "--web.listen-address", ":28283", *flags]), environ)

    assert (options.listen_host, options.listen_port) == ("0.0.0.0", 28283)


@pytest.mark.parametrize("environ", [{}, {"API_AUTH_USERNAME": "u", "API_AUTH_PASSWORD": "s3cret"}])
@pytest.mark.parametrize("text", ["", "http_server_config: {headers: {X-Frame-Options: deny}}"])
def test_a_web_configuration_that_protects_nothing_opens_no_address(
    tmp_path: Path, text: str, environ: dict[str, str]
) -> None:
    (tmp_path / "web.yaml").write_text(text)
    flags = ["--web.listen-address", ":28283", "--web.config.file", str(tmp_path / "web.yaml")]

    with pytest.raises(ConfigError, match=r"--web\.allow-unauthenticated"):
        serve_options(parser().parse_args(["serve", *flags]), environ)


def test_the_level_may_be_said_as_prometheus_says_it() -> None:
    assert parser().parse_args(["check", "--log.level=warn"]).log_level == "warning"


def test_flags_of_a_server_and_their_defaults() -> None:
    assert serve_options(parser().parse_args(["serve", "--log.level", "info"]), {}) == ServeOptions(
        config_file=None,
        listen_host="127.0.0.1",
        listen_port=28283,
        web_config_file=None,
        enable_lifecycle=False,
        allow_unauthenticated=False,
        storage_path=None,
        log_level="info",
        log_format="logfmt",
    )


@pytest.mark.parametrize(
    ("said", "level"), [("", "info"), ("WARNING", "warning"), ("warn", "warning"), ("CRITICAL", "error")]
)
def test_the_level_of_the_environment(said: str, level: str) -> None:
    assert log_level({"LOG_LEVEL": said}) == level


def test_a_level_that_nobody_knows_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "loud")

    assert main(["check"]) == 2
    assert "LOG_LEVEL: 'loud' is no level; known: debug" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--cycles", "--series"])
@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_a_benchmark_measures_something(flag: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(["bench", f"{flag}={number}"])

    assert stopped.value.code == 2
    assert "at least 1" in capsys.readouterr().err


def test_a_site_where_nothing_stands_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD + "sites: [{name: icn1}]\n")

    assert main(["check", "--config.file", str(file)]) == 0
    assert "no cluster stands at site 'icn1'; clusters stand at a" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:28283", ("127.0.0.1", 28283)),
        (":1", ("0.0.0.0", 1)),
        ("[::1]:9", ("::1", 9)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_listen_addresses(text: str, expected: tuple[str, int]) -> None:
    assert listen_address(text) == expected


@pytest.mark.parametrize("text", ["28283", "host:", "host:x", "host:99999", "host:²", ""])
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        listen_address(text)


def test_loopback() -> None:
    assert [is_loopback(host) for host in ("127.9.9.9", "::1", "localhost", "0.0.0.0", "example.org")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_without_any_configuration_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PROMETHEUS_URL", raising=False)
    monkeypatch.delenv("PROMETHEUS_CLUSTERS", raising=False)

    assert main(["serve"]) == 2
    assert "kcloud-exporter demo" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("kcloud-exporter ")
