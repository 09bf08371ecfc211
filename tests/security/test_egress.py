"""Whom the program calls: what is configured, and nobody else. No names are looked up, no news is sent home.

An audit hook of the interpreter notes every connection and every name that is looked up, in a program that runs as a
user runs it; where the kernel allows it, in a network of its own that leads nowhere.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kcloud_exporter.fleet import FleetSpec
from tests.real.programs import apart, free_port, require
from tests.real.simulated_fleet import simulated_fleet

HOOKED = """
import json, os, sys
log = open(os.environ["EGRESS_LOG"], "a", buffering=1)
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        said = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        said = f"{said[0]}:{said[1]}" if isinstance(said, tuple) else said and str(said)
        log.write(json.dumps([event, said]) + "\\n")
sys.addaudithook(hook)
"""


def sitecustomize(folder: Path) -> dict[str, str]:
    """An environment in which every interpreter, children's too, notes whom it calls."""
    (folder / "sitecustomize.py").write_text(HOOKED)
    log = folder / "egress.log"
    log.touch()
    return os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{Path.cwd()}", "EGRESS_LOG": str(log)}


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_only_what_is_configured_is_called(tmp_path: Path) -> None:
    port = free_port()
    environment = sitecustomize(tmp_path)
    with simulated_fleet(FleetSpec(frozen=True)) as fleet:
        (tmp_path / "c.yaml").write_text(json.dumps(fleet.kcloud_config("exporter", interval="1s")))
        targets = {each.url.split("/")[2] for each in fleet.exporters}
        command = [sys.executable, "-m", "kcloud_exporter", "serve", "--config.file", str(tmp_path / "c.yaml")]
        command += ["--storage.path", str(tmp_path / "data"), "--web.listen-address", f"127.0.0.1:{port}"]
        with (tmp_path / "log").open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
            try:
                noted = tmp_path / "egress.log"
                until(lambda: all(target in noted.read_text() for target in targets))
                time.sleep(3)  # some cycles more
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0, (tmp_path / "log").read_text()
    calls = [json.loads(line) for line in noted.read_text().splitlines()]
    assert {said for event, said in calls if event == "socket.connect"} == targets
    hosts = {target.rsplit(":", 1)[0] for target in targets} | {"127.0.0.1", None}
    assert {said for event, said in calls if event == "socket.getaddrinfo"} <= hosts, "an address, and never a name"
    assert {event for event, _ in calls} <= {"socket.connect", "socket.getaddrinfo"}


def test_a_machine_without_any_network_is_enough(tmp_path: Path) -> None:
    """In a network namespace of its own there is loopback and nothing else: the demo needs no more."""
    require("ip")
    namespace = apart("--net")
    script = f"""
ip link set lo up
{sys.executable} -m kcloud_exporter demo --web.listen-address 127.0.0.1:28283 >{tmp_path}/log 2>&1 &
program=$!
for _ in $(seq 150); do
  {sys.executable} - <<'PY' && break
import sys, urllib.request
try:
    page = urllib.request.urlopen("http://127.0.0.1:28283/metrics", timeout=5).read().decode()
except OSError:
    sys.exit(1)
ups = [line for line in page.splitlines() if line.startswith("kcloud_source_up")]
print(len(ups), sum(line.endswith(" 1.0") for line in ups))
PY
  sleep 0.3
done
kill -TERM $program
wait $program
"""
    found = subprocess.run([*namespace, "bash", "-c", script], capture_output=True, text=True, timeout=110)
    assert found.returncode == 0, (found.stderr, (tmp_path / "log").read_text())
    sources, up = map(int, found.stdout.split())
    assert sources == up > 10
