"""A real Prometheus recorded, by both of its ways, and the same ledger from the file."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Literal

import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.page import parse_page, total
from tests.real.prometheus import QueryServer
from tests.real.simulated_fleet import config_of

pytestmark = pytest.mark.real


def ran(*arguments: str | Path) -> tuple[str, str]:
    """stdout and stderr of a run that has to succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "kcloud_exporter", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("way", ["query", "federate"])
def test_a_real_prometheus_gives_the_same_ledger_from_the_file(
    way: Literal["query", "federate"], fleet: Fleet, upstreams: dict[str, QueryServer], tmp_path: Path
) -> None:
    urls = {cluster: server.url for cluster, server in upstreams.items()}
    config, tape = tmp_path / "c.yaml", tmp_path / "r.tar"
    config.write_text(json.dumps(config_of(fleet, way, urls, "1s")))
    ran("record", "--config.file", config, "--output", tape, "--cycles", "4")
    page, told = ran("replay", tape)

    assert told == "the same ledger, byte for byte, in 4 of 4 cycles\n"
    assert total(parse_page(page), "kcloud_cluster_power_watts", component="gpu") > 1000
    with tarfile.open(tape) as tar:
        names = tar.getnames()
    assert any(name.endswith("-answer.body.gz") for name in names), "gzip stays gzip"
    assert sum(name.endswith("-joined.json") for name in names) == 4 * len(urls)
