"""Every part of `bench`, small: it measures something, its figures hold together, and a wrong result is no result."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
from pathlib import Path

import pytest

from kcloud_exporter.bench import exports, streams, upstream
from kcloud_exporter.bench.memory import cpu_seconds, resident
from kcloud_exporter.bench.pages import series_per_node
from kcloud_exporter.cli import main, parser
from tests.real.programs import require


def test_exports_of_many_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "bench.json"
    assert main(["bench", "exports", "--rows=3000", "--json", str(kept)]) == 0

    told = capsys.readouterr().out
    assert "3,000 rows of power and energy" in told
    (run,) = json.loads(kept.read_text())["runs"]
    assert [each["format"] for each in run["exports"]] == ["parquet", "csv"]
    for each in run["exports"]:
        assert each["rows"] == 3000
        assert each["bytes"] > 3000
        assert 20 < each["peak_mib"] < 1000
        assert each["cpu_seconds"] > 0
    assert run["results"] == []


def test_a_file_that_does_not_tell_what_history_does_is_no_result(tmp_path: Path) -> None:
    joules = exports.keep(tmp_path / "history", 2)
    assert exports.export(tmp_path, "csv", 2, joules).rows == 2 * exports.SERIES
    with pytest.raises(RuntimeError, match="the parquet file tells"):
        exports.export(tmp_path, "parquet", 2, joules * 1.001)
    with pytest.raises(RuntimeError, match="the csv file tells"):
        exports.export(tmp_path, "csv", 3, joules)


def test_streams_of_which_some_stall() -> None:
    told = streams.measure(12, 2, 20, stall_seconds=1.0)

    assert (told.clients, told.stalled) == (12, 2)
    assert told.events >= 20
    assert (told.lost_by_healthy, told.healthy_cut_off, told.stalled_cut_off) == (0, 0, 2)
    assert told.event_bytes > 1000
    assert 20 < told.empty_mib <= told.peak_mib
    assert "0 of " in streams.table(told)


def test_requests_to_the_running_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "bench.json"
    assert main(["bench", "api", "--seconds=0.3", "--json", str(kept)]) == 0

    text = capsys.readouterr().out
    assert "25 requests/s" in text
    (run,) = json.loads(kept.read_text())["runs"]
    trivial, *routes = run["api"]
    assert trivial["ratio"] == 1.0
    assert {each["kind"] for each in routes} == {"kept", "drawn"}
    for each in routes:
        assert each["answers"] > 0
        assert each["bytes_each"] > trivial["bytes_each"]
        assert each["ratio"] > 0
    assert len(re.findall(r"(?m)^  .* (?:kept|drawn) ", text)) == len(routes)


def test_what_is_asked_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require("prometheus")
    kept = tmp_path / "bench.json"
    assert main(["bench", "upstream", "--series=300", "--cycles=2", "--json", str(kept)]) == 0

    text = capsys.readouterr().out
    assert re.search(r"A cycle over 2\d\d series.* each comes to \d+ kW", text)
    (run,) = json.loads(kept.read_text())["runs"]
    federate, query, direct = run["upstream"]
    assert (federate["way"], query["way"], direct["way"]) == ("federate", "query", "direct")
    assert direct["requests"] == 3 * 3, "three nodes with three exporters each"
    assert 1 <= federate["requests"] < query["requests"]
    assert federate["watts"] == query["watts"] == pytest.approx(direct["watts"])
    for each in run["upstream"]:
        assert each["series"] == 3 * series_per_node()
        assert 1000 < each["wire_bytes"] < 1_000_000
        assert each["own_cpu_seconds"] > 0
    assert federate["prometheus_cpu_seconds"] >= 0
    assert direct["prometheus_cpu_seconds"] is None


def test_watts_that_differ_are_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    watts = iter((4000.0, 4001.0, 4000.0))

    def asked(_: object, way: str, series: int, *__: object) -> upstream.Asked:
        return upstream.Asked(way, series, 1, 1, None, 1.0, next(watts))

    def holding(*_: object) -> contextlib.nullcontext[tuple[str, int]]:
        return contextlib.nullcontext(("http://127.0.0.1:9", 1))

    require("prometheus")
    monkeypatch.setattr(upstream, "apart", asked)
    monkeypatch.setattr(upstream, "_holding", holding)
    with pytest.raises(RuntimeError, match=r"query comes to 4001\.0 W, federate to 4000\.0 W"):
        upstream.measure(100, 1)


def test_a_process_that_is_not_there_holds_nothing() -> None:
    assert resident()[0] > 1
    assert resident(2**22 + 1) == (0.0, 0.0)
    with pytest.raises(OSError, match="No such"):
        cpu_seconds(2**22 + 1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["everything"], "known: cycle, api, streams, exports, soak, upstream"),
        (["--seconds=0"], "write seconds"),
        (["--rows=0"], "at least 1"),
    ],
)
def test_a_part_that_is_unknown_is_named(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(["bench", *arguments])
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["streams", "--stalled=9", "--clients=9"], ["exports", "--rows=30000000"]])
def test_what_cannot_be_measured_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert re.search(r"--(stalled|rows):", capsys.readouterr().err)


def test_without_a_part_it_is_the_cycle() -> None:
    args: argparse.Namespace = parser().parse_args(["bench"])
    assert args.parts == []


@pytest.mark.parametrize("churn", ["0", "5"])
def test_a_soak_of_the_running_program(churn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "bench.json"
    small = ["--series=2000", "--soak-cycles=4", "--soak-interval=1", f"--soak-churn={churn}"]
    assert main(["bench", "soak", *small, "--json", str(kept)]) == 0

    assert "MiB in ten cycles" in capsys.readouterr().out
    (run,) = json.loads(kept.read_text())["runs"]
    (told,) = run["soak"]
    assert told["cycles"] == 4
    assert (told["churned"] > 0) == (churn == "5")
    assert 50 < told["first_mib"] <= told["most_mib"] < 1000
    assert told["requests"] > 10
    assert 0 < told["latency_seconds"]["0.5"] <= told["latency_seconds"]["0.99"] <= told["latency_seconds"]["1"]
    assert told["cpu_seconds"] > 0
