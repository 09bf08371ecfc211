"""Fixtures of the web server's tests."""

from __future__ import annotations

import pytest

from tests.web.program import Program


@pytest.fixture
def program() -> Program:
    return Program()
