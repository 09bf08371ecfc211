"""The conventional pipeline: what a Python exporter of this kind is usually made of, on the same page.

prometheus_client's parser, dictionaries of label tuples, metric objects, `generate_latest`, zlib. It computes
less than the ledger does (no meters, no shares, no rejection), so the comparison is to its favour.
"""

from __future__ import annotations

import time
import zlib
from collections import defaultdict
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_DEVICE = ("cluster", "node", "uuid")
_FAMILIES = {
    "kcloud_accelerator_power_watts": ("cluster", "node", "uuid", "kind", "vendor", "model"),
    "kcloud_accelerator_utilization_ratio": _DEVICE,
    "kcloud_accelerator_temperature_celsius": (*_DEVICE, "sensor"),
    "kcloud_accelerator_clock_hertz": (*_DEVICE, "clock"),
    "kcloud_accelerator_memory_used_bytes": _DEVICE,
    "kcloud_accelerator_healthy": _DEVICE,
    "kcloud_pod_power_watts": ("cluster", "node", "namespace", "pod", "component"),
    "kcloud_namespace_power_watts": ("cluster", "namespace", "component"),
    "kcloud_node_power_watts": ("cluster", "node", "component"),
    "kcloud_cluster_power_watts": ("cluster", "component"),
    "kcloud_hardware_temperature_celsius": ("cluster", "node", "sensor"),
}
Values = dict[str, dict[tuple[str, ...], float]]


class _Ready(Collector):
    def __init__(self, values: Values) -> None:
        self._values = values

    def collect(self) -> Iterable[Metric]:
        for name, labels in _FAMILIES.items():
            family = GaugeMetricFamily(name, name, labels=labels)
            for key, value in self._values[name].items():
                family.add_metric(key, value)
            yield family


def cycle(body: bytes) -> tuple[dict[str, float], int]:
    """One cycle, bytes in → compressed page out. Returns CPU seconds by stage and the size of the page."""
    stages: dict[str, float] = {}
    begun = time.process_time()
    samples = [sample for family in text_string_to_metric_families(body.decode()) for sample in family.samples]
    stages["parse"], begun = time.process_time() - begun, time.process_time()
    values = _aggregate(samples)
    stages["derive"], begun = time.process_time() - begun, time.process_time()
    registry = CollectorRegistry()
    registry.register(_Ready(values))
    page = generate_latest(registry)
    stages["render"], begun = time.process_time() - begun, time.process_time()
    zlib.compress(page)
    stages["compress"] = time.process_time() - begun
    return stages, len(page)


def _aggregate(samples: Iterable[object]) -> Values:
    values: Values = {name: defaultdict(float) for name in _FAMILIES}
    for sample in samples:
        name, labels, value = sample.name, sample.labels, sample.value  # type: ignore[attr-defined]
        if name.startswith("DCGM_"):
            _device(values, name, labels, value)
        elif name == "kepler_pod_cpu_watts":
            component = "cpu" if labels["zone"] == "package" else "memory"
            _pod(values, labels["node_name"], labels["pod_namespace"], labels["pod_name"], component, value)
        elif name == "kepler_node_cpu_watts" and labels["zone"] in ("package", "dram"):
            component = "cpu" if labels["zone"] == "package" else "memory"
            _node(values, labels["node_name"], component, value)
        elif name == "ipmi_temperature_celsius":
            key = "bench", labels["instance"], labels["name"]
            values["kcloud_hardware_temperature_celsius"][key] = value
    return values


def _device(values: Values, name: str, labels: dict[str, str], value: float) -> None:
    node = labels["Hostname"]
    key = "bench", node, labels["UUID"]
    match name:
        case "DCGM_FI_DEV_POWER_USAGE":
            values["kcloud_accelerator_power_watts"][(*key, "gpu", "nvidia", labels["modelName"])] = value
            _pod(values, node, labels["exported_namespace"], labels["exported_pod"], "gpu", value)
            _node(values, node, "gpu", value)
        case "DCGM_FI_DEV_GPU_UTIL":
            values["kcloud_accelerator_utilization_ratio"][key] = value / 100
        case "DCGM_FI_DEV_GPU_TEMP":
            values["kcloud_accelerator_temperature_celsius"][(*key, "gpu")] = value
        case "DCGM_FI_DEV_SM_CLOCK":
            values["kcloud_accelerator_clock_hertz"][(*key, "sm")] = value * 1e6
        case "DCGM_FI_DEV_MEM_CLOCK":
            values["kcloud_accelerator_clock_hertz"][(*key, "memory")] = value * 1e6
        case "DCGM_FI_DEV_FB_USED":
            values["kcloud_accelerator_memory_used_bytes"][key] = value * 2**20
        case "DCGM_FI_DEV_XID_ERRORS":
            values["kcloud_accelerator_healthy"][key] = float(value == 0)


def _pod(values: Values, node: str, namespace: str, pod: str, component: str, watts: float) -> None:
    values["kcloud_pod_power_watts"]["bench", node, namespace, pod, component] += watts
    values["kcloud_namespace_power_watts"]["bench", namespace, component] += watts


def _node(values: Values, node: str, component: str, watts: float) -> None:
    values["kcloud_node_power_watts"]["bench", node, component] += watts
    values["kcloud_cluster_power_watts"]["bench", component] += watts
