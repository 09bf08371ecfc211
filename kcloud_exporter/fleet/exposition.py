"""How programs write numbers and families in the Prometheus text format.

Go programs (client_golang) sort labels and families and print the shortest float; dcgm-exporter does neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Row: TypeAlias = tuple[Mapping[str, str], str]
Kind: TypeAlias = Literal["gauge", "counter", "untyped"]

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family; rows are labels (in printing order) and the value as text."""

    name: str
    kind: Kind
    help: str
    rows: tuple[Row, ...]


def family(name: str, kind: Kind, help_text: str, rows: Iterable[Row]) -> Family:
    """A family as written: labels stay in the order given."""
    return Family(name, kind, help_text, tuple(rows))


def go_family(name: str, kind: Kind, help_text: str, rows: Iterable[tuple[Mapping[str, str], float]]) -> Family:
    """A family as client_golang writes it: labels and rows sorted, values as the shortest float."""
    ordered = sorted((sorted(labels.items()), value) for labels, value in rows)
    return Family(name, kind, help_text, tuple((dict(labels), go_float(value)) for labels, value in ordered))


def go_float(value: float) -> str:
    """`strconv.FormatFloat(value, 'g', -1, 64)`, with the names the text format has for NaN and infinities."""
    if math.isnan(value):
        return "NaN"
    value = float(value)
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value and not 1e-4 <= abs(value) < 1e6:
        digits = repr(value).lstrip("-").partition("e")[0].replace(".", "").strip("0")
        return f"{value:.{len(digits) - 1}e}"
    return repr(value).removesuffix(".0")


def c_double(value: float) -> str:
    """`%f`: six decimals."""
    return f"{value:.6f}"


def watts(milliwatts: int) -> float:
    """Milliwatts to watts."""
    return milliwatts / 1000


def page(families: Iterable[Family], *, ordered: bool = False) -> str:
    """The text format 0.0.4. Families without rows are left out; `ordered` sorts by name, as Go programs do."""
    shown = [f for f in families if f.rows]
    if ordered:
        shown.sort(key=lambda f: f.name)
    lines: list[str] = []
    for each in shown:
        lines.append(f"# HELP {each.name} {each.help}")
        lines.append(f"# TYPE {each.name} {each.kind}")
        lines.extend(f"{each.name}{_braces(labels)} {value}" for labels, value in each.rows)
    return "\n".join(lines) + "\n" if lines else ""


def _braces(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def to_openmetrics(text: str) -> str:
    """The same page as OpenMetrics 1.0.

    A counter must be called `_total` there: one that is not becomes `unknown`, which is what a careful
    exporter does rather than rename its series.
    """
    lines = text.splitlines()
    kinds = {name: kind for _, _, name, kind in (x.split(" ", 3) for x in lines if x.startswith("# TYPE "))}
    for at, line in enumerate(lines):
        if not line.startswith("# "):
            continue
        _, word, name, rest = line.split(" ", 3)
        counter = kinds[name] == "counter"
        shown = name.removesuffix("_total") if counter else name
        if word == "TYPE":
            rest = "unknown" if rest == "untyped" or (counter and shown == name) else rest
        lines[at] = f"# {word} {shown} {rest}"
    return "\n".join([*lines, "# EOF", ""])
