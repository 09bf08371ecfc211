"""Rules: a real Prometheus that makes the same families by recording rules, where the program is installed."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

_POD: Final = "exported_namespace, exported_pod, Hostname"
_PACKAGE: Final = 'zone=~"package|dram"'
_AS_NODE: Final = '"Hostname", "$1", "node_name", "(.*)"'
_POWER: Final = {
    "accelerator:power": "max by (Hostname, UUID, modelName) (DCGM_FI_DEV_POWER_USAGE)",
    "pod:gpu": f"sum by ({_POD}) (DCGM_FI_DEV_POWER_USAGE)",
    "pod:cpu_memory": "sum by (node_name, pod_namespace, pod_name, zone) (kepler_pod_cpu_watts)",
    "namespace:gpu": "sum by (exported_namespace) (DCGM_FI_DEV_POWER_USAGE)",
    "namespace:cpu_memory": "sum by (pod_namespace, zone) (kepler_pod_cpu_watts)",
    "node:gpu": "sum by (Hostname) (DCGM_FI_DEV_POWER_USAGE)",
    "node:cpu_memory": f"sum by (node_name, zone) (kepler_node_cpu_watts{{{_PACKAGE}}})",
    "cluster:gpu": "sum(DCGM_FI_DEV_POWER_USAGE)",
    "cluster:cpu_memory": f"sum by (zone) (kepler_node_cpu_watts{{{_PACKAGE}}})",
}
RULES: Final = {
    **_POWER,
    **{f"{name}:joules": f"({name}:joules or 0 * {name}) + 15 * {name}" for name in _POWER},
    "accelerator:info": "max by (Hostname, UUID, modelName, gpu, pci_bus_id, DCGM_FI_DRIVER_VERSION) "
    "(DCGM_FI_DEV_POWER_USAGE * 0 + 1)",
    "accelerator:utilization": "max by (Hostname, UUID) (DCGM_FI_DEV_GPU_UTIL) / 100",
    "accelerator:temperature": "max by (Hostname, UUID) (DCGM_FI_DEV_GPU_TEMP)",
    "accelerator:sm_clock": "max by (Hostname, UUID) (DCGM_FI_DEV_SM_CLOCK) * 1e6",
    "accelerator:memory_clock": "max by (Hostname, UUID) (DCGM_FI_DEV_MEM_CLOCK) * 1e6",
    "accelerator:memory_used": "max by (Hostname, UUID) (DCGM_FI_DEV_FB_USED) * 2^20",
    "accelerator:memory_total": "max by (Hostname, UUID) (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE) * 2^20",
    "accelerator:healthy": "max by (Hostname, UUID) (DCGM_FI_DEV_XID_ERRORS) == bool 0",
    "accelerator:allocation": f"count by (Hostname, UUID, {_POD}) (DCGM_FI_DEV_POWER_USAGE) "
    "/ on (Hostname, UUID) group_left count by (Hostname, UUID) (DCGM_FI_DEV_POWER_USAGE)",
    "node:wall": "max by (instance) (ipmi_dcmi_power_consumption_watts)",
    "node:residual": 'label_replace(node:wall, "Hostname", "$1", "instance", "(.*)") - on (Hostname) '
    f"(node:gpu + on (Hostname) sum by (Hostname) (label_replace(node:cpu_memory, {_AS_NODE})))",
    "node:unattributed_gpu": "node:gpu - on (Hostname) sum by (Hostname) (pod:gpu)",
    "node:unattributed_cpu_memory": "node:cpu_memory - on (node_name, zone) sum by (node_name, zone) (pod:cpu_memory)",
    "hardware:temperature": "max by (instance, name) (ipmi_temperature_celsius)",
    "hardware:power": "max by (instance) (ipmi_dcmi_power_consumption_watts)",
}
"""The families that stand on our page of the same series. There are no choices of meters and no rejections in them."""
_EVALUATIONS: Final = 4
_PATIENCE: Final = 600.0


def rules_cpu_seconds(body: bytes, tell: Callable[[str], None]) -> float | None:
    """CPU seconds of a Prometheus for one evaluation of all rules over the series of a page; None without one.

    It scrapes the page once and then evaluates back to back; the CPU of its process is read from /proc.
    """
    binary = shutil.which("prometheus")
    if binary is None or not Path("/proc/self/stat").exists():
        tell("no prometheus on this machine: its recording rules are not compared")
        return None
    tell("a real Prometheus with recording rules over the same series (this takes a while)")
    plain = b"\n".join(line.rpartition(b" ")[0] for line in body.splitlines()) + b"\n"
    with tempfile.TemporaryDirectory(prefix="kcloud-bench-") as folder, _serving(plain) as target:
        return _measured(binary, Path(folder), target, plain.count(b"\n"))


def _measured(binary: str, folder: Path, target: str, series: int) -> float:
    rules = {"groups": [{"name": "bench", "interval": "1s", "rules": [_rule(n, e) for n, e in RULES.items()]}]}
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    scrape = {
        "job_name": "bench",
        "scrape_interval": "5m",
        "scrape_timeout": "4m",
        "honor_labels": True,
        "body_size_limit": 0,
        "static_configs": [{"targets": [target]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [scrape], "rule_files": []}))
    with _prometheus(binary, folder) as (url, process):
        _until(lambda: _value(url, "scrape_samples_scraped") >= series, "the page is scraped")
        (folder / "prometheus.yml").write_text(
            yaml.safe_dump({"scrape_configs": [scrape], "rule_files": ["rules.yml"]})
        )
        _post(f"{url}/-/reload")
        _until(lambda: _evaluations(url) >= 1, "the rules are evaluated")
        first, cpu = _evaluations(url), _cpu_seconds(process.pid)
        _until(lambda: _evaluations(url) >= first + _EVALUATIONS, "the rules are evaluated again")
        return (_cpu_seconds(process.pid) - cpu) / (_evaluations(url) - first)


def _rule(name: str, expression: str) -> dict[str, str]:
    return {"record": name, "expr": expression}


@contextmanager
def _serving(page: bytes) -> Iterator[str]:
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
def _prometheus(binary: str, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
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
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        _until(lambda: _answers(url), "Prometheus answers")
        yield url, process
    finally:
        process.terminate()
        process.wait()


def _until(condition: Callable[[], bool], what: str) -> None:
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


def _post(url: str) -> None:
    urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=60).close()  # noqa: S310


def _value(url: str, query: str) -> float:
    result = _json(f"{url}/api/v1/query?query={query}")["data"]["result"]
    return float(result[0]["value"][1]) if result else 0.0


def _evaluations(url: str) -> int:
    """How often the group was evaluated, by its rules' count of the program's own metrics."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:  # noqa: S310
        for line in answer.read().decode().splitlines():
            if line.startswith("prometheus_rule_group_iterations_total{"):
                return int(float(line.rsplit(" ", 1)[1]))
    return 0


def _cpu_seconds(pid: int) -> float:
    """User and system CPU of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
