"""Generated bodies before a real Prometheus and before us: the same are accepted, and the same series come of them.

`KCLOUD_TEST_BODIES=2000` is the long form; `KCLOUD_TEST_SEED` makes others.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kcloud_exporter.errors import SourceError
from kcloud_exporter.sources.exposition import parse_text
from tests.real.programs import get, wait_until
from tests.real.prometheus import QueryServer, prometheus
from tests.sources.bodies import generated
from tests.sources.pages import index_of

COUNT = int(os.environ.get("KCLOUD_TEST_BODIES", "250"))
SEED = int(os.environ.get("KCLOUD_TEST_SEED", "1"))
BATCH = 250
TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
Bodies = dict[str, tuple[bytes, bool]]
Series = dict[frozenset[tuple[str, str]], str]


@contextlib.contextmanager
def served(bodies: Bodies) -> Iterator[int]:
    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, openmetrics = bodies[self.path[1:]]
            self.send_response(200)
            self.send_header("Content-Type", OPENMETRICS if openmetrics else TEXT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # an empty page is not even read
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def of_prometheus(bodies: Bodies, folder: Path) -> dict[str, Series | None]:
    """What a real Prometheus stores of each; None where it refuses the page."""
    with served(bodies) as port:
        target = {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": "i"}}
        jobs = [
            {"job_name": name, "metrics_path": f"/{name}", "honor_timestamps": False, "static_configs": [target]}
            for name in bodies
        ]
        config = {"global": {"scrape_interval": "2s"}, "scrape_configs": jobs}
        with prometheus(config, folder, name=f"prometheus-{min(bodies)}") as running:
            wait_until(lambda: "unknown" not in health(running, bodies).values(), "all scraped", 90.0)
            up = {name: state == "up" for name, state in health(running, bodies).items()}
            query = f'{running.url}/api/v1/query?query={{job=~".%2B",__name__!~"scrape_.*|up"}}'
            rows = get(query, timeout=30.0).json()["data"]["result"]
    found: dict[str, Series | None] = {name: {} if up[name] else None for name in bodies}
    for row in rows:
        series = found[row["metric"]["job"]]
        if series is not None:
            series[frozenset(row["metric"].items())] = repr(float(row["value"][1]))
    return found


def health(running: QueryServer, bodies: Bodies) -> dict[str, str]:
    active = get(f"{running.url}/api/v1/targets?state=active", timeout=30.0).json()["data"]["activeTargets"]
    found = {target["labels"]["job"]: target["health"] for target in active}
    return {name: found.get(name, "unknown") for name in bodies}


def of_ours(name: str, body: bytes, openmetrics: bool) -> Series | None:
    index = index_of(labels={"instance": "i", "job": name})
    try:
        parsed = parse_text(body, index, openmetrics=openmetrics)
    except SourceError:
        return None
    rows = zip(parsed.rows.tolist(), parsed.values.tolist(), strict=True)
    return {frozenset(index.table.labels[row].items()): repr(value) for row, value in rows}


def is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.real
@pytest.mark.timeout(60 + COUNT)
def test_generated_bodies_are_read_as_prometheus_reads_them(tmp_path: Path) -> None:
    numbered = [(f"b{n:05}", each) for n, each in enumerate(generated(SEED, COUNT))]
    accepted, differing = 0, []
    for start in range(0, COUNT, BATCH):
        bodies = dict(numbered[start : start + BATCH])
        theirs = of_prometheus(bodies, tmp_path)
        for name, (body, openmetrics) in bodies.items():
            ours = of_ours(name, body, openmetrics)
            accepted += theirs[name] is not None
            if ours == theirs[name]:
                continue
            if b"\x00" in body and ours is None:
                continue  # for Prometheus a NUL between tokens ends the page in silence; here it is an error
            if theirs[name] is None and not is_utf8(body):
                continue  # a label that is no UTF-8 costs its series, and not all of the page
            differing.append((body, openmetrics, ours, theirs[name]))
    print(f"{COUNT} bodies, {accepted} accepted by both, {len(differing)} read differently")
    assert differing == []
    assert COUNT / 10 < accepted < COUNT * 9 / 10, "both sides of the edge were tried"
