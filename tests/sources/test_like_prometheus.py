"""A real Prometheus scrapes every page of cases.py: it accepts what we accept, and stores the same series."""

from __future__ import annotations

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
from tests.sources import cases
from tests.sources.pages import index_of

pytestmark = pytest.mark.real
TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PAGES: dict[str, tuple[bytes, str]] = {
    **{f"t{n}": (page, TEXT) for n, page in enumerate(cases.TEXT_ACCEPTED + cases.TEXT_REJECTED)},
    **{f"o{n}": (page, OPENMETRICS) for n, page in enumerate(cases.OPENMETRICS_ACCEPTED + cases.OPENMETRICS_REJECTED)},
}


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page, content_type = PAGES[self.path[1:]]
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServer]:
    folder: Path = tmp_path_factory.mktemp("prometheus")
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        target = {"targets": [f"127.0.0.1:{server.server_port}"], "labels": {"instance": "i"}}
        jobs = [
            {"job_name": name, "metrics_path": f"/{name}", "honor_timestamps": False, "static_configs": [target]}
            for name in PAGES
        ]
        try:
            with prometheus({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}, folder) as running:
                wait_until(lambda: all(t["health"] != "unknown" for t in targets(running)), "all scraped", 60.0)
                yield running
        finally:
            server.shutdown()
            thread.join()


def targets(running: QueryServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get(f"{running.url}/api/v1/targets?state=active").json()["data"]["activeTargets"]
    return found if len(found) == len(PAGES) else [{"health": "unknown"}]


def ours(name: str) -> dict[frozenset[tuple[str, str]], str] | None:
    page, content_type = PAGES[name]
    index = index_of(labels={"instance": "i", "job": name})
    try:
        parsed = parse_text(page, index, openmetrics=content_type == OPENMETRICS)
    except SourceError:
        return None
    rows = zip(parsed.rows.tolist(), parsed.values.tolist(), strict=True)
    return {frozenset(index.table.labels[row].items()): repr(value) for row, value in rows}


def test_the_same_pages_are_accepted(scraped: QueryServer) -> None:
    theirs = {t["labels"]["job"]: t["health"] == "up" for t in targets(scraped)}
    assert {name: ours(name) is not None for name in PAGES} == theirs


def test_the_same_series_are_stored(scraped: QueryServer) -> None:
    answer = get(f'{scraped.url}/api/v1/query?query={{job=~".%2B",__name__!~"scrape_.*|up"}}').json()
    theirs: dict[str, dict[frozenset[tuple[str, str]], str]] = {name: {} for name in PAGES}
    for row in answer["data"]["result"]:
        theirs[row["metric"]["job"]][frozenset(row["metric"].items())] = repr(float(row["value"][1]))
    assert sum(map(len, theirs.values())) > 60
    assert {name: ours(name) or {} for name in PAGES} == theirs
