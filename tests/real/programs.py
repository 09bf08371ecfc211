"""Real programs on loopback: start, wait until ready, show the log on failure, always stop."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

START_SECONDS = 30.0
STOP_SECONDS = 10.0
LOG_TAIL_LINES = 40
# Debian keeps FreeIPMI's tools in sbin, which is not on an ordinary user's path.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

_running: list[Program] = []


@dataclass(frozen=True)
class Program:
    """A running program and the file that holds its standard output and error."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self) -> str:
        """The last lines that it printed."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Freeze it (SIGSTOP): connections are still accepted by the kernel, but never answered."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def running() -> tuple[Program, ...]:
    """The programs that run now, for the report of a failed test."""
    return tuple(_running)


def require(*names: str) -> str:
    """Path of the first program; all have to be installed.

    A missing one skips the test on a workstation and fails it where CI=true: there, nothing is skipped.
    """
    paths = {name: shutil.which(name, path=SEARCH_PATH) for name in names}
    if missing := [name for name, path in paths.items() if path is None]:
        reason = f"{', '.join(missing)} missing: install with `make test`"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    first = paths[names[0]]
    assert first is not None
    return first


def apart(*flags: str) -> tuple[str, ...]:
    """The start of a command that runs another in kernel namespaces of its own; `flags` are those of unshare.

    Root may do so; anybody else becomes root of a user namespace first, which not every kernel and no chroot allows.
    Skips and fails as `require` does.
    """
    command = (require("unshare"), *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), *flags)
    tried = subprocess.run([*command, "true"], capture_output=True, text=True)
    if tried.returncode:
        reason = f"no namespaces of one's own on this machine: {' '.join(command)}: {tried.stderr.strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return command


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that was free a moment ago (TCP, or UDP with SOCK_DGRAM)."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def start(
    name: str, arguments: Sequence[str | Path], folder: Path, ready: Callable[[], bool], cwd: Path | None = None
) -> Iterator[Program]:
    """Run `arguments`, its log in `folder`; yield when `ready()` is true, and stop it at the end."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            cwd=cwd or folder,
            env=os.environ | {"PATH": SEARCH_PATH},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    program = Program(name, process, log)
    _running.append(program)
    try:
        wait_until(lambda: process.poll() is not None or ready(), f"{name} is ready", START_SECONDS, program)
        assert process.poll() is None, f"{name} ended with {process.returncode}:\n{program.tail()}"
        yield program
    except BaseException as error:
        error.add_note(f"log of {name}:\n{program.tail()}")
        raise
    finally:
        _running.remove(program)
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def answers(url: str, status: int = 200) -> bool:
    """Whether a GET answers with `status` right now."""
    try:
        return get(url, timeout=2.0).status_code == status
    except httpx.HTTPError:
        return False


def get(url: str, *, timeout: float = 10.0, headers: dict[str, str] | None = None) -> httpx.Response:
    """GET without proxies: everything here is on loopback."""
    with httpx.Client(trust_env=False, timeout=timeout) as client:
        return client.get(url, headers=headers)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0, program: Program | None = None) -> None:
    """Poll until `condition()` holds. The limit only ends a test that would never pass."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            log = f"\n{program.tail()}" if program else ""
            pytest.fail(f"waited {seconds:.0f} s in vain: {what}{log}")
        time.sleep(0.05)
