"""Fixtures of the API's tests: one running program per module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.api.program import Program, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def program() -> AsyncIterator[Program]:
    async with running() as it:
        yield it
