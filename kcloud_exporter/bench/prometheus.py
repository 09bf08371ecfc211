"""Prometheus: a real one for the time of a measurement, and a page that it scrapes."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

_PATIENCE: Final = 600.0


@contextmanager
def serving(page: bytes) -> Iterator[str]:
    """The page over HTTP; yields host:port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def prometheus(binary: str, folder: Path, *flags: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A running one with the `prometheus.yml` of a folder; yields its URL and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [
        binary,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-lifecycle",
        "--log.level=error",
        *flags,
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        until(lambda: _answers(url), "Prometheus answers")
        yield url, process
    finally:
        process.terminate()
        process.wait()


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait. Raises TimeoutError, after a time that no machine should need."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {_PATIENCE:.0f} s until {what}")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{url}/-/ready", timeout=5).status == 200)  # noqa: S310
    except OSError:
        return False


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
        return json.load(answer)


def post(url: str) -> None:
    """Ask for something to be done."""
    urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=60).close()  # noqa: S310


def value(url: str, query: str) -> float:
    """The value of a query that gives one series; 0 when it gives none."""
    result = _json(f"{url}/api/v1/query?query={quote(query)}")["data"]["result"]
    return float(result[0]["value"][1]) if result else 0.0
