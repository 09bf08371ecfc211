"""Tree: one number and the arithmetic that makes it. A closed list of operations, so that anybody can recompute it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Operation = Literal[
    "sample",  # what an upstream printed: a leaf
    "constant",  # a configured or counted number: a leaf
    "held",  # the last good value of a part that the newest answer lacks: a leaf
    "elided",  # not followed further; the name tells what to explain next: a leaf
    "same",  # its one part under another name
    "choice",  # the first part; the others were there and were not chosen
    "sum",
    "difference",  # the first part less all others
    "remainder",  # as difference; what is below 1e-9 of the first part is rounding, and 0
    "product",
    "quotient",
    "mean",
    "max",
    "min",
]
LEAVES: Final = frozenset({"sample", "constant", "held", "elided"})
_DUST: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Node:
    """One number: what it is, its value in a unit, the operation over its parts, and a remark on why."""

    what: str
    value: float
    unit: str
    operation: Operation
    parts: tuple[Node, ...] = ()
    note: str = ""

    def walk(self) -> Iterator[Node]:
        """This node and everything below it."""
        yield self
        for part in self.parts:
            yield from part.walk()


Part: TypeAlias = Callable[[int], Node]
"""A part that is built when it is followed: remaining depth → node."""


def branch(
    what: str, value: float, unit: str, operation: Operation, parts: Sequence[Part], depth: int, note: str = ""
) -> Node:
    """A node with its parts, or an elided leaf where the depth ends."""
    if depth <= 0:
        return Node(what, value, unit, "elided")
    return Node(what, value, unit, operation, tuple(part(depth - 1) for part in parts), note)


def gathered(
    what: str, value: float, unit: str, operation: Operation, parts: Sequence[Part], depth: int, note: str = ""
) -> Node:
    """As `branch`; a single part of a sum, mean, max or min stands for itself."""
    if len(parts) == 1 and not note:
        return parts[0](depth)
    return branch(what, value, unit, operation, parts, depth, note)


def leaf(what: str, value: float, unit: str = "", operation: Operation = "constant", note: str = "") -> Part:
    """A part that has no parts itself."""
    return lambda _: Node(what, value, unit, operation, (), note)


def recompute(node: Node) -> float:
    """The value of a node from its leaves alone, by the operations of the tree."""
    if node.operation in LEAVES:
        return node.value
    followed = node.parts[:1] if node.operation in ("choice", "same") else node.parts
    values = [recompute(part) for part in followed]
    return _RULES[node.operation](values)


def _remainder(values: Sequence[float]) -> float:
    rest = values[0] - math.fsum(values[1:])
    return 0.0 if abs(rest) <= _DUST * abs(values[0]) else rest


_RULES: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "choice": lambda values: values[0],
    "same": lambda values: values[0],
    "sum": math.fsum,
    "difference": lambda values: values[0] - math.fsum(values[1:]),
    "remainder": _remainder,
    "product": math.prod,
    "quotient": lambda values: values[0] / values[1],
    "mean": lambda values: math.fsum(values) / len(values),
    "max": max,
    "min": min,
}


def as_data(node: Node) -> dict[str, Any]:
    """The tree as JSON data; keys that would be empty are left out, an unknown value is null."""
    value = None if math.isnan(node.value) else node.value
    data: dict[str, Any] = {"what": node.what, "value": value, "unit": node.unit, "operation": node.operation}
    if node.note:
        data["note"] = node.note
    if node.parts:
        data["parts"] = [as_data(part) for part in node.parts]
    return data


def from_data(data: Mapping[str, Any]) -> Node:
    """The tree that `as_data` has written. Raises KeyError or TypeError for anything else."""
    parts = tuple(from_data(part) for part in data.get("parts", ()))
    value = math.nan if data["value"] is None else float(data["value"])
    return Node(data["what"], value, data["unit"], data["operation"], parts, data.get("note", ""))


_SIGNS: Final[Mapping[str, str]] = {
    "sum": "sum of {}",
    "difference": "first less the others",
    "remainder": "first less the others",
    "product": "product of {}",
    "quotient": "first over second",
    "mean": "mean of {}",
    "max": "largest of {}",
    "min": "smallest of {}",
    "choice": "the first of {}",
    "elided": "explain it to go on",
}


def as_text(node: Node) -> str:
    """The tree as lines for people: value, what it is, how it comes about."""
    return "\n".join(_lines(node, "", "")) + "\n"


def _lines(node: Node, head: str, indent: str) -> Iterator[str]:
    sign = _SIGNS.get(node.operation, "").format(len(node.parts))
    remarks = ", ".join(filter(None, (sign, node.note)))
    known = "unknown" if math.isnan(node.value) else f"{node.value:.12g}"
    number = f"{known}{' ' if node.unit else ''}{node.unit}"
    yield f"{head}{number}  {node.what}{f'  ({remarks})' if remarks else ''}"
    for part in node.parts:
        last = part is node.parts[-1]
        yield from _lines(part, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  "))
