"""Rules: a real Prometheus that makes the same families by recording rules, where the program is installed."""

from __future__ import annotations

import shutil
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

import yaml

from kcloud_exporter.bench.memory import cpu_seconds
from kcloud_exporter.bench.prometheus import post, prometheus, serving, until, value

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
    with tempfile.TemporaryDirectory(prefix="kcloud-bench-") as folder, serving(plain) as target:
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
    with prometheus(binary, folder) as (url, process):
        until(lambda: value(url, "scrape_samples_scraped") >= series, "the page is scraped")
        (folder / "prometheus.yml").write_text(
            yaml.safe_dump({"scrape_configs": [scrape], "rule_files": ["rules.yml"]})
        )
        post(f"{url}/-/reload")
        until(lambda: _evaluations(url) >= 1, "the rules are evaluated")
        first, cpu = _evaluations(url), cpu_seconds(process.pid)
        until(lambda: _evaluations(url) >= first + _EVALUATIONS, "the rules are evaluated again")
        return (cpu_seconds(process.pid) - cpu) / (_evaluations(url) - first)


def _rule(name: str, expression: str) -> dict[str, str]:
    return {"record": name, "expr": expression}


def _evaluations(url: str) -> int:
    """How often the group was evaluated, by its rules' count of the program's own metrics."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:  # noqa: S310
        for line in answer.read().decode().splitlines():
            if line.startswith("prometheus_rule_group_iterations_total{"):
                return int(float(line.rsplit(" ", 1)[1]))
    return 0
