"""Run a program that Debian ships for Python 3 and that was written for Python 2: prometheus-openstack-exporter.

As shipped it ends with `ModuleNotFoundError: No module named 'urlparse'`. It is lent the names that it looks for, text
where it expects text, and an address of its own instead of all; what it prints is its own.

    /usr/bin/python3 -I for_python_2.py PROGRAM AUTH_URL CONFIGURATION
"""

from __future__ import annotations

import http.server
import os
import runpy
import socketserver
import sys
import types
import urllib.parse
from importlib import import_module
from typing import Any


class _Handler(http.server.BaseHTTPRequestHandler):
    """Its answers are texts."""

    def setup(self) -> None:
        super().setup()
        write = self.wfile.write
        self.wfile.write = lambda text: write(text.encode() if isinstance(text, str) else text)  # type: ignore[method-assign]


class _Server(http.server.HTTPServer):
    """It would listen on all addresses."""

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        super().__init__(("127.0.0.1", address[1]), handler)


def main(program: str, auth_url: str, configuration: str) -> None:
    """Log in to the OpenStack at `auth_url` and serve, until killed."""
    servers = types.ModuleType("BaseHTTPServer")
    servers.__dict__.update(BaseHTTPRequestHandler=_Handler, HTTPServer=_Server)
    volumes = types.ModuleType("cinderclient.v2")  # gone from the library; nothing is asked of it
    volumes.__dict__.update(client=import_module("cinderclient.v3.client"))
    sys.modules |= {
        "urlparse": urllib.parse,
        "BaseHTTPServer": servers,
        "SocketServer": socketserver,
        "cinderclient.v2": volumes,
    }
    metrics = import_module("prometheus_client")
    printed = metrics.generate_latest
    metrics.__dict__["generate_latest"] = lambda registry: printed(registry).decode()
    os.environ |= {
        "OS_IDENTITY_API_VERSION": "3",
        "OS_AUTH_URL": auth_url,
        **{f"OS_{name}": "test" for name in ("USERNAME", "PASSWORD", "PROJECT_NAME")},
        **{f"OS_{name}": "Default" for name in ("USER_DOMAIN_NAME", "PROJECT_DOMAIN_NAME")},
    }
    sys.argv = [program, configuration]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
