"""Mutation testing of the modules on which every joule depends: one small mistake at a time; the tests must notice.

`python -m tests.chaos.mutation --sample 40 --minutes 30` writes tests/chaos/figures/mutation.json.
A mutant is one change of the text of a module: another comparison, another operator, another number, a condition
turned round, a statement left out. It is killed when the tests of its module fail, or do not end in time.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
FIGURES: Final = Path(__file__).parent / "figures" / "mutation.json"
_BOOKS: Final = (
    "tests/derive/test_rules.py",
    "tests/derive/test_worked_example.py",
    "tests/derive/test_conservation.py",
)
MODULES: Final[dict[str, tuple[str, ...]]] = {
    "derive/ledger.py": (*_BOOKS, "tests/test_fleet_ledger.py"),
    "derive/energy.py": ("tests/derive/test_energy.py", "tests/test_runtime.py", "tests/test_work.py"),
    "derive/attribution.py": (*_BOOKS, "tests/vendors/test_duplication.py", "tests/test_fleet_ledger.py"),
    "storage/counters.py": (
        "tests/storage/test_leftovers.py",
        "tests/storage/test_counters.py",
        "tests/storage/test_disk_trouble.py",
        "tests/storage",
    ),
}
"""Module → its tests, the quickest first."""
SECONDS: Final = 300.0
_COMPARED: Final = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_COUNTED: Final = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "*",
    ast.BitAnd: "|", ast.BitOr: "&",
}  # fmt: skip
_CALLED: Final = {"minimum": "maximum", "maximum": "minimum", "min": "max", "max": "min", "isnan": "isfinite"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: `old` at [start, end) of the module's text becomes `new`."""

    module: str
    line: int
    start: int
    end: int
    old: str
    new: str

    def text(self, source: str) -> str:
        """The module with the mistake."""
        return source[: self.start] + self.new + source[self.end :]


def mutants(module: str) -> list[Mutant]:
    """All mutants of a module that are programs."""
    source = (ROOT / "kcloud_exporter" / module).read_text(encoding="utf-8")
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: list[Mutant] = []
    tree = ast.parse(source)
    quiet = {id(part) for node in ast.walk(tree) for note in _notes(node) for part in ast.walk(note)}
    for node in ast.walk(tree):
        if id(node) in quiet:
            continue
        for first, last, new in _changes(node):
            start = starts[first.end_lineno - 1] + first.end_col_offset if first is not node else 0  # type: ignore[attr-defined]
            if first is node:
                start = starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
            end = (
                starts[last.end_lineno - 1] + last.end_col_offset  # type: ignore[attr-defined]
                if last is node
                else starts[last.lineno - 1] + last.col_offset  # type: ignore[attr-defined]
            )
            mutant = Mutant(module, node.lineno, start, end, source[start:end], new)  # type: ignore[attr-defined]
            try:
                ast.parse(mutant.text(source))
            except SyntaxError:
                continue
            if mutant.old.strip() != new.strip():
                found.append(mutant)
    return found


def _notes(node: ast.AST) -> Iterator[ast.AST]:
    """Annotations, which are no behaviour, and the names of imports."""
    for name in ("annotation", "returns"):
        note = getattr(node, name, None)
        if note is not None:
            yield note
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield from node.decorator_list


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST, str]]:
    """(from, to, what stands there instead): between two nodes, or the whole of one."""
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARED:
            yield left, right, f" {_COMPARED[type(op)]} "
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _COUNTED:
            yield left, right, f" {_COUNTED[type(op)]} "
        case ast.BoolOp(op=op, values=[first, second]):
            yield first, second, " or " if isinstance(op, ast.And) else " and "
        case ast.UnaryOp(op=ast.Not() | ast.Invert() | ast.USub(), operand=operand):
            yield node, node, ast.unparse(operand)
        case ast.Constant(value=bool(value)):
            yield node, node, str(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield node, node, repr(value + 1)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr=name)) if name in _CALLED:
            yield node, node, ast.unparse(node).replace(f"np.{name}", f"np.{_CALLED[name]}", 1)
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield test, test, f"not ({ast.unparse(test)})"
        case ast.AugAssign() | ast.Expr(value=ast.Call()):
            yield node, node, "pass"
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            yield node, node, "return None"


def is_killed(folder: Path, mutant: Mutant) -> bool:
    """Whether the tests of its module notice."""
    file = folder / "kcloud_exporter" / mutant.module
    source = (ROOT / "kcloud_exporter" / mutant.module).read_text(encoding="utf-8")
    file.write_text(mutant.text(source), encoding="utf-8")
    tests = [test for test in MODULES[mutant.module] if (folder / test).exists()]
    try:
        for test in tests:
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", test]
            environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
            try:
                done = subprocess.run(command, cwd=folder, capture_output=True, timeout=SECONDS, env=environment)
            except subprocess.TimeoutExpired:
                return True
            if done.returncode:
                return True
        return False
    finally:
        file.write_text(source, encoding="utf-8")


def main() -> None:
    """Take a sample of each module's mutants in turn until the time is over, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=40, help="mutants of each module (default 40)")
    parser.add_argument("--minutes", type=float, default=30.0, help="stop after so many minutes (default 30)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    ends = time.monotonic() + 60 * arguments.minutes
    chosen: dict[str, list[Mutant]] = {}
    results: dict[str, dict[str, object]] = {}
    for module in MODULES:
        every = mutants(module)
        chosen[module] = random.Random(arguments.seed).sample(every, min(arguments.sample, len(every)))
        results[module] = {"mutants": len(every), "tried": 0, "killed": 0, "survivors": []}
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        folder = Path(name)
        for part in ("kcloud_exporter", "tests", "config", "pyproject.toml"):
            origin = ROOT / part
            if origin.is_dir():
                shutil.copytree(origin, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(origin, folder / part)
        for number in range(arguments.sample):
            for module, wanted in chosen.items():
                if number >= len(wanted) or time.monotonic() > ends:
                    continue
                mutant, result = wanted[number], results[module]
                killed = is_killed(folder, mutant)
                result["tried"] = int(str(result["tried"])) + 1
                result["killed"] = int(str(result["killed"])) + killed
                if not killed:
                    survivors = result["survivors"]
                    assert isinstance(survivors, list)
                    survivors.append(f"line {mutant.line}: {mutant.old.strip()} → {mutant.new.strip()}"[:160])
                print(f"{module}:{mutant.line} {mutant.old!r} -> {mutant.new!r} {'killed' if killed else 'SURVIVED'}")
                sys.stdout.flush()
                FIGURES.parent.mkdir(exist_ok=True)
                FIGURES.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
