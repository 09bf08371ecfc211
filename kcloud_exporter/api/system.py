"""System: how the exporter is, what it sees, and what it can do because of that."""

from __future__ import annotations

import platform
import time
from typing import Any, Final, Literal

from pydantic import Field

from kcloud_exporter.api.aggregates import counted
from kcloud_exporter.api.answers import Answer, Model
from kcloud_exporter.api.frames import Frame
from kcloud_exporter.api.resources import ACCELERATORS, NODES, PODS, SENSORS, VMS
from kcloud_exporter.api.routes import Moment, Route, Values
from kcloud_exporter.api.workloads import containers
from kcloud_exporter.units import rfc3339
from kcloud_exporter.web.status import Status

_LISTED: Final = 1000
State = Literal["healthy", "degraded", "unhealthy"]


class Health(Model):
    """Whether the exporter and its sources are well."""

    status: State = Field(description="healthy; degraded: a source fails; unhealthy: nothing answers, or too old.")
    ready: bool = Field(description="There is a fresh snapshot.")
    reason: str | None = Field(description="Why it is not ready.", examples=[None])
    version: str = Field(description="Version of the exporter.", examples=["0.1.0"])
    uptime_seconds: float = Field(description="Since it was started.", examples=[3600.0])
    snapshot_age_seconds: float = Field(description="Age of the newest snapshot.", examples=[4.2])
    sources_up: int = Field(description="Sources whose last answer was good.", examples=[36])
    sources_total: int = Field(description="Sources that were asked.", examples=[36])
    clusters: dict[str, State] = Field(description="The same by cluster.", examples=[{"seoul-a": "healthy"}])


class Info(Model):
    """What there is."""

    name: str = Field(description="Name of the program.", examples=["kcloud-exporter"])
    version: str = Field(description="Its version.", examples=["0.1.0"])
    started_at: str = Field(description="When it was started.", examples=["2026-11-24T00:00:00.000Z"])
    total_clusters: int = Field(description="Clusters.", examples=[3])
    total_nodes: int = Field(description="Nodes.", examples=[10])
    total_gpus: int = Field(description="GPUs.", examples=[18])
    total_npus: int = Field(description="NPUs.", examples=[6])
    total_accelerators: int = Field(description="Accelerators of every kind.", examples=[24])
    total_pods: int = Field(description="Pods that are known.", examples=[30])
    total_containers: int = Field(description="Containers that are known.", examples=[30])
    total_vms: int = Field(description="Virtual machines.", examples=[0])
    total_series: int = Field(description="Series of the snapshot.", examples=[1079])


class Version(Model):
    """What runs."""

    version: str = Field(description="Version of the exporter.", examples=["0.1.0"])
    api_version: str = Field(description="Version of this API.", examples=["v1"])
    python_version: str = Field(description="Version of Python.", examples=["3.11.7"])


class Verified(Model):
    """Whether the credentials are good."""

    valid: bool = Field(description="They are; without good ones the answer is 401.")


class Capability(Model):
    """One thing that can be asked for."""

    name: str = Field(description="What.", examples=["gpus"])
    available: bool = Field(description="There is something of it now.")
    detail: str = Field(description="What makes it so.", examples=["18 nvidia"])


class SourceState(Model):
    """One source."""

    cluster: str = Field(description="Its cluster.", examples=["seoul-a"])
    source: str = Field(description="Its name.", examples=["dcgm@10.0.0.7:9400"])
    status: Literal["up", "down", "not_asked"] = Field(description="Whether its last answer was good.")
    last_success: str | None = Field(description="When one last was.", examples=["2026-11-24T00:00:00.000Z"])
    samples: int = Field(description="Samples of it.", examples=[220])


class SystemStatus(Model):
    """Every source, and the whole."""

    status: State = Field(description="healthy, degraded or unhealthy.")
    ready: bool = Field(description="There is a fresh snapshot.")
    history: bool = Field(description="History is kept.")
    sources: list[SourceState] = Field(description="The sources, the first thousand.")
    sources_total: int = Field(description="How many there are.", examples=[36])


def _state(flags: list[bool | None]) -> State:
    if not any(flags):
        return "unhealthy"
    return "healthy" if all(flags) else "degraded"


def _whole(status: Status) -> State:
    return _state([s.up for c in status.clusters for s in c.sources]) if status.ready else "unhealthy"


async def health(moment: Moment, _: Values) -> Answer:
    """Whether the exporter and its sources are well."""
    status, now = moment.deps.status(), time.time()
    flags = [source.up for cluster in status.clusters for source in cluster.sources]
    return Answer(
        {
            "status": _whole(status),
            "ready": status.ready,
            "reason": status.ready_reason or None,
            "version": status.version,
            "uptime_seconds": max(0.0, now - status.started_at),
            "snapshot_age_seconds": max(0.0, now - moment.view.snapshot.timestamp),
            "sources_up": sum(map(bool, flags)),
            "sources_total": len(flags),
            "clusters": {c.name: _state([s.up for s in c.sources]) for c in status.clusters},
        }
    )


async def info(moment: Moment, _: Values) -> Answer:
    """What there is."""
    status, view = moment.deps.status(), moment.view
    devices = view.frame(ACCELERATORS)
    return Answer(
        {
            "name": "kcloud-exporter",
            "version": status.version,
            "started_at": rfc3339(status.started_at),
            "total_clusters": len(view.snapshot.clusters),
            "total_nodes": len(view.frame(NODES)),
            "total_gpus": len(devices.where(kind="gpu")),
            "total_npus": len(devices.where(kind="npu")),
            "total_accelerators": len(devices),
            "total_pods": len(view.frame(PODS)),
            "total_containers": len(containers(view, None)),
            "total_vms": len(view.frame(VMS)),
            "total_series": view.series,
        }
    )


async def version(moment: Moment, _: Values) -> Answer:
    """What runs."""
    told = moment.deps.status().version
    return Answer({"version": told, "api_version": "v1", "python_version": platform.python_version()})


async def verified(_: Moment, __: Values) -> Answer:
    """Who gets as far as this has shown good credentials, or needs none."""
    return Answer({"valid": True})


async def capabilities(moment: Moment, _: Values) -> Answer:
    """What can be asked for, because something of it is seen now."""
    view = moment.view
    devices, nodes = view.frame(ACCELERATORS), view.frame(NODES)
    pods, sensors = view.frame(PODS), view.frame(SENSORS)
    running = containers(view, None)
    named = sum(map(bool, running.texts["container_id"].tolist()))
    pue = sorted({f"{row[0]} {row[1]} {row[2]}" for row, _ in view.rows_of("kcloud_site_pue_ratio")})
    rows = [
        ("multi_cluster", len(view.snapshot.clusters) > 1, ", ".join(view.snapshot.clusters)),
        *((f"{kind}s", *_devices(devices.where(kind=kind))) for kind in ("gpu", "npu", "tpu")),
        ("node_power", *_known(nodes, "power_watts", "nodes")),
        ("whole_server_meters", *_known(nodes, "wall_power_watts", "nodes")),
        ("pod_power", *_known(pods, "power_watts", "pods")),
        ("containers", len(running) > 0, f"{len(running)} known, {named} with their id"),
        ("vms", *_known(view.frame(VMS), "power_watts", "virtual machines")),
        ("hardware_sensors", len(sensors) > 0, f"{len(sensors)} sensors"),
        ("pue", bool(pue), "; ".join(pue) or "no facility meter and no constant"),
        ("history", moment.deps.history() is not None, "time series, and statistics over a period"),
    ]
    return Answer([{"name": name, "available": bool(there), "detail": detail} for name, there, detail in rows])


def _devices(frame: Frame) -> tuple[bool, str]:
    return len(frame) > 0, ", ".join(f"{n} {vendor}" for vendor, n in counted(frame, "vendor").items()) or "none"


def _known(frame: Frame, field: str, what: str) -> tuple[bool, str]:
    values = frame.numbers[field]
    there = int((values == values).sum())
    return there > 0, f"{there} of {len(frame)} {what}"


async def status(moment: Moment, _: Values) -> Answer:
    """Every source, and the whole."""
    told = moment.deps.status()
    rows: list[dict[str, Any]] = [
        {
            "cluster": cluster.name,
            "source": source.name,
            "status": "not_asked" if source.up is None else "up" if source.up else "down",
            "last_success": None if source.last_success is None else rfc3339(source.last_success),
            "samples": source.samples,
        }
        for cluster in told.clusters
        for source in cluster.sources
    ]
    return Answer(
        {
            "status": _whole(told),
            "ready": told.ready,
            "history": moment.deps.history() is not None,
            "sources": rows[:_LISTED],
            "sources_total": len(rows),
        }
    )


def routes() -> list[Route]:
    """The routes of the domain (and the one that checks credentials) but `/system/metrics`, which is no JSON."""
    rows: tuple[tuple[str, str, str, Any, Any], ...] = (
        ("health", "Health", "Whether the exporter has a fresh snapshot and its sources answer.", Health, health),
        ("info", "What there is", "How many clusters, nodes, accelerators, pods there are.", Info, info),
        ("version", "Version", "What runs.", Version, version),
        (
            "capabilities",
            "Capabilities",
            "What is seen now, so that it can be asked for.",
            list[Capability],
            capabilities,
        ),
        ("status", "Sources", "Every source and whether it answers.", SystemStatus, status),
    )
    told = "Answers when the credentials are good, or none are needed."
    return [
        *(
            Route(f"/system/{name}", name, summary, about, (), model, ask=ask)
            for name, summary, about, model, ask in rows
        ),
        Route("/auth/verify", "credentials", "Are the credentials good?", told, (), Verified, ask=verified),
    ]
