"""What a real Prometheus makes of pages: which it accepts, and the series that it stores."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kcloud_exporter.errors import SourceError
from kcloud_exporter.sources.exposition import parse_text
from tests.real.programs import get, wait_until
from tests.real.prometheus import QueryServer, prometheus
from tests.sources.pages import index_of

TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PATIENCE_SECONDS = 60.0
Bodies = dict[str, tuple[bytes, bool]]
"""Name → page, and whether it says that it is OpenMetrics."""
Series = dict[frozenset[tuple[str, str]], str]
Verdicts = dict[str, Series | None]
"""Name → the series that come of a page; None where it is refused."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 512


@contextlib.contextmanager
def _served(bodies: Bodies) -> Iterator[int]:
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

    with _Server(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def of_prometheus(bodies: Bodies, folder: Path, settled: Callable[[Verdicts], bool]) -> Verdicts:
    """What a real Prometheus makes of the pages, when `settled` holds of it, or at last.

    A scrape that comes too late on a busy machine looks like a page that is refused, so one look is not enough.
    """
    with _served(bodies) as port:
        target = {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": "i"}}
        jobs = [
            {"job_name": name, "metrics_path": f"/{name}", "honor_timestamps": False, "static_configs": [target]}
            for name in bodies
        ]
        config = {"global": {"scrape_interval": "2s"}, "scrape_configs": jobs}
        with prometheus(config, folder, name=f"prometheus-{min(bodies)}") as running:
            wait_until(lambda: "unknown" not in _health(running, bodies).values(), "all scraped", 90.0)
            end = time.monotonic() + PATIENCE_SECONDS
            while not settled(found := _found(running, bodies)) and time.monotonic() < end:
                time.sleep(1.0)
            return found


def _found(running: QueryServer, bodies: Bodies) -> Verdicts:
    up = {name: state == "up" for name, state in _health(running, bodies).items()}
    query = f'{running.url}/api/v1/query?query={{job=~".%2B",__name__!~"scrape_.*|up"}}'
    rows = get(query, timeout=30.0).json()["data"]["result"]
    found: Verdicts = {name: {} if up[name] else None for name in bodies}
    for row in rows:
        series = found[row["metric"]["job"]]
        if series is not None:
            series[frozenset(row["metric"].items())] = repr(float(row["value"][1]))
    return found


def _health(running: QueryServer, bodies: Bodies) -> dict[str, str]:
    active = get(f"{running.url}/api/v1/targets?state=active", timeout=30.0).json()["data"]["activeTargets"]
    found = {target["labels"]["job"]: target["health"] for target in active}
    return {name: found.get(name, "unknown") for name in bodies}


def of_ours(name: str, body: bytes, openmetrics: bool) -> Series | None:
    """What we make of one page."""
    index = index_of(labels={"instance": "i", "job": name})
    try:
        parsed = parse_text(body, index, openmetrics=openmetrics)
    except SourceError:
        return None
    rows = zip(parsed.rows.tolist(), parsed.values.tolist(), strict=True)
    return {frozenset(index.table.series(row).items()): repr(value) for row, value in rows}
