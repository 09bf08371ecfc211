"""A number of a recording can be explained afterwards, as it stood then, and as it would have stood."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from kcloud_exporter.cli import main
from kcloud_exporter.explain.tree import from_data, recompute

SERIES = 'kcloud_node_power_watts{node="n1",component="other"}'


def told(tape: Path, *arguments: str, capsys: pytest.CaptureFixture[str]) -> float:
    assert main(["explain", SERIES, "--recording", str(tape), "--output", "json", *arguments]) == 0
    tree = from_data(json.loads(capsys.readouterr().out))
    assert recompute(tree) == pytest.approx(tree.value, rel=1e-9)
    return tree.value


def test_at_any_cycle(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(tape, capsys=capsys) == 402.0
    assert told(tape, "--at", "1", capsys=capsys) == 400.0


def test_what_if(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tarfile.open(tape) as files:
        member = files.extractfile("config.yaml")
        assert member is not None
        other = tmp_path / "other.yaml"
        text = member.read().decode()
        assert "  overhead: unattributed" in text
        other.write_text(text.replace("  overhead: unattributed", "  overhead: proportional"))
    pod = 'kcloud_pod_power_watts{pod="p1",component="other"}'
    assert main(["explain", pod, "--recording", str(tape), "--config.file", str(other)]) == 0
    assert "ledger.overhead: proportional" in capsys.readouterr().out


def test_a_cycle_that_is_not_in_it(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", SERIES, "--recording", str(tape), "--at", "9"]) == 1
    assert "has cycles 1 to 3" in capsys.readouterr().err
