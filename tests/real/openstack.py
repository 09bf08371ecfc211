"""A simulated OpenStack (what is asked of Keystone, Nova and Neutron), and Debian's exporter in front of it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.real import for_python_2
from tests.real.programs import answers, free_port, require, start

PROJECT: Final = {"id": "0cbd49cbf76d405d9c86562e1d579bd3", "name": "demo", "domain_id": "default", "enabled": True}
UUID: Final = "2ce4c5b3-2866-4972-93ce-77a2ea46a7f{}"
FLAVOR: Final = {"id": "1", "name": "m1.small", "ram": 2048, "disk": 20, "vcpus": 1}


def _hypervisor(number: int, host: str, vcpus: int) -> dict[str, Any]:
    size = {"memory_mb": 65536, "memory_mb_used": 4096, "local_gb": 900, "local_gb_used": 40}
    cpus = {"vcpus": vcpus, "vcpus_used": 2, "running_vms": 2, "cpu_info": json.dumps({"arch": "x86_64"})}
    service = {"host": host, "id": number, "disabled_reason": None}
    return (
        {"id": number, "hypervisor_hostname": host, "state": "up", "status": "enabled", "service": service}
        | size
        | cpus
    )


def _server(number: int, host: str) -> dict[str, Any]:
    placed = {"OS-EXT-SRV-ATTR:hypervisor_hostname": host, "OS-EXT-SRV-ATTR:instance_name": f"instance-{number:08x}"}
    owned = {"tenant_id": PROJECT["id"], "user_id": "fake", "flavor": {"id": FLAVOR["id"]}, "status": "ACTIVE"}
    return {"id": UUID.format(number), "name": f"web-{number}", **owned, **placed}


class Cloud:
    """What the services of one cloud answer by path. `vcpus`: hypervisor → its CPUs, of which each runs two VMs."""

    def __init__(self, vcpus: dict[str, int]) -> None:
        self.url = ""
        hosts = list(vcpus)
        quota = {"cores": 20, "floating_ips": 10, "instances": 10, "ram": 51200}
        servers = [_server(2 * at + n, host) for at, host in enumerate(hosts) for n in (1, 2)]
        compute = [{"id": n, "binary": "nova-compute", "host": h, "status": "enabled"} for n, h in enumerate(hosts, 1)]
        self._answers: dict[str, Any] = {
            "/v3/projects": {"projects": [PROJECT], "links": {}},
            "/compute/os-hypervisors/detail": {
                "hypervisors": [_hypervisor(n, host, cpus) for n, (host, cpus) in enumerate(vcpus.items(), 1)]
            },
            "/compute/os-services": {"services": compute},
            "/compute/flavors/detail": {"flavors": [FLAVOR]},
            "/compute/os-aggregates": {"aggregates": [{"id": 1, "name": "fast", "hosts": hosts}]},
            "/compute/servers/detail": {"servers": servers},
            f"/compute/os-quota-sets/{PROJECT['id']}": {"quota_set": quota},
            **{
                f"/network/v2.0/{what}": {what: []}
                for what in ("floatingips", "networks", "ports", "routers", "subnets")
            },
        }

    def answer(self, address: str) -> Any:
        """What a GET is answered; None for what is not there."""
        path, asked = urlsplit(address).path, parse_qs(urlsplit(address).query)
        if path == "/compute/servers/detail" and ("marker" in asked or asked.get("status") != ["ACTIVE"]):
            return {"servers": []}
        if path.rstrip("/") == "/v3":
            link = {"rel": "self", "href": f"{self.url}/v3/"}
            return {"version": {"id": "v3.14", "status": "stable", "links": [link]}}
        return self._answers.get(path.removesuffix(".json"))

    def token(self) -> dict[str, Any]:
        """What a log-in is answered: the services and where they are."""
        places = {"identity": "v3", "compute": "compute", "network": "network", "volumev3": "volume"}
        catalog = [
            {
                "type": kind,
                "name": kind,
                "id": kind,
                "endpoints": [
                    {"interface": each, "url": f"{self.url}/{path}", "region": "r", "region_id": "r", "id": each + kind}
                    for each in ("public", "internal", "admin")
                ],
            }
            for kind, path in places.items()
        ]
        times = {"issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": "2099-01-01T00:00:00.000000Z"}
        user = {"id": "fake", "name": "test", "domain": {"id": "default", "name": "Default"}}
        return {"token": {"methods": ["password"], "user": user, "catalog": catalog, "roles": [], **times}}


@contextlib.contextmanager
def cloud(vcpus: dict[str, int]) -> Iterator[str]:
    """The services on one port; yields where to log in."""
    it = Cloud(vcpus)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = it.answer(self.path)
            self._send(404 if found is None else 200, found or {})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._send(201, it.token(), {"X-Subject-Token": "secret"})

        def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is given
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        it.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, name="cloud")
        thread.start()
        try:
            yield f"{it.url}/v3"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def openstack_exporter(auth_url: str, folder: Path) -> Iterator[str]:
    """Canonical's exporter as Debian ships it, on the interpreter that it needs; yields the URL of its page."""
    program, port = require("prometheus-openstack-exporter"), free_port()
    file = folder / "openstack-exporter.yaml"
    config = {
        "listen_port": port,
        "cache_refresh_interval": 300,
        "cache_file": str(folder / "openstack-cache"),
        "cloud": "mycloud",
        **{f"openstack_allocation_ratio_{what}": 1.0 for what in ("vcpu", "ram", "disk")},
        "enabled_collectors": ["nova"],
        "use_nova_volumes": False,
    }
    file.write_text(json.dumps(config))  # JSON is YAML
    url = f"http://127.0.0.1:{port}/metrics"
    arguments: list[str | Path] = ["/usr/bin/python3", "-I", for_python_2.__file__, program, auth_url, file]
    with start("openstack-exporter", arguments, folder, lambda: answers(url)):
        yield url
