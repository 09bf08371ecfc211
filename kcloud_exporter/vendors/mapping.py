"""Vendor tables: load the YAML, check it against the closed list of quantities, index it by series name.

A table is data: rename, `where`, scale, enum → value, duplication semantics, bounds. There are no expressions.
An operator that no table needs does not exist; a new kind of quirk costs one named operator and its test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from kcloud_exporter.model import Labels
from kcloud_exporter.units import SCALES
from kcloud_exporter.vendors import mistakes
from kcloud_exporter.vendors.quantities import INVENTORIES, METERS, QUANTITIES, UNITS

RowSemantics = Literal[
    "exclusive",  # one row per thing; any further row is a duplicate
    "mirrored",  # the whole value on every row (MIG, time slicing): newest, else largest
    "copy_plus_original",  # the device's row and copies of it per pod (Furiosa): as mirrored
    "primary_only",  # one row carries the value, the others print 0 (AMD partitions): the largest
    "partitioned",  # each distinct `parts` is a part of the whole: sum of them
    "nested_zones",  # zones lie inside each other: `where` picks the zones that may be added
    "per_core",  # one row per core: their mean
    "board",  # the value of a whole board on each of its chips; `parts` name the board: equal parts of it
    "worst",  # several verdicts: the lowest wins
]
COMBINE: Final[dict[str, Literal["max", "sum", "mean", "min"]]] = {
    "exclusive": "max",
    "mirrored": "max",
    "copy_plus_original": "max",
    "primary_only": "max",
    "partitioned": "sum",
    "nested_zones": "sum",
    "per_core": "mean",
    "board": "max",
    "worst": "min",
}
_PROOFS: Final = ("accelerator_power_watts", "accelerator_memory_total_bytes")
"""Readings that show that a device answers at all; they themselves depend on none."""
Condition = str | list[str]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, strict=True)


class DeviceLabels(_Strict):
    """Which labels name an accelerator; each is a list of candidates, first non-empty wins."""

    uuid: list[str]
    fallback: list[str] = []
    index: list[str] = []
    model: list[str] = []
    driver_version: list[str] = []
    pci_bus_id: list[str] = []

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every label that says anything of a device."""
        told = (*self.uuid, *self.fallback, *self.index, *self.model, *self.driver_version, *self.pci_bus_id)
        return tuple(dict.fromkeys(part for name in told for part in name.split("/")))


class Partition(_Strict):
    """How an accelerator is cut up: which label names a part, and how large the part is.

    `size` reads the label's text: `mig_slices` ("3g.40gb" = 3), `core_range` ("0-3" = 4 cores). With `equal` all
    parts that the exporter prints are of one size, and together they are the whole.
    `whole` is the size of the whole device, `whole_by_model` overrides it where a model name contains the key.
    """

    id: list[str]
    label: list[str] = []
    size: Literal["mig_slices", "core_range", "equal"]
    whole: int = 0
    whole_by_model: dict[str, int] = {}

    @model_validator(mode="after")
    def _sized(self) -> Partition:
        if (self.size == "equal") == bool(self.whole or self.label):
            raise ValueError("size: equal has no whole and no label, every other size needs both")
        return self


class Owner(_Strict):
    """One way in which rows name the pod that holds a device; the first complete one wins.

    A holder that lives in no namespace (a job of a batch system) gets the constant one of `in_namespace`.
    """

    pod: str
    namespace: str = ""
    container: str = ""
    in_namespace: str = ""

    @model_validator(mode="after")
    def _one(self) -> Owner:
        if bool(self.namespace) == bool(self.in_namespace):
            raise ValueError("give namespace: the label that names it, or in_namespace: one for all")
        return self


class VmLabels(_Strict):
    """Which labels name a VM; each is a list of candidates, first non-empty wins.

    `id` is its UUID, `domain` what libvirt calls it. `hosted: false` says that the rows do not come from the VM's
    hypervisor, so that their node is only where a third party believes it to be.
    """

    id: list[str] = []
    domain: list[str] = []
    name: list[str] = []
    project: list[str] = []
    project_id: list[str] = []
    address: list[str] = []
    hosted: bool = True


class Sensor(_Strict):
    """The label `sensor` or `clock` of the output: a constant `name`, or taken from labels of the row."""

    name: str = ""
    label: list[str] = []
    id: list[str] = []


class SeriesRule(_Strict):
    """One line of a table: which series, and what one of its rows means.

    `every` names values of a part's label without which a node's sum is no sum: {mode: [dynamic, idle]}.
    `needs` names a reading of the same device without which this one is not believed; bad health always is.
    Rows of an `owner` name the pod that holds the device, those of a `vm_owner` the VM.
    With `asked: false` no Prometheus is asked for it, because a fleet has it in hundreds of thousands of series.
    """

    to: str
    from_: Annotated[list[str], Field(alias="from", min_length=1)]
    unit: str = ""
    factor: float = 1.0
    rows: RowSemantics = "exclusive"
    parts: list[str] = []
    where: dict[str, Condition] = {}
    values: dict[float, float] = {}
    otherwise: float | None = None
    counter: bool = False
    zero: Literal["value", "missing"] = "value"
    nan: Literal["rejected", "missing"] = "rejected"
    low: float | None = None
    high: float | None = None
    sentinel_from: float | None = None
    sentinels: list[float] = []
    sensor: Sensor | None = None
    meter: str = ""
    owner: bool = False
    vm_owner: bool = False
    every: dict[str, list[str]] = {}
    needs: Literal["", "accelerator_power_watts", "accelerator_memory_total_bytes"] = ""
    asked: bool = True

    @field_validator("sentinels", mode="before")
    @classmethod
    def _floats(cls, value: Any) -> Any:
        return [float(v) if isinstance(v, int) else v for v in value] if isinstance(value, list) else value

    @field_validator("values", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        return {float(k): float(v) for k, v in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _known(self) -> SeriesRule:
        if self.to not in QUANTITIES and self.to not in INVENTORIES:
            known = [*QUANTITIES, *INVENTORIES]
            near = mistakes.nearest(self.to, known)
            raise ValueError(f"to: {self.to!r} is no quantity; known: {', '.join(known)}.{near}")
        if self.to in QUANTITIES:
            self._measured()
        if self.to == "node_wall_power_watts" and self.meter not in METERS:
            raise ValueError(f"meter: say which of {', '.join(METERS)} this whole-server meter is")
        if self.rows in ("partitioned", "per_core", "nested_zones", "board") and not self.parts:
            raise ValueError(f"rows: {self.rows} needs parts: the labels that tell the parts from each other")
        entity = QUANTITIES[self.to].entity if self.to in QUANTITIES else ""
        if self.every and (COMBINE[self.rows] != "sum" or not self.every.keys() <= set(self.parts)):
            raise ValueError("every: only for the parts of a sum, by labels that stand in parts")
        if self.rows == "board" and entity != "device":
            raise ValueError("rows: board is for quantities of a device: its chips share the board's value")
        if self.needs and (entity != "device" or self.to in _PROOFS):
            raise ValueError(f"needs: {self.to} cannot depend on another reading of a device")
        if entity in ("sensor", "device_sensor") and self.sensor is None:
            raise ValueError("sensor: name it, or say which label names it")
        for label, condition in self.where.items():
            try:
                _condition(condition)
            except re.error as exc:
                raise ValueError(f"where.{label}: {condition!r} is no regular expression: {exc}") from exc
        return self

    def _measured(self) -> None:
        """Raises ValueError where a unit does not belong to the quantity. Only joules of a counter make watts."""
        if self.unit not in SCALES:
            raise ValueError(f"unit: {self.unit!r} is unknown; known: {', '.join(SCALES)}")
        word = self.to.rsplit("_", 1)[-1]
        fitting = UNITS["joules"] if self.counter and word == "watts" else UNITS.get(word, (self.unit,))
        if self.unit not in fitting:
            of = f"a counter of {self.to}" if self.counter else self.to
            raise ValueError(f"unit: {self.unit!r} is no unit of {of}; known: {', '.join(fitting)}")
        if not self.factor > 0:
            raise ValueError(f"factor: {self.factor} is not positive")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low: {self.low} is above high: {self.high}")

    @cached_property
    def scale(self) -> float:
        """Factor from the vendor's number to the base unit."""
        return SCALES[self.unit] * self.factor

    @cached_property
    def conditions(self) -> tuple[tuple[str, re.Pattern[str] | frozenset[str] | bool], ...]:
        """`where`, compiled: a set of texts, a regular expression (`~…`), or presence (`+`, `-`)."""
        return tuple((label, _condition(value)) for label, value in self.where.items())

    def matches(self, labels: Labels) -> bool:
        """Whether `where` holds for a row; an absent label counts as empty, as in Prometheus."""
        for label, condition in self.conditions:
            value = labels.get(label, "")
            if isinstance(condition, bool):
                if bool(value) != condition:
                    return False
            elif isinstance(condition, frozenset):
                if value not in condition:
                    return False
            elif not condition.fullmatch(value):
                return False
        return True


def _condition(value: Condition) -> re.Pattern[str] | frozenset[str] | bool:
    if isinstance(value, list):
        return frozenset(value)
    if value in ("+", "-"):
        return value == "+"
    return re.compile(value[1:]) if value.startswith("~") else frozenset((value,))


class VendorTable(_Strict):
    """One exporter: how its rows name things, and what its series mean.

    `prefixes` stand before every name of the table (one exporter lets its users choose it; "" is none).
    With `strangers: dropped` a row counts only where its node is known: a PDU has other things on its outlets too.
    Devices of a `stand_in` are believed only while no other exporter tells the power of devices of that kind there.
    """

    vendor: str
    exporter: str
    kind: Literal["", "gpu", "npu", "tpu"] = ""
    maker: str = ""
    precedence: int = 50
    prefixes: Annotated[list[str], Field(min_length=1)] = [""]
    node: list[str] = []
    strangers: Literal["kept", "dropped"] = "kept"
    stand_in: bool = False
    device: DeviceLabels | None = None
    partition: Partition | None = None
    owners: list[Owner] = []
    own_pod: str = ""
    pod: Owner | None = None
    vm: VmLabels | None = None
    series: list[SeriesRule] = []

    @model_validator(mode="after")
    def _complete(self) -> VendorTable:
        for at, rule in enumerate(self.series):
            entity = QUANTITIES[rule.to].entity if rule.to in QUANTITIES else ""
            entity = "device" if rule.to == "device_info" else entity
            if entity in ("device", "device_sensor", "partition", "share") and (not self.device or not self.kind):
                raise ValueError(f"series.{at}: {rule.to} needs kind: and device: in this table")
            if entity == "partition" and not self.partition:
                raise ValueError(f"series.{at}: {rule.to} needs partition: in this table")
            if entity == "pod" and not self.pod:
                raise ValueError(f"series.{at}: {rule.to} needs pod: in this table")
            if (entity == "vm" or rule.to == "vm_info" or rule.vm_owner) and not self.vm:
                raise ValueError(f"series.{at}: {rule.to} needs vm: in this table")
            if entity and entity != "facility" and not self.node:
                raise ValueError(f"series.{at}: {rule.to} needs node: in this table")
        return self

    def names(self, rule: SeriesRule) -> list[str]:
        """The names of one line, with each prefix."""
        return [prefix + name for name in rule.from_ for prefix in self.prefixes]


class RankedRule(NamedTuple):
    """A rule with its table, and its rank among all that tell the same quantity of the same thing: lower wins.

    The table's precedence comes first, then the order of its lines, then the order of names in one line.
    """

    table: VendorTable
    rule: SeriesRule
    rank: int


class VendorIndex:
    """All tables, by series name. `wanted(name)` is what a source asks before it parses a series' labels."""

    def __init__(self, tables: Iterable[VendorTable]) -> None:
        self.tables: dict[str, VendorTable] = {table.vendor: table for table in tables}
        self._rules: dict[str, list[RankedRule]] = {}
        for table in self.tables.values():
            for at, rule in enumerate(table.series):
                for nth, name in enumerate(table.names(rule)):
                    rank = table.precedence * 10_000 + at * 100 + nth
                    self._rules.setdefault(name, []).append(RankedRule(table, rule, rank))
        self.meters, self.inventories = self._those(inventory=False), self._those(inventory=True)

    def _those(self, *, inventory: bool) -> dict[str, list[RankedRule]]:
        """Series name → rules that tell a quantity, or those that tell what there is."""
        found = {
            name: [r for r in rules if (r.rule.to in INVENTORIES) == inventory] for name, rules in self._rules.items()
        }
        return {name: rules for name, rules in found.items() if rules}

    def rules(self, name: str) -> list[RankedRule]:
        """The rules that name this series, in the order of the tables."""
        return self._rules.get(name, [])

    def names(self, vendor: str | None = None) -> list[str]:
        """Every series name that is understood, of all tables or of one, sorted."""
        if vendor is None or vendor not in self.tables:
            return sorted(self._rules)
        table = self.tables[vendor]
        return sorted({name for rule in table.series for name in table.names(rule)})

    def asked(self) -> list[str]:
        """The names that a Prometheus is asked for, sorted."""
        return sorted(n for n, found in self._rules.items() if any(ranked.rule.asked for ranked in found))

    def counters(self) -> frozenset[str]:
        """The names whose rows are counters: their samples need their own timestamps."""
        return frozenset(n for n, found in self._rules.items() if any(ranked.rule.counter for ranked in found))

    def with_facility(self, meters: Mapping[str, list[tuple[dict[str, str], float, str]]]) -> VendorIndex:
        """This index plus the configured facility meters: series name → [(labels, scale, meter key)].

        The key becomes the entity name of the reading, so that several meters of a site stay apart.
        """
        series = [
            SeriesRule.model_validate(
                {
                    "to": "facility_power_watts",
                    "from": [name],
                    "unit": "W",
                    "rows": "partitioned",
                    "parts": ["*"],
                    "where": dict(labels),
                    "sensor": {"name": key},
                    "factor": float(scale),
                }
            )
            for name, found in meters.items()
            for labels, scale, key in found
        ]
        if not series:
            return self
        facility = VendorTable(vendor="facility", exporter="configured facility meters", series=series)
        return VendorIndex([*self.tables.values(), facility])
