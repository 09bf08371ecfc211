"""The list of the original's REST routes, with their parameters, below /api/v1. Who answers each of them now."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Who = Literal["api", "redirect", "gone", "stream", "export", "landing"]


class Old(NamedTuple):
    """One route of the original."""

    method: str
    path: str
    parameters: tuple[str, ...]
    who: Who


def _of(who: Who, *rows: str) -> list[Old]:
    found = []
    for row in rows:
        method, path, *parameters = row.split()
        found.append(Old(method, path, tuple(parameters), who))
    return found


ORIGINAL: Final = [
    *_of("gone", "POST /auth/login", "POST /auth/token"),
    *_of(
        "api",
        "GET /auth/verify",
        "GET /accelerators/gpus cluster node status vendor include_metrics",
        "GET /accelerators/gpus/summary cluster node",
        "GET /accelerators/gpus/{gpu_id} include_metrics",
        "GET /accelerators/gpus/{gpu_id}/metrics node",
        "GET /accelerators/gpus/{gpu_id}/power node period",
        "GET /accelerators/gpus/{gpu_id}/temperature node",
        "GET /accelerators/npus cluster node vendor include_metrics",
        "GET /accelerators/npus/{npu_id} include_metrics",
        "GET /accelerators/npus/{npu_id}/metrics node",
        "GET /accelerators/npus/{npu_id}/cores node",
        "GET /accelerators/npus/summary cluster node",
        "GET /accelerators/all cluster node include_metrics",
        "GET /accelerators/summary cluster node",
        "GET /infrastructure/nodes cluster role status",
        "GET /infrastructure/nodes/summary cluster",
        "GET /infrastructure/nodes/{node_name} include_metrics include_power",
        "GET /infrastructure/nodes/{node_name}/power period",
        "GET /infrastructure/nodes/{node_name}/metrics",
        "GET /infrastructure/pods cluster namespace node label_selector period min_power max_power include_metrics "
        "include_power",
        "GET /infrastructure/pods/summary cluster namespace",
        "GET /infrastructure/pods/{namespace}/{pod_name} include_metrics include_power",
        "GET /infrastructure/pods/{namespace}/{pod_name}/power period",
        "GET /infrastructure/containers cluster namespace pod node include_terminated min_power max_power "
        "include_metrics",
        "GET /infrastructure/containers/{container_id} include_metrics",
        "GET /infrastructure/containers/{container_id}/metrics",
        "GET /infrastructure/vms cluster project status hypervisor period",
        "GET /infrastructure/vms/summary cluster project",
        "GET /infrastructure/vms/{vm_id}",
        "GET /infrastructure/vms/{vm_id}/power period",
        "GET /infrastructure/vms/{vm_id}/metrics",
        "GET /hardware/ipmi/sensors node sensor_type",
        "GET /hardware/ipmi/sensors/{node_name}",
        "GET /hardware/ipmi/power node",
        "GET /hardware/ipmi/temperature node",
        "GET /hardware/ipmi/fans node",
        "GET /hardware/ipmi/voltage node",
        "GET /hardware/ipmi/summary node",
        "GET /clusters",
        "GET /clusters/{cluster_name}",
        "GET /clusters/{cluster_name}/summary",
        "GET /clusters/{cluster_name}/topology include_pods namespace",
        "GET /clusters/{cluster_name}/power breakdown_by include_efficiency",
        "GET /monitoring/power cluster resource_types",
        "GET /monitoring/power/accelerators cluster",
        "GET /monitoring/power/infrastructure cluster",
        "GET /monitoring/power/breakdown breakdown_by cluster",
        "GET /monitoring/power/efficiency cluster",
        "GET /monitoring/timeseries/power period step start end breakdown_by include_efficiency cluster",
        "GET /monitoring/timeseries/metrics metric_name resource_type period step",
        "GET /monitoring/timeseries/temperature resource_type period step",
        "GET /system/health",
        "GET /system/info",
        "GET /system/version",
        "GET /system/capabilities",
        "GET /system/metrics",
        "GET /system/status",
    ),
    *_of("stream", "GET /monitoring/events/power", "GET /monitoring/stream/info"),
    *_of(
        "export",
        "GET /export/power",
        "GET /export/metrics",
        "GET /export/report",
        "GET /export/formats",
        "GET /export/templates",
    ),
    *_of("landing", "GET /"),
    *_of(
        "redirect",
        "GET /health",
        "GET /info",
        "GET /power/gpu",
        "GET /power/gpu/{instance}",
        "GET /power/timeseries",
        "GET /power/export",
        "GET /cluster/info",
        "GET /power/pods",
        "GET /power/pods/{namespace}/{pod_name}",
        "GET /power/cluster/total",
        "GET /power/cluster/timeseries",
        "GET /gpu/info",
        "GET /gpu/metrics",
        "GET /gpu/summary",
        "GET /gpu/temperature",
    ),
]
