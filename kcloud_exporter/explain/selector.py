"""Selector: which series is meant, written as in PromQL: name{label="value", other="value"}.

Only equalities: one series is to be found, and a regular expression of a stranger can keep a machine busy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from kcloud_exporter.catalogue import FAMILIES, Family, escape
from kcloud_exporter.errors import SelectorError
from kcloud_exporter.model import Table

_NAME: Final = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*")
_MATCHER: Final = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*')
_ESCAPE: Final = re.compile(r"\\(.)")
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class Selector:
    """A family, and label values that a series must have."""

    family: Family
    labels: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """As it is written."""
        pairs = ",".join(f'{label}="{escape(value)}"' for label, value in self.labels)
        return f"{self.family}{{{pairs}}}"

    def rows(self, tables: Iterable[Table]) -> Iterator[tuple[tuple[str, ...], float]]:
        """(label values, value) of every shown series that is meant."""
        wanted = [(self.family.labels.index(label), value) for label, value in self.labels]
        for table in tables:
            for row in np.flatnonzero(np.isfinite(table.values)).tolist():
                labels = table.keys.rows[row]
                if all(labels[place] == value for place, value in wanted):
                    yield labels, float(table.values[row])


def parse_selector(text: str, families: Mapping[str, Family] = FAMILIES) -> Selector:
    """Read a selector. Raises SelectorError that says what is wrong and what is known."""
    if len(text) > _LONGEST:
        raise SelectorError(f"the selector is longer than {_LONGEST} characters")
    name = _NAME.match(text)
    if not name:
        raise SelectorError(f'{text!r} does not begin with a metric name; write for example name{{cluster="a"}}')
    family = families.get(name[1])
    if family is None:
        raise SelectorError(f"{name[1]} is no family of this exporter; docs/metrics.md and /metrics list them")
    rest = text[name.end() :].strip()
    if not rest:
        return Selector(family, ())
    if not (rest.startswith("{") and rest.endswith("}")):
        raise SelectorError(f"{rest!r}: labels stand between {{ and }}")
    return Selector(family, tuple(_labels(rest[1:-1], family)))


def _labels(text: str, family: Family) -> Iterator[tuple[str, str]]:
    at = 0
    while text[at:].strip():
        found = _MATCHER.match(text, at)
        if not found:
            raise SelectorError(f'{text[at:].strip()!r} is no matcher; write for example node="n1"')
        label, operator, value = found.groups()
        if label not in family.labels:
            raise SelectorError(f"{family} has no label {label}; it has {', '.join(family.labels)}")
        if operator != "=":
            raise SelectorError(f"{label}{operator}: only = is understood here, for one series is to be found")
        yield label, _ESCAPE.sub(lambda escaped: "\n" if escaped[1] == "n" else escaped[1], value)
        at = found.end()
        if at < len(text):
            if text[at] != ",":
                raise SelectorError(f"{text[at:]!r}: matchers are separated by commas")
            at += 1
