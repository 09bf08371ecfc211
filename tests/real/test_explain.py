"""Asking for an explanation: over HTTP and from the command line, of a running exporter or of one's own cycles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from kcloud_exporter.cli import main
from kcloud_exporter.explain.tree import from_data, recompute
from kcloud_exporter.fleet import Fleet
from tests.real.conftest import fleet as fleet
from tests.real.kcloud import KcloudExporter, kcloud_exporter

pytestmark = pytest.mark.real
NODE = 'kcloud_node_power_watts{cluster="seoul-a",node="cp-1",component="other"}'


@pytest.fixture
def exporter(fleet: Fleet, tmp_path: Path) -> Iterator[KcloudExporter]:
    with kcloud_exporter(fleet.kcloud_config("exporter", interval="3s"), tmp_path) as running:
        yield running


def test_over_http(exporter: KcloudExporter) -> None:
    answer = httpx.get(f"{exporter.url}/api/v1/explain", params={"series": NODE}, trust_env=False)
    assert answer.status_code == 200
    body = answer.json()
    tree = from_data(body["data"])

    assert body["resource_type"] == "explanation"
    assert body["timestamp"].endswith("Z")
    assert tree.what == NODE
    assert recompute(tree) == pytest.approx(tree.value, rel=1e-9)


@pytest.mark.parametrize(
    ("parameters", "status", "message"),
    [
        ({}, 400, "which number"),
        ({"series": NODE, "depth": "0"}, 400, "from 1 to 64"),
        ({"series": NODE, "depth": "x" * 100}, 400, "from 1 to 64"),
        ({"series": NODE, "dept": "1"}, 400, "unknown parameter"),
        ({"series": "kcloud_nonsense"}, 400, "no family"),
        ({"series": NODE.replace("cp-1", "cp-9")}, 404, "no such series"),
    ],
)
def test_a_wrong_question_gets_a_clear_answer(
    exporter: KcloudExporter, parameters: dict[str, str], status: int, message: str
) -> None:
    answer = httpx.get(f"{exporter.url}/api/v1/explain", params=parameters, trust_env=False)

    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


def test_the_command_asks_a_running_exporter(exporter: KcloudExporter, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", NODE, "--url", exporter.url]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert lines[0].split("  ")[1] == NODE
    assert any("ipmi_dcmi_power_consumption_watts" in line for line in lines)


def test_the_command_tells_what_the_exporter_says(exporter: KcloudExporter, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "kcloud_node_power_watts", "--url", exporter.url]) == 1
    assert "series are meant; say more labels" in capsys.readouterr().err


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", NODE, "--url", "http://127.0.0.1:9"]) == 1
    assert "name a running one with --url" in capsys.readouterr().err


def test_a_wrong_access_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "access.yaml"
    file.write_text("basic_auth: {username: a}\n")
    assert main(["explain", NODE, "--http.config.file", str(file)]) == 2
    assert "basic_auth" in capsys.readouterr().err


def test_the_command_does_cycles_of_its_own(fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(fleet.kcloud_config("exporter", interval="3s")))
    series = 'kcloud_node_power_watts{cluster="seoul-b",node="npu-1",component="cpu"}'
    assert main(["explain", series, "--config.file", str(file), "--output", "json"]) == 0
    tree = from_data(json.loads(capsys.readouterr().out))

    assert recompute(tree) == pytest.approx(tree.value, rel=1e-9)
    assert any("rate of" in node.what for node in tree.walk()), "a joule counter tells watts in the second cycle"
