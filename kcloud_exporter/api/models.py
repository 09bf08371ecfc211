"""Models: what `data` looks like, made from the tables of resources, for the document and for those who check it."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field, create_model

from kcloud_exporter.api.answers import Model
from kcloud_exporter.api.resources import Number, Resource, Text

EXAMPLES: Final[dict[str, str]] = {
    "cluster": "seoul-a",
    "node": "gpu-1",
    "uuid": "GPU-650ccad1-9e57-4176-aa2d-fb655d7e3d51",
    "namespace": "ml-team",
    "pod": "llama-pretrain-0",
    "container": "trainer",
    "project": "research",
    "vm": "vm-0042",
    "sensor": "Inlet Temp",
    "site": "icn1",
    "index": "0",
    "kind": "gpu",
    "vendor": "nvidia",
    "model": "NVIDIA H100 80GB HBM3",
    "driver_version": "570.124.06",
    "pci_bus_id": "00000000:17:00.0",
    "meter": "ipmi_dcmi_power_consumption_watts",
}
_BY_UNIT: Final[tuple[tuple[str, float], ...]] = (
    ("watts", 412.5),
    ("joules", 1485000.0),
    ("percent", 87.0),
    ("ratio", 1.0),
    ("bytes", 68719476736.0),
    ("celsius", 61.0),
    ("hertz", 1980000000.0),
    ("rpm", 4300.0),
    ("volts", 12.1),
    ("amperes", 5.0),
    ("seconds", 0.0),
    ("grams", 12.5),
    ("count", 8.0),
    ("kwh", 424.0),
)


_FORMS: Final[dict[str, tuple[type, Any]]] = {"number": (float, None), "count": (int, 8), "flag": (bool, True)}


def example(field: str) -> float:
    """A number as it might stand in a field, by the unit at the end of its name."""
    return next((value for unit, value in _BY_UNIT if field.endswith(unit)), 1.0)


def quantity(description: str, field: str = "") -> Any:
    """A number or null, with what it means."""
    return Field(description=description, examples=[example(field)])


def key_field(label: str) -> Any:
    """The pydantic field of a key label."""
    return str, Field(description=f"Its {label}.", examples=[EXAMPLES.get(label, label)])


def text_field(text: Text) -> Any:
    """The pydantic field of a text."""
    return str | None, Field(description=text.help, examples=[EXAMPLES.get(text.field, text.field)])


def number_field(number: Number) -> Any:
    """The pydantic field of a number; fields of a group may be left out."""
    default: Any = None if number.group else ...
    told = f"{number.help} From {number.family}."
    kind, shown = _FORMS[number.form]
    return kind | None, Field(default, description=told, examples=[example(number.field) if shown is None else shown])


def row_model(name: str, resource: Resource, **more: Any) -> type[Model]:
    """The model of one row of a resource, with further fields as pydantic takes them: `name=(type, Field(...))`."""
    fields: dict[str, Any] = {label: key_field(label) for label in resource.key}
    fields |= {text.field: text_field(text) for text in resource.texts}
    fields |= {number.field: number_field(number) for number in resource.numbers}
    return create_model(name, __base__=Model, __doc__=f"One of the {resource.name}.", **(fields | more))


class Core(Model):
    """One core of a device."""

    core: str = Field(description="Its number.", examples=["0"])
    utilization_percent: float = quantity("How busy it is.", "percent")
