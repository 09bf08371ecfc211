"""Configurations that fit a running fleet: one for kcloud-exporter, one for a Prometheus of each cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from kcloud_exporter.fleet.kube_state import own_pod
from kcloud_exporter.fleet.pages import node_label
from kcloud_exporter.fleet.vllm import UNITS
from kcloud_exporter.fleet.world import PDU_WATTS, Cluster, World
from kcloud_exporter.units import parse_duration

Method: TypeAlias = Literal["exporter", "query", "federate", "auto"]

_REGIONS: Final = {"icn1": "kr-1", "pus1": "kr-2"}
_TARIFFS: Final = {
    "icn1": {"currency": "KRW", "price_per_kwh": 152.1},
    "pus1": {"currency": "KRW", "price_per_kwh": 138.4},
}
_GRAMS_PER_KWH: Final = {"icn1": 424, "pus1": 398}


@dataclass(frozen=True, slots=True)
class ExporterEndpoint:
    """One simulated exporter and the URL of its metrics."""

    cluster: str
    node: str
    vendor: str
    url: str


def kcloud_config(
    world: World,
    exporters: Sequence[ExporterEndpoint],
    *,
    method: Method,
    prometheus_urls: Mapping[str, str] | None,
    interval: str,
) -> dict[str, Any]:
    """The configuration, in the shape of the YAML file, that reads this fleet.

    `method="exporter"` scrapes every exporter; the others ask the Prometheus of each cluster, whose URLs
    `prometheus_urls` gives by cluster name. Raises ValueError when one is missing.
    """
    seconds = parse_duration(interval)
    return {
        "global": {
            "interval": interval,
            "timeout": f"{round(seconds * 800)}ms",
            "max_staleness": f"{round(seconds * 3000)}ms",
        },
        "clusters": [
            {
                "name": cluster.name,
                "site": cluster.site,
                "labels": {"region": _REGIONS.get(cluster.site, "kr-1")},
                "sources": (
                    _direct(world, cluster, exporters)
                    if method == "exporter"
                    else [{"prometheus": {"url": _url(cluster, prometheus_urls), "method": method}}]
                ),
                "nodes": {"aliases": cluster.aliases},
            }
            for cluster in world.clusters
        ],
        "sites": [
            {
                "name": site.name,
                "facility_power": [
                    {
                        "cluster": site.pdu_cluster,
                        "metric": "rPDU2DeviceStatusPower",
                        "scale": PDU_WATTS,
                        "category": "pue2",
                    }
                ],
                "carbon_intensity": {"grams_per_kwh": _GRAMS_PER_KWH[site.name]},
                "tariff": dict(_TARIFFS[site.name]),
            }
            for site in world.sites
        ],
        "work_units": [{"unit": unit, "metric": metric} for unit, metric in UNITS.items()],
    }


def _direct(world: World, cluster: Cluster, exporters: Sequence[ExporterEndpoint]) -> list[dict[str, Any]]:
    by_vendor: dict[str, list[str]] = {}
    servers = []
    for each in exporters:
        if each.cluster != cluster.name:
            continue
        named = node_label(world, each.cluster, each.node, each.vendor)
        if each.vendor == "vllm":  # a pod of its own each, which only the target's labels can tell
            servers.append({"vendor": "generic", "targets": [each.url], "labels": _labels(world, each)})
        elif named:
            servers.append({"vendor": each.vendor, "targets": [each.url], "labels": named})
        else:
            by_vendor.setdefault("generic" if each.vendor == "pdu" else each.vendor, []).append(each.url)
    exporters_of = [{"vendor": vendor, "targets": urls} for vendor, urls in by_vendor.items()]
    return [{"exporter": exporter} for exporter in [*exporters_of, *servers]]


def _labels(world: World, endpoint: ExporterEndpoint) -> dict[str, str]:
    server = world.server(endpoint.cluster, endpoint.node)
    return {"namespace": server.namespace, "pod": server.name, "container": server.container}


def _url(cluster: Cluster, urls: Mapping[str, str] | None) -> str:
    if not urls or cluster.name not in urls:
        raise ValueError(f"prometheus_urls: no URL for cluster {cluster.name}")
    return urls[cluster.name]


def prometheus_config(
    world: World, exporters: Sequence[ExporterEndpoint], cluster: str, scrape_interval: str
) -> dict[str, Any]:
    """A `prometheus.yml` (as a dict) that scrapes one cluster's exporters, one job per vendor.

    The accelerator exporters carry the target labels that Kubernetes service discovery would give them: their
    own pod. With `honor_labels: false` the pod that holds a device is then stored as `exported_pod`, and an
    idle device appears to belong to the exporter, exactly as in a real cluster. A model server's target labels
    name the pod that serves.
    """
    jobs: dict[str, list[dict[str, Any]]] = {}
    for each in exporters:
        if each.cluster != cluster:
            continue
        target: dict[str, Any] = {"targets": [urlsplit(each.url).netloc]}
        own = own_pod(each.cluster, each.node, each.vendor)
        if own and world.node(each.cluster, each.node).kubernetes:
            target["labels"] = dict(zip(("namespace", "pod", "container"), own, strict=True))
        if each.vendor == "vllm":
            target["labels"] = _labels(world, each)
        if named := node_label(world, each.cluster, each.node, each.vendor):
            target.setdefault("labels", {}).update(named)
        jobs.setdefault(each.vendor, []).append(target)
    return {
        "global": {"scrape_interval": scrape_interval, "scrape_timeout": scrape_interval},
        "scrape_configs": [
            {"job_name": vendor, "honor_labels": False, "static_configs": targets} for vendor, targets in jobs.items()
        ],
    }
