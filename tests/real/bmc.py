"""A simulated BMC that speaks real IPMI 2.0 (RMCP+ over UDP), and a real ipmi_exporter in front of it."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.real.bmc_sensors import SENSORS, simulator_commands
from tests.real.programs import answers, free_port, get, require, start

USER, PASSWORD = "monitor", "ipmi-test"
MODULE_SOURCE = Path(__file__).with_name("dcmi_power.c")


@dataclass(frozen=True)
class Bmc:
    """One server's BMC at `address` (host:port, UDP)."""

    address: str
    folder: Path

    def set_watts(self, watts: int) -> None:
        """What DCMI reports from now on."""
        _replace(self.folder / "watts", str(watts))

    def set_raw(self, sensor: str, raw: int) -> None:
        """The raw reading of one of SENSORS; the simulator notices within a fraction of a second."""
        _replace(_raw_file(self.folder, sensor), str(raw))


@contextlib.contextmanager
def simulated_bmc(folder: Path, watts: int) -> Iterator[Bmc]:
    """Run ipmi_sim with our DCMI module; needs no root, because its port is above 1023."""
    binary = require("ipmi_sim", "gcc")
    home = folder / "bmc"
    home.mkdir()
    module = home / "dcmi_power.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", module, MODULE_SOURCE], check=True)
    port = free_port(socket.SOCK_DGRAM)
    bmc = Bmc(f"127.0.0.1:{port}", home)
    bmc.set_watts(watts)
    for sensor in SENSORS:
        bmc.set_raw(sensor.name, sensor.raw)
    commands, lan = home / "bmc.emu", home / "lan.conf"
    commands.write_text(simulator_commands({s.name: _raw_file(home, s.name) for s in SENSORS}))
    lan.write_text(_lan_config(port, module, home / "watts"))
    (home / "state").mkdir()
    arguments: list[str | Path] = [binary, "-c", lan, "-f", commands, "-s", home / "state", "-n"]
    with start("ipmi_sim", arguments, home, lambda: _answers_ping(port)):
        yield bmc


@contextlib.contextmanager
def ipmi_exporter(folder: Path) -> Iterator[str]:
    """A real ipmi_exporter; yields host:port. A BMC is read at /ipmi?target=HOST:PORT."""
    binary, port = require("prometheus-ipmi-exporter", "ipmi-dcmi"), free_port()
    config = folder / "ipmi_exporter.yml"
    module = {
        "user": USER,
        "pass": PASSWORD,
        "driver": "LAN_2_0",
        "privilege": "admin",
        "timeout": 10000,
        "collectors": ["bmc", "ipmi", "chassis", "dcmi", "sel"],
        # Without it FreeIPMI gets no privilege level from the simulator.
        "workaround_flags": ["opensesspriv"],
    }
    config.write_text(json.dumps({"modules": {"default": module}}))
    address = f"127.0.0.1:{port}"
    arguments = [binary, f"--config.file={config}", f"--web.listen-address={address}"]
    with start("ipmi_exporter", arguments, folder, lambda: answers(f"http://{address}/")):
        yield address


def read_bmc(exporter: str, bmc: Bmc) -> str:
    """The page of ipmi_exporter for this BMC."""
    return get(f"http://{exporter}/ipmi?target={bmc.address}", timeout=20.0).text


def _lan_config(port: int, module: Path, watts_file: Path) -> str:
    allowed = "\n".join(
        f"    allowed_auths_{level} none md2 md5 straight" for level in ("callback", "user", "operator", "admin")
    )
    return f"""name "simulated"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
{allowed}
    guid 6b636c6f756400000000000000000001
  endlan
  user 2 true "{USER}" "{PASSWORD}" admin 10 none md2 md5 straight
loadlib "{module}" "{watts_file}"
"""


def _answers_ping(port: int) -> bool:
    # RMCP presence ping (ASF, IANA 4542): the simulator answers with a pong when it is up.
    ping = bytes([0x06, 0x00, 0xFF, 0x06, 0x00, 0x00, 0x11, 0xBE, 0x80, 0x00, 0x00, 0x00])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.connect(("127.0.0.1", port))
        try:
            client.send(ping)
            return bool(client.recv(64))
        except OSError:
            return False


def _raw_file(folder: Path, sensor: str) -> Path:
    return folder / f"{sensor.replace(' ', '_')}.raw"


def _replace(path: Path, text: str) -> None:
    # The simulator must never read half a number.
    new = path.with_suffix(".new")
    new.write_text(text)
    shutil.move(new, path)
