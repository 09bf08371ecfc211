"""Hardware: the sensors of servers, as their controllers (IPMI, hwmon) tell them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from pydantic import Field

from kcloud_exporter.api import parameters as p
from kcloud_exporter.api.aggregates import highest, mean
from kcloud_exporter.api.answers import Answer, Model, page, paged
from kcloud_exporter.api.frames import Frame, Texts
from kcloud_exporter.api.models import quantity, row_model
from kcloud_exporter.api.resources import NODES, SENSORS
from kcloud_exporter.api.routes import Route, Values
from kcloud_exporter.api.view import View

FIELDS: Final = {
    "temperature": "temperature_celsius",
    "fan": "fan_speed_rpm",
    "voltage": "voltage_volts",
    "current": "current_amperes",
    "power": "power_watts",
}
"""Sensor type → the field that holds its reading."""
_STATES: Final = ("normal", "warning", "critical")

SensorRow = row_model(
    "HardwareSensor",
    SENSORS,
    sensor_type=(str, Field(description=f"{', '.join(FIELDS)}, or other.", examples=["temperature"])),
    status=(str, Field(description="normal, warning, critical, or unknown.", examples=["normal"])),
)


class ServerSensor(Model):
    """One power sensor of a server."""

    sensor: str = Field(description="Its name.", examples=["PSU1 Power In"])
    power_watts: float = Field(description="What it reads; scopes overlap, so never add them up.", examples=[260.0])
    status: str = Field(description="normal, warning, critical, or unknown.", examples=["normal"])


class ServerPower(Model):
    """Power of one server: the selected whole-server meter, and every power sensor."""

    cluster: str = Field(description="Its cluster.", examples=["seoul-a"])
    node: str = Field(description="Its node.", examples=["gpu-1"])
    power_watts: float | None = quantity("Reading of the selected whole-server meter.", "watts")
    meter: str | None = Field(description="Series of that meter.", examples=["ipmi_dcmi_power_consumption_watts"])
    sensors: list[ServerSensor] = Field(description="Every power sensor.")


class HardwareSummary(Model):
    """The servers' hardware summed up."""

    total_nodes: int = Field(description="Servers that tell of their hardware.", examples=[10])
    total_sensors: int = Field(description="Sensors of all.", examples=[120])
    total_power_watts: float | None = quantity("Sum of the selected whole-server meters.", "watts")
    average_temperature_celsius: float | None = quantity("Mean of all temperatures.", "celsius")
    max_temperature_celsius: float | None = quantity("The hottest sensor.", "celsius")
    total_fans: int = Field(description="Fans of all.", examples=[60])
    failed_fans: int = Field(description="Fans that stand still or whose state is critical.", examples=[0])
    by_type: dict[str, int] = Field(description="How many sensors of each type.", examples=[{"fan": 60}])
    by_status: dict[str, int] = Field(description="How many sensors in each status.", examples=[{"normal": 120}])


def sensors(view: View, values: Values) -> Frame:
    """The sensors that the filters of a request leave, with type and status. Raises RequestError (404)."""
    cluster, node = values["cluster"], values.get("node") or values.get("node_name")
    view.check_node(node, cluster)
    frame = view.frame(SENSORS, cluster).where(node=node)
    frame = frame.with_texts(sensor_type=_type_of(frame), status=_status_of(frame))
    return frame.where(sensor_type=values.get("sensor_type"))


def _type_of(frame: Frame) -> Texts:
    kinds: Texts = np.full(len(frame), "other", object)
    for kind, field in FIELDS.items():
        kinds[~np.isnan(frame.numbers[field])] = kind
    return kinds


def _status_of(frame: Frame) -> Texts:
    states = frame.numbers["state"]
    status: Texts = np.full(len(frame), "unknown", object)
    for number, name in enumerate(_STATES):
        status[states == number] = name
    return status


def listed(view: View, values: Values, kind: str | None = None) -> Answer:
    """Sensors, one by one, of one type or of all."""
    return paged(sensors(view, values | ({"sensor_type": kind} if kind else {})), values)


def power(view: View, values: Values) -> Answer:
    """Power of servers: one row per node that has a whole-server meter or a power sensor."""
    frame = sensors(view, values | {"sensor_type": "power"})
    of_node: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in frame.rows():
        told = {"sensor": row["sensor"], "power_watts": row["power_watts"], "status": row["status"]}
        of_node.setdefault((row["cluster"], row["node"]), []).append(told)
    servers = view.frame(NODES, values["cluster"]).where(node=values.get("node"))
    rows = [
        {
            "cluster": row["cluster"],
            "node": row["node"],
            "power_watts": row["wall_power_watts"],
            "meter": row["meter"],
            "sensors": of_node.get((row["cluster"], row["node"]), []),
        }
        for row in servers.rows()
        if row["wall_power_watts"] is not None or (row["cluster"], row["node"]) in of_node
    ]
    shown = rows[values["offset"] : values["offset"] + values["limit"]]
    return Answer(shown, values["cluster"], page=page(len(rows), len(shown), values))


def summary(view: View, values: Values) -> Answer:
    """The hardware of all servers, or of those of a cluster or node, summed up."""
    frame = sensors(view, values)
    fans = frame.where(sensor_type="fan")
    speed, state = fans.numbers["fan_speed_rpm"], fans.numbers["state"]
    servers = view.frame(NODES, values["cluster"]).where(node=values["node"])
    data = {
        "total_nodes": len(set(zip(frame.texts["cluster"], frame.texts["node"], strict=True))),
        "total_sensors": len(frame),
        "total_power_watts": servers.total("wall_power_watts"),
        "average_temperature_celsius": mean(frame, "temperature_celsius"),
        "max_temperature_celsius": highest(frame, "temperature_celsius"),
        "total_fans": len(fans),
        "failed_fans": int(((speed == 0) | (state == len(_STATES) - 1)).sum()),
        "by_type": _count(frame.texts["sensor_type"]),
        "by_status": _count(frame.texts["status"]),
    }
    return Answer(data, values["cluster"])


def _count(texts: Texts) -> dict[str, int]:
    names, counts = np.unique(texts.astype(str), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


_TYPE: Final = p.choice("sensor_type", "Only sensors of this type.", (*FIELDS, "other"))
_LIST: Final = (p.CLUSTER, p.NODE, p.LIMIT, p.OFFSET)
_TITLES: Final = {"temperature": "Temperatures", "fans": "Fans", "voltage": "Voltages"}


def _of_type(path: str, kind: str) -> Route:
    return Route(
        f"/hardware/ipmi/{path}",
        f"ipmi_{path}",
        f"{_TITLES[path]} of servers",
        f"Every sensor of the type {kind}, with the state that the server's controller gives it.",
        _LIST,
        list[SensorRow],  # type: ignore[valid-type]
        lambda view, values: listed(view, values, kind),
    )


def routes() -> list[Route]:
    """The routes of the domain."""
    return [
        Route(
            "/hardware/ipmi/sensors",
            "ipmi_sensors",
            "Sensors of servers",
            "Every sensor of every server.",
            (p.CLUSTER, p.NODE, _TYPE, p.LIMIT, p.OFFSET),
            list[SensorRow],  # type: ignore[valid-type]
            listed,
        ),
        Route(
            "/hardware/ipmi/sensors/{node_name}",
            "ipmi_sensors",
            "Sensors of one server",
            "Every sensor of one server, by the name of its node.",
            (p.text("node_name", "Name of the node.", "gpu-1", path=True), p.CLUSTER, _TYPE, p.LIMIT, p.OFFSET),
            list[SensorRow],  # type: ignore[valid-type]
            listed,
        ),
        Route(
            "/hardware/ipmi/power",
            "ipmi_power",
            "Power of servers",
            "The selected whole-server meter of each server, and every power sensor as it is named.",
            _LIST,
            list[ServerPower],
            power,
        ),
        _of_type("temperature", "temperature"),
        _of_type("fans", "fan"),
        _of_type("voltage", "voltage"),
        Route(
            "/hardware/ipmi/summary",
            "ipmi_summary",
            "Hardware, summed up",
            "Whole-server power, temperatures, fans, and how many sensors are in which state.",
            (p.CLUSTER, p.NODE),
            HardwareSummary,
            summary,
        ),
    ]
