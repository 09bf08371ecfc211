"""The page of reliability is current, and what it names is there."""

from __future__ import annotations

import ast

from tests.reliability.faults import FAULTS
from tests.reliability.goals import GOALS
from tests.reliability.page import PAGE, ROOT, draw


def test_every_test_that_is_named_exists() -> None:
    for number, (_, _, tests, measured) in FAULTS.items():
        for test in tests:
            file, _, name = test.partition("::")
            tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
            names = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert not name or name in names, (number, test)
        assert tests or measured.startswith("not tested"), f"{number}: what nothing holds says so"


def test_no_fault_and_no_goal_is_left_out() -> None:
    assert list(FAULTS) == [f"F{n}" for n in range(1, 78)]
    assert list(GOALS) == [f"G{n}" for n in range(1, 35)]


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == draw(), "draw it anew: python -m tests.reliability.page"
