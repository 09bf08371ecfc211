"""Sensor data records (IPMI 2.0, section 43) and simulator commands for one small server's BMC.

Offsets are the one-based byte numbers of the specification's tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BMC: Final = 0x20
FULL_RECORD, COMPACT_RECORD = 1, 2
THRESHOLD_READING, SENSOR_SPECIFIC_READING = 0x01, 0x6F


@dataclass(frozen=True)
class Quantity:
    """Sensor type and base unit codes (tables 42-3 and 43-15)."""

    sensor_type: int
    unit: int


TEMPERATURE = Quantity(0x01, 1)
VOLTAGE = Quantity(0x02, 4)
CURRENT = Quantity(0x03, 5)
FAN = Quantity(0x04, 18)
POWER = Quantity(0x0B, 6)


@dataclass(frozen=True)
class Sensor:
    """A threshold sensor: reading = raw · multiplier · 10^exponent."""

    number: int
    name: str
    quantity: Quantity
    raw: int
    multiplier: int = 1
    exponent: int = 0
    upper_critical: int | None = None
    lower_critical: int | None = None


@dataclass(frozen=True)
class PowerSupply:
    """A discrete sensor that says "present"; ipmi_exporter prints its value as NaN."""

    number: int
    name: str


SENSORS: Final = (
    Sensor(1, "Inlet Temp", TEMPERATURE, 24, upper_critical=50),
    Sensor(2, "CPU1 Temp", TEMPERATURE, 63, upper_critical=95),
    Sensor(3, "FAN1", FAN, 48, multiplier=100, lower_critical=5),
    Sensor(4, "P12V", VOLTAGE, 201, multiplier=6, exponent=-2),
    Sensor(5, "PSU1 Current", CURRENT, 17, exponent=-1),
    Sensor(6, "PSU1 Input Power", POWER, 95, multiplier=4),
)
POWER_SUPPLIES: Final = (PowerSupply(0x20, "PSU1 Status"),)


def simulator_commands(raw_files: dict[str, Path]) -> str:
    """The command file of ipmi_sim. It reads a sensor's raw value again and again from `raw_files[name]`."""
    lines = [
        f"mc_setbmc {BMC:#x}",
        f"mc_add {BMC:#x} 0x20 no-device-sdrs 0x01 2 5 0x9f 0x1291 0x0f02",
        f"sel_enable {BMC:#x} 1000 0x0a",
    ]
    for sensor in SENSORS:
        lines += _threshold_commands(sensor, raw_files[sensor.name])
    for supply in POWER_SUPPLIES:
        lines += _discrete_commands(supply)
    return "\n".join([*lines, f"mc_enable {BMC:#x}", ""])


def _threshold_commands(sensor: Sensor, raw_file: Path) -> Iterator[str]:
    address = f"{BMC:#x} 0 {sensor.number}"
    yield f"main_sdr_add {BMC:#x} {_listed(_full_record(sensor))}"
    yield (
        f'sensor_add {address} {sensor.quantity.sensor_type:#x} {THRESHOLD_READING:#x} poll 200 file "{raw_file}" ascii'
    )
    upper, lower = sensor.upper_critical, sensor.lower_critical
    # Six flags and values: non-recoverable, critical, non-critical; the upper ones first.
    flags = f"0{int(upper is not None)}00{int(lower is not None)}0"
    yield f"sensor_set_threshold {address} readable {flags} 0 {upper or 0} 0 0 {lower or 0} 0"
    yield _scanning(address)


def _discrete_commands(supply: PowerSupply) -> Iterator[str]:
    address = f"{BMC:#x} 0 {supply.number}"
    yield f"main_sdr_add {BMC:#x} {_listed(_compact_record(supply))}"
    yield f"sensor_add {address} 0x08 {SENSOR_SPECIFIC_READING:#x}"
    yield f"sensor_set_bit {address} 0 1 0"
    yield _scanning(address)


def _scanning(address: str) -> str:
    none = "0" * 15
    return f"sensor_set_event_support {address} enable scanning per-state {none} {none} {none} {none}"


def _listed(record: bytes) -> str:
    return " ".join(f"{byte:#04x}" for byte in record)


def _full_record(sensor: Sensor) -> bytes:
    readable = (sensor.lower_critical is not None) << 1 | (sensor.upper_critical is not None) << 4
    fields = {
        11: 0x7F,  # all of it is initialised
        12: 0x68 if readable else 0x40,  # re-arms itself; thresholds can be read
        13: sensor.quantity.sensor_type,
        14: THRESHOLD_READING,
        19: readable,
        22: sensor.quantity.unit,
        25: sensor.multiplier & 0xFF,
        26: (sensor.multiplier >> 2) & 0xC0,
        30: (sensor.exponent & 0x0F) << 4,
        35: 0xFF,  # largest raw value
        38: sensor.upper_critical or 0,
        41: sensor.lower_critical or 0,
    }
    return _record(FULL_RECORD, 48, sensor.number, sensor.name, fields)


def _compact_record(supply: PowerSupply) -> bytes:
    fields = {11: 0x67, 12: 0x40, 13: 0x08, 14: SENSOR_SPECIFIC_READING, 21: 0xC0, 24: 0x01}
    return _record(COMPACT_RECORD, 32, supply.number, supply.name, fields)


def _record(kind: int, name_at: int, number: int, name: str, fields: dict[int, int]) -> bytes:
    record = bytearray(name_at)
    header = {3: 0x51, 4: kind, 5: name_at + len(name) - 5, 6: BMC, 8: number, 9: 0x07, 10: 0x01}
    for offset, value in {**header, **fields, name_at: 0xC0 | len(name)}.items():
        record[offset - 1] = value
    return bytes(record) + name.encode("ascii")
