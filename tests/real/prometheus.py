"""Prometheus, promtool, VictoriaMetrics and node_exporter as Debian ships them."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.real.programs import Program, answers, free_port, get, require, start, wait_until


@dataclass(frozen=True)
class QueryServer:
    """A server that speaks the Prometheus query API at `url`."""

    url: str
    program: Program

    def query(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        """Instant query: labels (without `__name__`) of each series → value."""
        answer = get(f"{self.url}/api/v1/query?{urlencode({'query': expression})}").json()
        assert answer["status"] == "success", answer
        result = answer["data"]["result"]
        values = {
            frozenset((k, v) for k, v in row["metric"].items() if k != "__name__"): float(row["value"][1])
            for row in result
        }
        assert len(values) == len(result), f"series of {expression!r} differ in nothing but their name"
        return values

    def scalar(self, expression: str) -> float | None:
        """The value of a query that gives one series; None when it gives nothing."""
        values = list(self.query(expression).values())
        assert len(values) <= 1, f"{expression!r} gives {len(values)} series"
        return values[0] if values else None

    def wait_for_all_targets(self) -> None:
        """Until every configured target has been scraped with success."""

        def all_up() -> bool:
            targets = get(f"{self.url}/api/v1/targets?state=active").json()["data"]["activeTargets"]
            return bool(targets) and all(target["health"] == "up" for target in targets)

        wait_until(all_up, "every target is up", 40.0, self.program)


@contextlib.contextmanager
def prometheus(
    config: Mapping[str, Any], folder: Path, *, name: str = "prometheus", flags: Sequence[str] = ()
) -> Iterator[QueryServer]:
    """A Prometheus with this configuration, its data in `folder`."""
    binary, port = require("prometheus"), free_port()
    url = f"http://127.0.0.1:{port}"
    file = _write(folder / f"{name}.yml", config)
    arguments = [
        binary,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / name}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.external-url={url}",
        "--log.level=warn",
        *flags,
    ]
    with start(name, arguments, folder, lambda: answers(f"{url}/-/ready")) as program:
        yield QueryServer(url, program)


@contextlib.contextmanager
def victoria_metrics(config: Mapping[str, Any], folder: Path) -> Iterator[QueryServer]:
    """A single-node VictoriaMetrics that scrapes by itself."""
    binary, port = require("victoria-metrics"), free_port()
    url = f"http://127.0.0.1:{port}"
    file = _write(folder / "victoria-metrics.yml", config)
    arguments = [
        binary,
        f"-promscrape.config={file}",
        "-promscrape.config.strictParse=false",
        f"-storageDataPath={folder / 'victoria-metrics'}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-search.latencyOffset=0s",
        "-loggerLevel=WARN",
    ]
    with start("victoria-metrics", arguments, folder, lambda: answers(f"{url}/health")) as program:
        yield QueryServer(url, program)


@contextlib.contextmanager
def node_exporter(folder: Path, *flags: str) -> Iterator[str]:
    """A node_exporter of this very machine, unless `flags` say otherwise; yields the URL of its page."""
    binary, port = require("prometheus-node-exporter"), free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    arguments = [binary, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn", *flags]
    with start("node_exporter", arguments, folder, lambda: answers(url)):
        yield url


def promtool_check_metrics(page: bytes) -> list[str]:
    """The findings of `promtool check metrics`: empty when there is nothing to criticise."""
    done = subprocess.run([require("promtool"), "check", "metrics"], input=page, capture_output=True, timeout=30)
    findings = (done.stdout + done.stderr).decode().splitlines()
    assert findings or done.returncode == 0, f"promtool ended with {done.returncode} and said nothing"
    return findings


def scrape_config(job: str, target: str, **more: Any) -> dict[str, Any]:
    """One scrape job with one `host:port` target."""
    return {"job_name": job, "static_configs": [{"targets": [target]}], **more}


def _write(path: Path, config: Mapping[str, Any]) -> Path:
    # JSON is YAML.
    path.write_text(json.dumps(config, indent=1))
    return path
