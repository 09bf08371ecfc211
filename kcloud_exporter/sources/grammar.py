"""The two text grammars, as Prometheus 2.42 reads them, and the pieces of one line.

All quantifiers that could backtrack are possessive: matching is linear in the length of the line. A label
value of the text format may hold a raw newline, so a sample is matched in the page and not in its line.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from kcloud_exporter.sources.numbers import parse_float, parse_milliseconds, parse_seconds

_NAME = rb"[a-zA-Z_:][a-zA-Z0-9_:]*+"
_LABEL_NAME = rb"[a-zA-Z_][a-zA-Z0-9_]*+"
_W = rb"[ \t]*+"
# A NUL after a backslash does not use up the escape, in Prometheus's lexer.
_TEXT_VALUE = rb'"[^"\\]*+(?>(?:\\\0*+[^\n][^"\\]*+)*)"'
_OM_VALUE = rb'"[^"\\\n]*+(?>(?:\\\0*+[^\n][^"\\\n]*+)*)"'
_TEXT_LABELS = rb"\{%b(?>(?:%b%b=%b%b%b,?+%b)*)\}" % (_W, _LABEL_NAME, _W, _W, _TEXT_VALUE, _W, _W)
_OM_LABELS = rb"\{(?>(?:%b=%b(?>(?:,%b=%b)*))?)\}" % ((_LABEL_NAME, _OM_VALUE) * 2)

_TEXT_SAMPLE: Final = re.compile(
    rb"(?P<series>(?P<name>%b)(?>(?:%b(?P<labels>%b))?))%b(?P<value>[^{ \t\n]++)"
    rb"(?>(?:[ \t]++(?P<time>[0-9]++))?)%b(?:\n|\Z)" % (_NAME, _W, _TEXT_LABELS, _W, _W)
)
_OM_SAMPLE: Final = re.compile(
    rb"(?P<series>(?P<name>%b)(?>(?P<labels>%b)?)) (?P<value>[^ \n]++)(?>(?: (?!# \{)(?P<time>[^ \n]++))?)"
    rb"(?>(?: # (?P<exemplar>%b) (?P<ex_value>[^ \n]++)(?>(?: (?P<ex_time>[^ \n]++))?))?)\n"
    % (_NAME, _OM_LABELS, _OM_LABELS)
)
_PAIR: Final = re.compile(r'([a-zA-Z0-9_]++)[ \t]*+=[ \t]*+"([^"\\]*+(?>(?:\\\0*+[^\n][^"\\]*+)*))"')
_ESCAPE: Final = re.compile(r'\\([\\"n])')

_TEXT_COMMENT: Final = re.compile(
    rb"%b(?:#(?:[ \t]++(?:HELP[ \t]++%b(?P<help>(?!\0).*)|TYPE[ \t]++%b.(?:counter|gauge|histogram|summary|untyped)"
    rb"|(?!\0|(?:HELP|TYPE)[ \t]).*)|(?![ \t])[^\0]*))?" % (_W, _NAME, _NAME)
)
_OM_TYPES = rb"counter|gauge|histogram|gaugehistogram|summary|info|stateset|unknown"
_OM_COMMENT: Final = re.compile(
    rb"# (?:HELP %b (?P<help>.*)|TYPE %b (?:%b)|UNIT (?P<unit_of>%b) (?P<unit>.*))" % (_NAME, _NAME, _OM_TYPES, _NAME)
)


class Sample(NamedTuple):
    """One matched sample: its parts as printed, and `end`, the offset of what follows its newline."""

    series: bytes
    name: bytes
    labels: bytes
    value: bytes
    time: bytes | None
    end: int


def is_comment(line: bytes, *, openmetrics: bool) -> bool:
    """Whether a line is blank or a valid comment. Metadata must be well-formed, other comments are free."""
    match = (_OM_COMMENT if openmetrics else _TEXT_COMMENT).fullmatch(line)
    if match is None:
        return False
    if openmetrics and match["unit"]:
        return match["unit_of"].endswith(b"_" + match["unit"])
    try:
        (match["help"] or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def match_sample(page: bytes, at: int, *, openmetrics: bool) -> Sample:
    """The sample that begins at offset `at`. Raises ValueError."""
    match = (_OM_SAMPLE if openmetrics else _TEXT_SAMPLE).match(page, at)
    if match is None:
        raise ValueError("neither a sample nor a comment")
    if openmetrics and match["exemplar"]:
        if not match["name"].endswith((b"_total", b"_bucket")):
            raise ValueError("an exemplar on a metric that can have none")
        parse_float(match["ex_value"])
        if match["ex_time"] is not None:
            parse_seconds(match["ex_time"])
    series, name, labels, value, time = match.group(1, 2, 3, 4, 5)
    return Sample(series, name, labels or b"", value, time, match.end())


def numbers_of(sample: bytes, *, openmetrics: bool) -> tuple[float, float | None]:
    """Value and timestamp (Unix seconds or None) of `value` or `value time`. Raises ValueError."""
    value, _, time = sample.partition(b" ")
    if not time:
        return parse_float(value), None
    return parse_float(value), parse_seconds(time) if openmetrics else parse_milliseconds(time)


def label_pairs(labels: str) -> list[tuple[str, str]]:
    """Name and unescaped value of each label of a matched block, in order."""
    pairs: list[tuple[str, str]] = _PAIR.findall(labels)
    if "\\" in labels:
        return [(name, _ESCAPE.sub(_unescaped, value)) for name, value in pairs]
    return pairs


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]
