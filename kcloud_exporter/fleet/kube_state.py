"""kube-state-metrics v2 pages: which nodes and pods there are. The node addresses are the fleet's own."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from typing import Final

from kcloud_exporter.fleet.exposition import Family, go_family, page
from kcloud_exporter.fleet.hardware import short_id
from kcloud_exporter.fleet.world import Cluster, Node, World

# Which namespace and container an exporter's own pod runs in: its pod labels become target labels.
OWN_PODS: Final = {
    "amd": ("kube-amd-gpu", "gpu-operator-metrics-exporter", "metrics-exporter-container"),
    "ascend": ("npu-exporter", "npu-exporter", "npu-exporter"),
    "dcgm": ("gpu-operator", "nvidia-dcgm-exporter", "exporter"),
    "furiosa": ("furiosa-system", "furiosa-metrics-exporter", "exporter"),
    "gaudi": ("habana-system", "habana-metric-exporter", "metric-exporter"),
    "google_tpu": ("kube-system", "tpu-device-plugin", "tpu-device-plugin"),
    "rebellions": ("rbln-system", "rbln-metrics-exporter", "exporter"),
}
_PHASES: Final = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_RESOURCES: Final = {
    "nvidia": "nvidia_com_gpu",
    "furiosa": "furiosa_ai_rngd",
    "rebellions": "rebellions_ai_ATOM",
}


def render_kube_state_metrics(world: World, cluster: str, node: str, at: float) -> str:
    """The page of a cluster's kube-state-metrics, whichever `node` it runs on and whatever the time is."""
    del node, at
    return page(_families(world.cluster(cluster)), ordered=True)


def own_pod(cluster: str, node: str, vendor: str) -> tuple[str, str, str] | None:
    """Namespace, pod and container of the exporter itself, for the exporters whose labels collide with it."""
    if vendor not in OWN_PODS:
        return None
    namespace, name, container = OWN_PODS[vendor]
    return namespace, f"{name}-{short_id(f'{cluster}/{node}/{vendor}')}", container


def _families(cluster: Cluster) -> Iterator[Family]:
    pods = list(_pods(cluster))
    yield go_family(
        "kube_node_info",
        "gauge",
        "[STABLE] Information about a cluster node.",
        [(_node_labels(node, number), 1) for number, node in enumerate(cluster.kubernetes_nodes)],
    )
    yield go_family(
        "kube_node_role",
        "gauge",
        "The role of a cluster node.",
        [
            ({"node": node.name, "role": "control-plane"}, 1)
            for node in cluster.kubernetes_nodes
            if not node.accelerators
        ],
    )
    yield go_family(
        "kube_node_status_condition",
        "gauge",
        "[STABLE] The condition of a cluster node.",
        [
            ({"condition": condition, "node": node.name, "status": status}, float(status == now))
            for node in cluster.kubernetes_nodes
            for condition, now in (("MemoryPressure", "false"), ("Ready", "true"))
            for status in ("true", "false", "unknown")
        ],
    )
    yield go_family(
        "kube_node_status_capacity",
        "gauge",
        "[STABLE] The total amount of resources available for a node.",
        [
            ({"node": node.name, "resource": _RESOURCES[vendor], "unit": "integer"}, len(node.own(vendor)))
            for node in cluster.kubernetes_nodes
            for vendor in ("nvidia", "furiosa", "rebellions")
            if node.own(vendor)
        ],
    )
    yield go_family(
        "kube_pod_info",
        "gauge",
        "[STABLE] Information about pod.",
        [
            (
                {
                    "created_by_kind": _creator(namespace, name),
                    "created_by_name": name.rsplit("-", 1)[0],
                    "host_ip": node.address,
                    "host_network": "false",
                    "namespace": namespace,
                    "node": node.name,
                    "pod": name,
                    "pod_ip": f"10.244.{number // 250}.{number % 250 + 2}",
                    "priority_class": "",
                    "uid": uid,
                },
                1,
            )
            for number, (node, namespace, name, uid, _) in enumerate(pods)
        ],
    )
    yield go_family(
        "kube_pod_container_info",
        "gauge",
        "[STABLE] Information about a container in a pod.",
        [
            (
                {
                    "container": pod.container,
                    "container_id": f"containerd://{hashlib.sha256(pod.uid.encode()).hexdigest()}",
                    "image": f"registry.example/{pod.namespace}/{pod.container}:1.4",
                    "image_spec": f"registry.example/{pod.namespace}/{pod.container}:1.4",
                    "namespace": pod.namespace,
                    "pod": pod.name,
                    "uid": pod.uid,
                },
                1,
            )
            for node in cluster.kubernetes_nodes
            for pod in node.pods
        ],
    )
    yield go_family(
        "kube_pod_status_phase",
        "gauge",
        "[STABLE] The pods current phase.",
        [
            ({"namespace": namespace, "pod": name, "uid": uid, "phase": phase}, float(phase == now))
            for _, namespace, name, uid, now in pods
            for phase in _PHASES
        ],
    )
    yield go_family(
        "kube_pod_container_resource_requests",
        "gauge",
        "[STABLE] The number of requested request resource by a container.",
        _requests(cluster),
    )


def _requests(cluster: Cluster) -> list[tuple[dict[str, str], float]]:
    return [
        (
            {
                "container": pod.container,
                "namespace": pod.namespace,
                "node": node.name,
                "pod": pod.name,
                "resource": resource,
                "uid": pod.uid,
                "unit": unit,
            },
            amount,
        )
        for node in cluster.kubernetes_nodes
        for pod in node.pods
        for resource, unit, amount in (("cpu", "core", 8), ("memory", "byte", 2**34))
    ]


def _pods(cluster: Cluster) -> Iterator[tuple[Node, str, str, str, str]]:
    """Node, namespace, name, uid and phase. One pod has ended and was not yet deleted."""
    for node in cluster.kubernetes_nodes:
        for pod in node.pods:
            yield node, pod.namespace, pod.name, pod.uid, "Running"
        for vendor in node.exporters:
            own = own_pod(cluster.name, node.name, vendor)
            if own:
                yield node, own[0], own[1], str(uuid.uuid5(uuid.UUID(node.system_uuid), own[1])), "Running"
    first = cluster.kubernetes_nodes[0]
    yield first, "batch", "nightly-report-29384710-x2lqv", "0b8e1e52-93a5-4c0c-8f7e-5f1a2f5b9a10", "Succeeded"


def _creator(namespace: str, name: str) -> str:
    """What kind of thing made a pod: exporters run on every node, names that end in a number have a StatefulSet."""
    if any(own[0] == namespace and name.startswith(own[1]) for own in OWN_PODS.values()):
        return "DaemonSet"
    if namespace == "batch":
        return "Job"
    return "StatefulSet" if name.rsplit("-", 1)[-1].isdigit() else "ReplicaSet"


def _node_labels(node: Node, number: int) -> dict[str, str]:
    return {
        "container_runtime_version": "containerd://1.7.13",
        "internal_ip": node.address,
        "kernel_version": "6.1.0-28-amd64",
        "kubelet_version": "v1.29.2",
        "kubeproxy_version": "deprecated",
        "node": node.name,
        "os_image": "Ubuntu 22.04.4 LTS",
        "pod_cidr": f"10.{244 + number // 250}.{number % 250}.0/24",
        "provider_id": "",
        "system_uuid": node.system_uuid,
    }
