"""An oracle for exposition pages: small, slow and independent of the product's parser and renderer."""

from __future__ import annotations

import re

Series = tuple[str, frozenset[tuple[str, str]]]
Page = dict[Series, float]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|(?=\}))')
_ESCAPES = {'\\"': '"', "\\\\": "\\", "\\n": "\n"}


def parse_page(text: str) -> Page:
    """Every series of a text page with its value. Fails on a duplicate, a timestamp or a malformed line."""
    page: Page = {}
    for line in text.split("\n"):  # nothing else ends a line of this format
        if line and not line.startswith("#"):
            series, value = _sample(line)
            assert series not in page, f"duplicate series: {line}"
            page[series] = value
    return page


def _sample(line: str) -> tuple[Series, float]:
    name = _NAME.match(line)
    assert name, line
    position, labels = name.end(), dict[str, str]()
    if line[position] == "{":
        position += 1
        while label := _LABEL.match(line, position):
            assert label[1] not in labels, f"duplicate label: {line}"
            labels[label[1]] = re.sub(r'\\["\\n]', lambda m: _ESCAPES[m[0]], label[2])
            position = label.end()
        assert line[position] == "}", line
        position += 1
    fields = line[position:].split(" ")
    assert len(fields) == 2, f"one value and no timestamp: {line}"
    assert not fields[0], line
    return (name[0], frozenset(labels.items())), float(fields[1])


def select(page: Page, family: str, **labels: str) -> Page:
    """The series of one family that carry these labels."""
    wanted = set(labels.items())
    return {key: value for key, value in page.items() if key[0] == family and wanted <= key[1]}


def total(page: Page, family: str, **labels: str) -> float:
    """Sum over the series of one family that carry these labels."""
    return sum(select(page, family, **labels).values())


def group(page: Page, family: str, *by: str) -> dict[tuple[str, ...], float]:
    """`sum by (...)` of one family: label values → sum."""
    sums: dict[tuple[str, ...], float] = {}
    for (_, labels), value in select(page, family).items():
        key = tuple(dict(labels).get(label, "") for label in by)
        sums[key] = sums.get(key, 0.0) + value
    return sums
