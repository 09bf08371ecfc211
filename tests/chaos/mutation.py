"""Mutation testing of the modules on which every joule depends: one small mistake at a time; the tests must notice.

`python -m tests.chaos.mutation --sample 40 --minutes 30` writes tests/chaos/figures/mutation.json.
A mutant is one change of the text of a module: another comparison, another operator, another number, a condition
turned round, a statement left out. It is killed when the tests of its module fail, or do not end in time.
Of a survivor that changes nothing, `equivalent` has the reason.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.chaos.equivalent import EQUIVALENT

ROOT: Final = Path(__file__).parent.parent.parent
FIGURES: Final = Path(__file__).parent / "figures" / "mutation.json"
_BOOKS: Final = (
    "tests/derive/test_rules.py",
    "tests/derive/test_worked_example.py",
    "tests/derive/test_conservation.py",
)
MODULES: Final[dict[str, tuple[str, ...]]] = {
    "derive/ledger.py": (*_BOOKS, "tests/test_fleet_ledger.py"),
    "derive/energy.py": (
        "tests/derive/test_energy.py",
        "tests/storage/test_books.py",
        "tests/test_runtime.py",
        "tests/test_work.py",
    ),
    "derive/attribution.py": (*_BOOKS, "tests/vendors/test_duplication.py", "tests/test_fleet_ledger.py"),
    "storage/counters.py": ("tests/storage", "tests/test_persistence.py", "tests/real/test_disk.py"),
    "storage/books.py": (
        "tests/storage/test_books.py",
        "tests/storage/test_disk_trouble.py",
        "tests/test_persistence.py",
    ),
}
"""Module → its tests."""
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
    column: int
    start: int
    end: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column} {' '.join(self.old.split())} → {' '.join(self.new.split())}"[:160]

    @property
    def changes_nothing(self) -> str:
        """Why nobody could notice it; empty where somebody could."""
        source = (ROOT / "kcloud_exporter" / self.module).read_text(encoding="utf-8")
        statement = source.splitlines()[self.line - 1].strip()
        return EQUIVALENT.get(self.module, {}).get((statement, str(self).partition(":")[2]), "")

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
            column = start - starts[node.lineno - 1]  # type: ignore[attr-defined]
            mutant = Mutant(module, node.lineno, column, start, end, source[start:end], new)  # type: ignore[attr-defined]
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


class Tests:
    """The tests of the modules, in a copy of the project; only those that enter what was changed are run."""

    def __init__(self, folder: Path, below: Sequence[str] = ("tests",)) -> None:
        self._folder, self._below = folder, tuple(below)
        environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.chaos.trials"]
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._known: dict[str, dict[str, Any]] = {}

    def close(self) -> None:
        """End the process that runs them."""
        self._process.terminate()
        self._process.wait()

    def _trial(self, tests: Sequence[str], seconds: float, record: Path | None = None) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"tests": tests, "seconds": seconds, "record": str(record) if record else None}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def _of(self, module: str) -> dict[str, Any]:
        """Test → the functions of the module that it enters, and its seconds. All must pass to begin with."""
        if module not in self._known:
            tests = [test for test in MODULES[module] if test.startswith(self._below)]
            found = self._trial(tests, 600.0, self._folder / "kcloud_exporter" / module)
            if found["code"] != 0:
                raise RuntimeError(f"the tests of {module} do not pass as it is: pytest ended with {found['code']}")
            self._known[module] = found["recorded"]
        return self._known[module]

    def kill(self, mutant: Mutant) -> bool:
        """Whether the tests of its module notice."""
        known = self._of(mutant.module)
        file = self._folder / "kcloud_exporter" / mutant.module
        source = (ROOT / "kcloud_exporter" / mutant.module).read_text(encoding="utf-8")
        around = _functions_around(source, mutant.line)
        # What belongs to no function is done when the module is imported, so it concerns every test.
        chosen = [test for test, of in known.items() if not around or around & set(of["entered"])]
        chosen.sort(key=lambda test: float(known[test]["seconds"]))
        if not chosen:
            return False
        patience = 30.0 + 10 * sum(known[test]["seconds"] for test in chosen)
        file.write_text(mutant.text(source), encoding="utf-8")
        try:
            return bool(self._trial(chosen, patience)["code"] != 0)
        finally:
            file.write_text(source, encoding="utf-8")


def _functions_around(source: str, line: int) -> set[int]:
    """The first lines, as code objects tell them, of the functions in which a line stands."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.body[0].lineno <= line <= (
            node.end_lineno or 0
        ):
            found.add(min([node.lineno, *(each.lineno for each in node.decorator_list)]))
    return found


def main() -> None:
    """Take a sample of each module's mutants in turn until the time is over, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=40, help="mutants of each module (default 40; 0: all)")
    parser.add_argument("--minutes", type=float, default=30.0, help="stop after so many minutes (default 30)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--survivors", action="store_true", help="only those that survived the last time")
    below = "only tests below this folder, which is quicker; what they let live, others might kill"
    parser.add_argument("--below", metavar="FOLDER", action="append", help=below)
    parser.add_argument("--only", choices=MODULES, action="append", help="only this module")
    arguments = parser.parse_args()
    ends = time.monotonic() + 60 * arguments.minutes
    chosen: dict[str, list[Mutant]] = {}
    results: dict[str, dict[str, Any]] = {}
    for module in arguments.only or MODULES:
        every = mutants(module)
        alike = {str(mutant): mutant.changes_nothing for mutant in every if mutant.changes_nothing}
        if len(alike) != len(EQUIVALENT.get(module, {})):
            parser.error(f"equivalent.py names changes of {module} that are none any more; those still are: {[*alike]}")
        if arguments.survivors:
            results = results or json.loads(FIGURES.read_text(encoding="utf-8"))
            for each, of in results.items():
                of["equivalent"] = {str(one): one.changes_nothing for one in mutants(each) if one.changes_nothing}
            found: dict[str, Any] = results[module]
            chosen[module] = [mutant for mutant in every if str(mutant) in found["survivors"]]
            found["survivors"] = [str(mutant) for mutant in chosen[module]]  # until they are killed
            continue
        chosen[module] = random.Random(arguments.seed).sample(every, min(arguments.sample or len(every), len(every)))
        results[module] = {"mutants": len(every), "tried": 0, "killed": 0, "survivors": [], "equivalent": alike}
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        folder = Path(name)
        for part in ("kcloud_exporter", "tests", "config", "pyproject.toml"):
            origin = ROOT / part
            if origin.is_dir():
                shutil.copytree(origin, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(origin, folder / part)
        tests = Tests(folder, arguments.below or ("tests",))
        for number in range(max(map(len, chosen.values()))):
            for module, wanted in chosen.items():
                if number >= len(wanted) or time.monotonic() > ends:
                    continue
                mutant, result = wanted[number], results[module]
                killed = tests.kill(mutant)
                result["tried"] += not arguments.survivors
                result["killed"] += killed
                if killed and arguments.survivors:
                    result["survivors"].remove(str(mutant))
                elif not killed and not arguments.survivors:
                    result["survivors"].append(str(mutant))
                print(f"{module}:{mutant.line} {mutant.old!r} -> {mutant.new!r} {'killed' if killed else 'SURVIVED'}")
                sys.stdout.flush()
                FIGURES.parent.mkdir(exist_ok=True)
                FIGURES.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        tests.close()


if __name__ == "__main__":
    main()
