"""Who uses which name: families, recorded series, alerts and panels, through recorded names as well."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from kcloud_exporter.artefacts.recording import Recording

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"")


def names_in(expr: str) -> set[str]:
    """Every word of an expression that might name a series; label values are left out."""
    return set(_NAME.findall(_TEXT.sub("", expr)))


def families_behind(rules: Iterable[Recording]) -> dict[str, set[str]]:
    """Recorded name → the names of families that it is made of, directly or through other rules."""
    behind: dict[str, set[str]] = {}
    for rule in rules:  # in their order: a rule stands after those that it uses
        used = names_in(rule.expr)
        through = {name for recorded in used & behind.keys() for name in behind[recorded]}
        behind.setdefault(rule.record, set()).update(used | through)
    return behind


def users(name: str, exprs: Mapping[str, str], behind: Mapping[str, set[str]]) -> list[str]:
    """The keys of `exprs` whose expression uses `name`, directly or through a recorded series."""
    found = []
    for key, expr in exprs.items():
        used = names_in(expr)
        if name in used or any(name in behind[recorded] for recorded in used & behind.keys()):
            found.append(key)
    return found
