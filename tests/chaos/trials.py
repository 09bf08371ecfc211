"""Trials: tests run again and again in one place, each time in a new process that has its libraries already.

A process that has imported the libraries, and nothing of this project, forks for each trial; so a trial costs its
tests, and not the two seconds before them. Started as `python -m tests.chaos.trials` in the folder of the tests, it
reads one JSON line for each trial (`tests`, `seconds`, `record`) and answers with one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

_LIBRARIES: Final = (
    "aiohttp.web", "apscheduler.schedulers.asyncio", "httpx", "hypothesis.extra.numpy", "jinja2", "numpy", "orjson",
    "prometheus_client", "pydantic", "yaml",
)  # fmt: skip
_QUIET: Final = (
    "-q",
    "-x",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--no-header",
    "--hypothesis-profile=mutation",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)


class Entered:
    """A plugin of pytest that notes which functions of one file each test enters, and how long each test takes.

    What fixtures enter counts for all tests of the file: a fixture may serve more than the test that made it.
    """

    def __init__(self, module: Path) -> None:
        self._module = str(module)
        self._now: set[int] = set()
        self.tests: dict[str, set[int]] = {}
        self.fixtures: defaultdict[str, set[int]] = defaultdict(set)
        self.seconds: dict[str, float] = {}

    def trace(self, frame: FrameType, _event: str, _argument: object) -> None:
        """Called for every function that begins, and for nothing else, as it asks for no lines."""
        if frame.f_code.co_filename == self._module:
            self._now.add(frame.f_code.co_firstlineno)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        """Before a test: its fixtures."""
        self._now = set()
        yield
        self.fixtures[item.nodeid.split("::")[0]] |= self._now

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """The test itself."""
        self._now, begun = set(), time.perf_counter()
        yield
        self.tests[item.nodeid], self.seconds[item.nodeid] = self._now, time.perf_counter() - begun

    def found(self) -> dict[str, Any]:
        """Test → the first lines of the functions that it enters, and its seconds."""
        return {
            test: {"entered": sorted(lines | self.fixtures[test.split("::")[0]]), "seconds": self.seconds[test]}
            for test, lines in self.tests.items()
        }


def _child(asked: dict[str, Any], answer: int) -> None:
    """Run the tests in this process, and end it."""
    code = 3
    try:
        plugins = []
        if asked.get("record"):
            import threading

            entered = Entered(Path(asked["record"]))
            plugins.append(entered)
            sys.settrace(entered.trace)
            threading.settrace(entered.trace)
        code = int(pytest.main([*_QUIET, *asked["tests"]], plugins=plugins))
        sys.settrace(None)
        if plugins:
            os.write(answer, json.dumps(plugins[0].found()).encode())
    finally:
        os._exit(code)


def _trial(asked: dict[str, Any]) -> dict[str, Any]:
    """One trial: `code` of pytest, or None where it did not end in time, and what was recorded."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setsid()
        _child(asked, writing)
    os.close(writing)
    ends, code = time.monotonic() + asked["seconds"], None
    # What is recorded is read at the end only: the pipe closes then.
    if asked.get("record"):
        with os.fdopen(reading, "rb") as pipe:
            recorded = pipe.read()
    else:
        os.close(reading)
        recorded = b"{}"
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what its tests have started and it did not end
    if code is None:
        os.waitpid(child, 0)
    return {"code": code, "recorded": json.loads(recorded or b"{}")}


def main() -> None:
    """Answer until the input ends."""
    for name in _LIBRARIES:
        __import__(name)
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    for line in sys.stdin:
        os.write(answers, json.dumps(_trial(json.loads(line))).encode() + b"\n")


if __name__ == "__main__":
    main()
