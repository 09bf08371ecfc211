"""The option that rewrites the golden pages: `pytest tests/vendors --update-golden`, then read the difference."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/vendors/*/expected.prom")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    # The default: when all tests are collected this file is read after the command line.
    return bool(request.config.getoption("--update-golden", default=False))
