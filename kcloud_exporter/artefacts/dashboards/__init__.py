"""Dashboards for Grafana. They need grafana-foundation-sdk, which only `generate` uses."""

from typing import Any

from kcloud_exporter.artefacts.dashboards.accelerators import accelerators
from kcloud_exporter.artefacts.dashboards.cluster import cluster
from kcloud_exporter.artefacts.dashboards.exporter import exporter
from kcloud_exporter.artefacts.dashboards.facility import facility
from kcloud_exporter.artefacts.dashboards.fleet import fleet
from kcloud_exporter.artefacts.dashboards.namespaces import namespaces
from kcloud_exporter.artefacts.dashboards.node import node


def dashboards() -> list[dict[str, Any]]:
    """All dashboards, as the JSON that Grafana reads; the name of the file is the uid."""
    return [board() for board in (fleet, cluster, node, accelerators, namespaces, facility, exporter)]
