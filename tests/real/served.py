"""Pages served by threads of this process, for whatever a real exporter would never say."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextlib.contextmanager
def serving_pages(pages: Mapping[str, bytes]) -> Iterator[str]:
    """Path → page in the text format; what is changed in `pages` is served from then on. Yields the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            self.send_response(200 if page is not None else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(page or b"")))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(page or b"")

        def log_message(self, *_: object) -> None:
            """Nothing: the exporter tells what it was told."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
