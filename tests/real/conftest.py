"""Every failed test of this folder shows the logs of the programs that ran meanwhile."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.real.programs import running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,  # noqa: ARG001 - hook arguments go by name
    call: pytest.CallInfo[None],  # noqa: ARG001
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last lines of each running program to the report of a failed test."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {program.name}", program.tail()) for program in running()]
    return report
