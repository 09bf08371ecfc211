"""Accelerators: GPUs, NPUs and TPUs, one by one and summed up."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from pydantic import Field

from kcloud_exporter import catalogue
from kcloud_exporter.api import parameters as p
from kcloud_exporter.api.aggregates import counted, highest, mean
from kcloud_exporter.api.answers import Answer, Model, lack, paged
from kcloud_exporter.api.frames import Frame, Texts, total_by
from kcloud_exporter.api.models import Core, quantity, row_model
from kcloud_exporter.api.resources import ACCELERATORS, HOLDINGS, Group
from kcloud_exporter.api.routes import Moment, Route, Values
from kcloud_exporter.api.statistics import Statistics, statistics
from kcloud_exporter.api.view import View, no_such
from kcloud_exporter.errors import RequestError

STATUSES: Final = ("active", "idle", "error", "unknown")
_IDLE_PERCENT: Final = 1.0
MAKERS: Final = ("nvidia", "amd", "intel", "furiosa", "rebellions", "google", "huawei", "habana", "aws", "qualcomm")
"""Makers whose name is a good filter although nothing of them may be seen now; whoever is seen is one as well."""


class Sensor(Model):
    """One reading of a device at a named place."""

    name: str = Field(description="Where it is measured.", examples=["gpu"])
    value: float = Field(description="What it reads.", examples=[61.0])


class Holder(Model):
    """A container, or a virtual machine, that holds a device or a part of it."""

    namespace: str = Field(description="Its namespace; empty: a virtual machine.", examples=["ml-team"])
    pod: str = Field(description="Its pod; of a virtual machine project/name.", examples=["llama-pretrain-0"])
    container: str = Field(description="Its name.", examples=["trainer"])
    allocation_ratio: float = Field(description="Part of the device.", examples=[1.0])
    power_watts: float | None = quantity("Its part of the device's power.", "watts")


Device = row_model(
    "Accelerator",
    ACCELERATORS,
    status=(
        str,
        Field(description="active, idle (below 1 %), error (unhealthy) or unknown.", examples=["active"]),
    ),
)
DeviceDetail = row_model(
    "AcceleratorDetail",
    ACCELERATORS,
    status=(str, Field(description="active, idle, error or unknown.", examples=["active"])),
    temperatures=(list[Sensor], Field(description="Every temperature, in degrees Celsius.")),
    clocks=(list[Sensor], Field(description="Every clock, in hertz.")),
    holders=(list[Holder], Field(description="Who holds it.")),
)


class DevicePower(Model):
    """Power of one device now, and over a time span where one is asked for."""

    cluster: str = Field(description="Its cluster.", examples=["seoul-a"])
    node: str = Field(description="Its node.", examples=["gpu-1"])
    uuid: str = Field(description="Its uuid.", examples=["GPU-650ccad1-9e57-4176-aa2d-fb655d7e3d51"])
    power_watts: float | None = quantity("Power now.", "watts")
    power_limit_watts: float | None = quantity("Its power limit.", "watts")
    idle_power_watts: float | None = quantity("Power that pods hold while they do no work on it.", "watts")
    energy_joules: float | None = quantity("Energy since it was first seen.", "joules")
    utilization_percent: float | None = quantity("Part of the time in which it was busy.", "percent")
    statistics: Statistics | None = Field(description="Over the period, from history; null when none was asked for.")


class DeviceTemperature(Model):
    """Temperatures of one device."""

    cluster: str = Field(description="Its cluster.", examples=["seoul-a"])
    node: str = Field(description="Its node.", examples=["gpu-1"])
    uuid: str = Field(description="Its uuid.", examples=["GPU-650ccad1-9e57-4176-aa2d-fb655d7e3d51"])
    temperature_celsius: float | None = quantity("The highest of its sensors.", "celsius")
    temperatures: list[Sensor] = Field(description="Every sensor.")


class Cores(Model):
    """Cores of one device: how busy they are on the average, and who holds them."""

    cluster: str = Field(description="Its cluster.", examples=["busan-a"])
    node: str = Field(description="Its node.", examples=["npu-1"])
    uuid: str = Field(description="Its uuid.", examples=["2E6A8C34-0D1B-4F57-9A3C-6B1D8E4F2A90"])
    utilization_percent: float | None = quantity("Mean over its cores.", "percent")
    clock_hertz: float | None = quantity("Clock of its cores.", "hertz")
    allocation_ratio: float | None = quantity("Part of its cores that containers hold.", "ratio")
    holders: list[Holder] = Field(description="Who holds which part of the cores.")
    cores: list[Core] = Field(description="Each core, where the exporter tells them apart.")


class Summary(Model):
    """Accelerators summed up."""

    total_count: int = Field(description="How many there are.", examples=[24])
    total_power_watts: float | None = quantity("Power of all.", "watts")
    total_power_limit_watts: float | None = quantity("Power limits of all that tell one.", "watts")
    total_idle_power_watts: float | None = quantity("Power that is held and does no work.", "watts")
    total_energy_joules: float | None = quantity("Energy of all since they were first seen.", "joules")
    average_power_watts: float | None = quantity("Mean power of those whose power is known.", "watts")
    average_utilization_percent: float | None = quantity("Mean utilisation of those that tell it.", "percent")
    average_temperature_celsius: float | None = quantity("Mean of their highest temperatures.", "celsius")
    max_temperature_celsius: float | None = quantity("The hottest of all.", "celsius")
    total_memory_bytes: float | None = quantity("Device memory in all.", "bytes")
    used_memory_bytes: float | None = quantity("Device memory in use.", "bytes")
    available_memory_bytes: float | None = quantity("In all less in use, where both are known.", "bytes")
    by_kind: dict[str, int] = Field(description="How many of each kind.", examples=[{"gpu": 18, "npu": 6}])
    by_vendor: dict[str, int] = Field(description="How many of each vendor.", examples=[{"nvidia": 18}])
    by_model: dict[str, int] = Field(description="How many of each model.", examples=[{"NVIDIA H100 80GB HBM3": 8}])
    by_status: dict[str, int] = Field(description="How many in each status.", examples=[{"active": 20, "idle": 4}])
    power_watts_by_vendor: dict[str, float] = Field(description="Power by vendor.", examples=[{"nvidia": 3300.0}])


def status_of(frame: Frame) -> Texts:
    """active, idle, error or unknown, per device."""
    busy = frame.numbers["utilization_percent"]
    with np.errstate(invalid="ignore"):
        found = np.where(np.isnan(busy), "unknown", np.where(busy > _IDLE_PERCENT, "active", "idle")).astype(object)
        found[frame.numbers["healthy"] == 0] = "error"
    status: Texts = found
    return status


def devices(view: View, values: Values, kind: str | None) -> Frame:
    """The devices that the filters of a request leave, with their status. Raises RequestError."""
    cluster, node, vendor = values["cluster"], values["node"], values.get("vendor")
    view.check_node(node, cluster)
    whole = view.frame(ACCELERATORS, cluster)
    if vendor is not None:
        seen = {*MAKERS, *filter(None, view.frame(ACCELERATORS).texts["vendor"].tolist())}
        if vendor not in seen:
            raise RequestError(
                400, f"vendor: {vendor[:60]!r} is unknown; known: {', '.join(sorted(seen))}", {"parameter": "vendor"}
            )
    frame = whole.where(node=node, vendor=vendor, kind=kind)
    frame = frame.with_texts(status=status_of(frame))
    status = values.get("status")
    return frame.where(status=status) if status is not None else frame


def left_out(values: Values) -> tuple[Group, ...]:
    """Groups of fields that a request does not want."""
    wanted: tuple[tuple[Group, str], ...] = (("metrics", "include_metrics"), ("power", "include_power"))
    return tuple(group for group, name in wanted if values.get(name) is False)


def one_device(view: View, values: Values, kind: str | None, name: str) -> Frame:
    """The one device that an id names: its uuid, or its number on a node. Raises RequestError (404, 400)."""
    wanted = values[name]
    frame = devices(view, values, kind)
    uuids = frame.texts["uuid"]
    found = frame.take(uuids == wanted)
    if not len(found):
        bare = wanted.removeprefix("nvidia").removeprefix("npu").removeprefix("gpu")
        found = frame.take(frame.texts["index"] == bare) if bare.isdigit() else found
        if not len(found):
            found = frame.take(frame.texts["index"] == wanted)
    if not len(found):
        raise no_such(kind or "accelerator", wanted, uuids.tolist(), values["cluster"])
    if len(found) > 1:
        places = ", ".join(f"{c}/{n}" for c, n in zip(found.texts["cluster"], found.texts["node"], strict=True))
        told = f"{name}: {wanted[:60]!r} names {len(found)} devices ({places[:300]}); say the uuid, or cluster and node"
        raise RequestError(400, told, {"parameter": name})
    return found


def _key(frame: Frame) -> tuple[str, str, str]:
    cluster, node, uuid = (frame.texts[label][0] for label in ACCELERATORS.key)
    return cluster, node, uuid


def _named(view: View, family: str, key: tuple[str, str, str]) -> list[dict[str, Any]]:
    rows = view.rows_of(family, key[0])
    return [{"name": row[3] or "device", "value": value} for row, value in rows if row[:3] == key]


def holders(view: View, key: tuple[str, str, str], power: float | None) -> list[dict[str, Any]]:
    """Who holds a device, and what of its power is theirs."""
    frame = view.frame(HOLDINGS, key[0]).where(node=key[1], uuid=key[2])
    return [
        {
            "namespace": row["namespace"],
            "pod": row["pod"],
            "container": row["container"],
            "allocation_ratio": row["allocation_ratio"],
            "power_watts": None if power is None else power * row["allocation_ratio"],
        }
        for row in frame.rows()
    ]


def detail(view: View, values: Values, kind: str | None, name: str) -> Answer:
    """Everything of one device."""
    frame = one_device(view, values, kind, name)
    key = _key(frame)
    row = frame.rows(left_out(values))[0]
    power = frame.total("power_watts")
    row["temperatures"] = _named(view, catalogue.ACCELERATOR_TEMPERATURE.name, key)
    row["clocks"] = _named(view, catalogue.ACCELERATOR_CLOCK.name, key)
    row["holders"] = holders(view, key, power) if values.get("include_cores", True) else []
    return Answer(row, key[0])


async def power(moment: Moment, values: Values, kind: str | None, name: str) -> Answer:
    """Power of one device, with statistics over a period when one is asked for."""
    frame = one_device(moment.view, values, kind, name)
    key = _key(frame)
    row = frame.rows()[0]
    data = {field: row[field] for field in DevicePower.model_fields if field in row}
    data["statistics"] = await statistics(
        moment,
        values["period"],
        catalogue.ACCELERATOR_POWER.name,
        catalogue.ACCELERATOR_ENERGY.name,
        dict(zip(ACCELERATORS.key, key, strict=True)),
    )
    return Answer(data, key[0])


def temperature(view: View, values: Values, kind: str | None, name: str) -> Answer:
    """Temperatures of one device."""
    frame = one_device(view, values, kind, name)
    key = _key(frame)
    data = dict(zip(ACCELERATORS.key, key, strict=True)) | {
        "temperature_celsius": frame.rows()[0]["temperature_celsius"],
        "temperatures": _named(view, catalogue.ACCELERATOR_TEMPERATURE.name, key),
    }
    return Answer(data, key[0])


def cores(view: View, values: Values, kind: str | None, name: str) -> Answer:
    """Cores of one device."""
    frame = one_device(view, values, kind, name)
    key, row = _key(frame), frame.rows()[0]
    data = {field: row[field] for field in Cores.model_fields if field in row}
    data["holders"] = holders(view, key, frame.total("power_watts"))
    told = {each["name"]: each["value"] for each in _named(view, catalogue.ACCELERATOR_CORE_UTILIZATION.name, key)}
    in_order = sorted(told, key=lambda core: (len(core), core))
    data["cores"] = [{"core": core, "utilization_percent": told[core] * 100.0} for core in in_order]
    return Answer(data, key[0], [] if told else [lack("cores", "its exporter does not tell cores apart")])


def summed(frame: Frame) -> dict[str, Any]:
    """The summary of some devices."""
    n = frame.numbers
    both = ~np.isnan(n["memory_total_bytes"]) & ~np.isnan(n["memory_used_bytes"])
    with np.errstate(invalid="ignore"):
        available = n["memory_total_bytes"][both] - n["memory_used_bytes"][both]
    return {
        "total_count": len(frame),
        "total_power_watts": frame.total("power_watts"),
        "total_power_limit_watts": frame.total("power_limit_watts"),
        "total_idle_power_watts": frame.total("idle_power_watts"),
        "total_energy_joules": frame.total("energy_joules"),
        "average_power_watts": mean(frame, "power_watts"),
        "average_utilization_percent": mean(frame, "utilization_percent"),
        "average_temperature_celsius": mean(frame, "temperature_celsius"),
        "max_temperature_celsius": highest(frame, "temperature_celsius"),
        "total_memory_bytes": frame.total("memory_total_bytes"),
        "used_memory_bytes": frame.total("memory_used_bytes"),
        "available_memory_bytes": float(available.sum()) if len(available) else None,
        "by_kind": counted(frame, "kind"),
        "by_vendor": counted(frame, "vendor"),
        "by_model": counted(frame, "model"),
        "by_status": counted(frame, "status"),
        "power_watts_by_vendor": total_by(frame.texts["vendor"], n["power_watts"]),
    }


_VENDOR: Final = p.text("vendor", "Only devices of this maker.", "nvidia")
_STATUS: Final = p.choice("status", "Only devices in this status.", STATUSES)
_CORES: Final = p.flag("include_cores", "Who holds which part of its cores as well.", default=True)
_LIST: Final = (p.CLUSTER, p.NODE, _STATUS, _VENDOR, p.METRICS, p.POWER, p.LIMIT, p.OFFSET)


def _lists(name: str, kind: str | None, title: str) -> Route:
    return Route(
        f"/accelerators/{name}",
        name if kind else "accelerators",
        f"{title}, one by one",
        "Every device with its power, energy, utilisation, memory and temperature. Ordered by cluster, node and index.",
        _LIST,
        list[Device],  # type: ignore[valid-type]
        lambda view, values: paged(devices(view, values, kind), values, left_out(values)),
    )


def _summary(path: str, kind: str | None, title: str) -> Route:
    return Route(
        path,
        f"{kind or 'accelerator'}_summary",
        f"{title}, summed up",
        "Totals and means of what is known, and how many there are of each vendor, model and status.",
        (p.CLUSTER, p.NODE, _VENDOR),
        Summary,
        lambda view, values: Answer(summed(devices(view, values, kind)), values["cluster"]),
    )


def _details(name: str, kind: str, title: str) -> list[Route]:
    given = f"{kind}_id"
    by_id = p.text(given, "Its uuid; or its number on a node, together with `node`.", f"{title}-uuid", path=True)
    base, place = f"/accelerators/{name}/{{{given}}}", (by_id, p.CLUSTER, p.NODE)
    return [
        Route(
            base,
            kind,
            f"One {title}",
            "Everything that is known of one device, and who holds it.",
            (*place, p.METRICS, p.POWER, *((_CORES,) if kind == "npu" else ())),
            DeviceDetail,
            lambda view, values: detail(view, values, kind, given),
        ),
        Route(
            f"{base}/metrics",
            f"{kind}_metrics",
            f"Readings of one {title}",
            "Power, energy, utilisation, memory, every temperature and clock.",
            place,
            DeviceDetail,
            lambda view, values: detail(view, values, kind, given),
        ),
        Route(
            f"{base}/power",
            f"{kind}_power",
            f"Power of one {title}",
            "Power now; with `period` also its mean, extremes and energy over that time, from history.",
            (*place, p.PERIOD),
            DevicePower,
            ask=lambda moment, values: power(moment, values, kind, given),
        ),
        Route(
            f"{base}/temperature",
            f"{kind}_temperature",
            f"Temperatures of one {title}",
            "Every sensor of the device.",
            place,
            DeviceTemperature,
            lambda view, values: temperature(view, values, kind, given),
        ),
    ]


def routes() -> list[Route]:
    """The routes of the domain."""
    npu = p.text("npu_id", "Its uuid; or its number on a node, together with `node`.", "NPU-uuid", path=True)
    return [
        _lists("gpus", "gpu", "GPUs"),
        _summary("/accelerators/gpus/summary", "gpu", "GPUs"),
        *_details("gpus", "gpu", "GPU"),
        _lists("npus", "npu", "NPUs"),
        _summary("/accelerators/npus/summary", "npu", "NPUs"),
        *_details("npus", "npu", "NPU"),
        Route(
            "/accelerators/npus/{npu_id}/cores",
            "npu_cores",
            "Cores of one NPU",
            "How busy they are on the average, their clock, and which container holds which part of them.",
            (npu, p.CLUSTER, p.NODE),
            Cores,
            lambda view, values: cores(view, values, "npu", "npu_id"),
        ),
        _lists("all", None, "All accelerators"),
        _summary("/accelerators/summary", None, "All accelerators"),
    ]
