"""Simulated PDUs and UPSs that speak real SNMP (net-snmp's snmpd), and a real snmp_exporter in front of them."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.real.programs import Program, answers, free_port, require, start

APC, SENTRY4, UPS = "1.3.6.1.4.1.318.1.1.26", "1.3.6.1.4.1.1718.4.1.8", "1.3.6.1.2.1.33.1.4.4.1"
RARITAN = "1.3.6.1.4.1.13742.6.5.4.3.1"


def _index(*labels: str) -> list[dict[str, str]]:
    return [{"labelname": label, "type": "gauge"} for label in labels]


def _named(label: str, oid: str, *by: str) -> dict[str, Any]:
    return {"labels": list(by), "labelname": label, "oid": oid, "type": "DisplayString"}


_ST4: Final = ("st4UnitIndex", "st4InputCordIndex", "st4OutletIndex")
METRICS: Final[Mapping[str, list[dict[str, Any]]]] = {
    "apc": [
        {
            "name": "rPDU2DeviceStatusPower",
            "oid": f"{APC}.4.3.1.5",
            "help": "The power consumption of the Rack PDU load in hundredths of kilowatts",
            "indexes": _index("rPDU2DeviceStatusIndex"),
        },
        {
            "name": "rPDU2OutletMeteredStatusPower",
            "oid": f"{APC}.9.4.3.1.7",
            "help": "The power consumption of the outlet in watts",
            "indexes": _index("rPDU2OutletMeteredStatusIndex"),
            "lookups": [_named("rPDU2OutletMeteredStatusName", f"{APC}.9.4.3.1.3", "rPDU2OutletMeteredStatusIndex")],
        },
    ],
    "sentry4": [
        {
            "name": "st4OutletActivePower",
            "oid": f"{SENTRY4}.3.1.7",
            "help": "The measured active power of the outlet in Watts",
            "indexes": _index(*_ST4),
            "lookups": [
                _named("st4OutletID", f"{SENTRY4}.2.1.2", *_ST4),
                _named("st4OutletName", f"{SENTRY4}.2.1.3", *_ST4),
            ],
        }
    ],
    "raritan": [
        {
            "name": "measurementsOutletSensorValue",
            "oid": f"{RARITAN}.4",
            "help": "The sensor reading as an unsigned integer",
            "indexes": _index("pduId", "outletId", "sensorType"),
        }
    ],
    "ups": [
        {
            "name": "upsOutputPower",
            "oid": f"{UPS}.4",
            "help": "The present output true power.",
            "indexes": _index("upsOutputLineIndex"),
        }
    ],
}


@contextlib.contextmanager
def snmp_agent(name: str, values: Mapping[str, int | str], folder: Path) -> Iterator[tuple[str, Program]]:
    """An agent that answers these numbers and texts by OID; yields host:port (UDP) and the program."""
    binary, port, home = require("snmpd"), free_port(socket.SOCK_DGRAM), folder / name
    home.mkdir()
    file = home / "snmpd.conf"
    lines = [
        f"override .{oid} integer {value}" if isinstance(value, int) else f'override .{oid} octet_str "{value}"'
        for oid, value in values.items()
    ]
    # `rocommunity` belongs to a module that -I leaves out.
    access = (
        "com2sec all 127.0.0.1 public",
        "group all v2c all",
        "view all included .1",
        'access all "" any noauth exact all none none',
    )
    file.write_text("\n".join([*access, *lines, f"[snmp] persistentDir {home}"]) + "\n")
    flags = ["-f", "-Lo", "-C", "-I", "override,vacm_conf"]
    arguments: list[str | Path] = [binary, *flags, "-c", file, f"udp:127.0.0.1:{port}"]
    with start(name, arguments, home, lambda: _bound(port)) as program:
        yield f"127.0.0.1:{port}", program


def _bound(port: int) -> bool:
    """Whether somebody holds that UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


@contextlib.contextmanager
def snmp_exporter(folder: Path) -> Iterator[str]:
    """A real snmp_exporter; yields its URL. A device is read at /snmp?target=HOST:PORT&module=apc."""
    binary, port, file = require("prometheus-snmp-exporter"), free_port(), folder / "snmp.yml"
    modules = {
        name: {
            "walk": [
                oid for metric in metrics for oid in (metric["oid"], *(x["oid"] for x in metric.get("lookups", ())))
            ],
            "metrics": [{"type": "gauge", **metric} for metric in metrics],
            "version": 2,
            "auth": {"community": "public"},
            "timeout": "500ms",
            "retries": 0,
        }
        for name, metrics in METRICS.items()
    }
    file.write_text(json.dumps(modules))
    url = f"http://127.0.0.1:{port}"
    arguments = [binary, f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}"]
    with start("snmp_exporter", arguments, folder, lambda: answers(f"{url}/")):
        yield url
