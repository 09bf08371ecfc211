"""Alertmanager as Debian ships it, and a receiver that remembers what it is told."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.real.programs import answers, free_port, require, start


@dataclass(frozen=True)
class Receiver:
    """A webhook: the last path segment of its URL is the name of Alertmanager's receiver."""

    url: str
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def alerts(self, receiver: str, status: str, alertname: str) -> list[dict[str, Any]]:
        """What that receiver was told of one alert with that status (firing, resolved)."""
        return [
            alert
            for name, message in list(self.told)
            if name == receiver
            for alert in message["alerts"]
            if alert["status"] == status and alert["labels"]["alertname"] == alertname
        ]


@contextlib.contextmanager
def webhook() -> Iterator[Receiver]:
    """An HTTP server in a thread that takes Alertmanager's messages."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.told.append((self.path.rpartition("/")[2], json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is given
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, name="webhook")
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def alertmanager(config: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """An Alertmanager with this configuration; yields its host:port."""
    binary, address = require("prometheus-alertmanager"), f"127.0.0.1:{free_port()}"
    file = folder / "alertmanager.yml"
    file.write_text(json.dumps(config, indent=1))  # JSON is YAML
    arguments = [
        binary,
        f"--config.file={file}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with start("alertmanager", arguments, folder, lambda: answers(f"http://{address}/-/ready")):
        yield address
