"""Parameters: what a client may say, each checked against a closed set or a strict grammar.

Nothing of a client's text is ever handed on as a query: names are looked up, numbers and times are parsed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from kcloud_exporter.errors import RequestError
from kcloud_exporter.units import parse_duration

LONGEST: Final = 512
"""Characters of a parameter's value. The longest that can be meant: a container's id, or namespace/pod/container."""
MOST: Final = 10_000
"""Rows of one answer."""
USUAL: Final = 1_000
"""Rows of an answer that says nothing of its limit."""
_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,3})?")
_UNIX: Final = re.compile(r"[0-9]{1,11}(\.[0-9]{1,9})?")
_RFC3339: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_LATEST: Final = 253402300799.0
_LONGEST_PERIOD: Final = 3660 * 86400.0


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its JSON schema for the document, and how its text becomes a value (ValueError: it does not)."""

    name: str
    description: str
    schema: Mapping[str, Any]
    parse: Callable[[str], Any]
    default: Any = None
    example: Any = None
    required: bool = False
    path: bool = False


def text(name: str, description: str, example: str | None = None, *, path: bool = False) -> Parameter:
    """A name that is looked up among the known ones."""
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST}
    return Parameter(name, description, schema, _text, example=example, required=path, path=path)


def choice(name: str, description: str, values: Sequence[str], default: str | None = None) -> Parameter:
    """One of a closed set."""
    schema = {"type": "string", "enum": list(values)}
    if default is not None:
        schema["default"] = default
    return Parameter(name, description, schema, _one_of(values), default, example=default or values[0])


def several(name: str, description: str, values: Sequence[str]) -> Parameter:
    """Some of a closed set, with commas between."""

    def parse(written: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(_one_of(values), written.split(","))))

    alternatives = "|".join(map(re.escape, values))
    pattern = f"^({alternatives})(,({alternatives}))*$"
    described = f"{description} Some of {', '.join(values)}, with commas between."
    return Parameter(name, described, {"type": "string", "pattern": pattern}, parse, example=values[0])


def whole(name: str, description: str, low: int, high: int, default: int) -> Parameter:
    """A whole number within bounds."""

    def parse(written: str) -> int:
        if not _WHOLE.fullmatch(written) or not low <= int(written) <= high:
            raise ValueError(f"a whole number from {low} to {high} is needed")
        return int(written)

    schema = {"type": "integer", "minimum": low, "maximum": high, "default": default}
    return Parameter(name, description, schema, parse, default, example=default)


def number(name: str, description: str, example: float) -> Parameter:
    """A finite decimal number."""

    def parse(written: str) -> float:
        value = float(written) if _DECIMAL.fullmatch(written) else math.nan
        if not math.isfinite(value):
            raise ValueError("a number is needed, such as 12.5")
        return value

    return Parameter(name, description, {"type": "number"}, parse, example=example)


def flag(name: str, description: str, *, default: bool) -> Parameter:
    """true or false."""
    words = {"true": True, "1": True, "false": False, "0": False}

    def parse(written: str) -> bool:
        return words[_one_of(list(words))(written.lower())]

    return Parameter(name, description, {"type": "boolean", "default": default}, parse, default, example=default)


def duration(name: str, description: str, example: str) -> Parameter:
    """A Prometheus duration, longer than nothing, in seconds."""

    def parse(written: str) -> float:
        weeks, _, rest = written.rpartition("w")
        days = 7 * 86400.0 * int(weeks) if _WHOLE.fullmatch(weeks) else 0.0
        exact = written.isascii() and not any(map(str.isspace, written)) and bool(days) == bool(weeks)
        seconds = days + (parse_duration(rest) if rest or not days else 0.0) if exact else 0.0
        if not 0 < seconds <= _LONGEST_PERIOD:
            raise ValueError("a duration up to ten years is needed, such as 90s, 1h or 30d")
        return seconds

    pattern = r"^(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$"
    schema = {"type": "string", "pattern": pattern, "minLength": 2, "maxLength": 32}
    return Parameter(name, description, schema, parse, example=example)


def moment(name: str, description: str) -> Parameter:
    """A time: RFC 3339 with its zone, or Unix seconds."""
    schema = {"type": "string", "minLength": 1, "maxLength": 40}
    told = f"{description} RFC 3339 with its zone, or Unix seconds."
    return Parameter(name, told, schema, parse_moment, example="2026-11-24T09:00:00+09:00")


def parse_moment(written: str) -> float:
    """Unix seconds of RFC 3339 text (a `+` that came as a space is taken as one) or of decimal Unix seconds."""
    if _UNIX.fullmatch(written):
        seconds = float(written)
    else:
        text = written[:-6] + "+" + written[-5:] if written[-6:-5] == " " else written
        if not _RFC3339.fullmatch(text):
            raise ValueError("a time is needed as 2026-11-24T09:00:00Z, with its zone, or in Unix seconds")
        try:
            seconds = datetime.fromisoformat(text.upper()).astimezone(UTC).timestamp()
        except (ValueError, OverflowError):
            raise ValueError("there is no such time") from None
    if not 0 <= seconds <= _LATEST:
        raise ValueError("the time must lie between 1970 and 9999")
    return seconds


def required(parameter: Parameter) -> Parameter:
    """The parameter, without which the route does not answer."""
    return replace(parameter, required=True)


def span(description: str) -> Parameter:
    """A period, of which `1m` is refused: it has meant a month to some and means a minute to others."""
    period = duration("period", description, "1h")

    def parse(written: str) -> Any:
        if written == "1m":
            raise ValueError("say 30d for a month, 60s for a minute")
        return period.parse(written)

    return replace(period, parse=parse)


def at_path(parameter: Parameter) -> Parameter:
    """The parameter as a part of the path."""
    return replace(parameter, path=True, required=True)


def _text(written: str) -> str:
    if not 0 < len(written) <= LONGEST:
        raise ValueError(f"1 to {LONGEST} characters are needed")
    return written


def _one_of(values: Sequence[str]) -> Callable[[str], str]:
    def parse(written: str) -> str:
        if written not in values:
            raise ValueError(f"known: {', '.join(values)}")
        return written

    return parse


def read(parameters: Sequence[Parameter], path: Mapping[str, str], query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The values of a request by name, defaults filled in. Raises RequestError (400) that names the culprit."""
    known = {parameter.name: parameter for parameter in parameters}
    written: dict[str, str] = {name: value for name, value in path.items() if name in known}
    for name, value in query:
        if name not in known or known[name].path:
            names = ", ".join(sorted(p.name for p in parameters if not p.path)) or "none"
            raise RequestError(400, f"unknown parameter {name[:60]!r}; known: {names}", {"parameter": name[:60]})
        if name in written:
            raise RequestError(400, f"{name}: given more than once", {"parameter": name})
        written[name] = value
    values = {}
    for name, parameter in known.items():
        if name not in written:
            if parameter.required:
                raise RequestError(
                    400, f"{name}: this parameter is needed; {parameter.description}", {"parameter": name}
                )
            values[name] = parameter.default
            continue
        try:
            values[name] = parameter.parse(written[name])
        except ValueError as exc:
            told = f"{name}: {written[name][:60]!r} does not do: {exc}"
            raise RequestError(400, told, {"parameter": name, "value": written[name][:60]}) from None
    return values


CLUSTER: Final = text("cluster", "Only this cluster.", "seoul-a")
NODE: Final = text("node", "Only this node.", "gpu-1")
NAMESPACE: Final = text("namespace", "Only this namespace.", "ml-team")
LIMIT: Final = whole("limit", "At most so many rows.", 1, MOST, USUAL)
OFFSET: Final = whole("offset", "Leave out so many rows first.", 0, 999_999_999, 0)
PERIOD: Final = span("A time span that ends now; a month is 30d.")
START: Final = moment("start_time", "Where a time span begins.")
END: Final = moment("end_time", "Where a time span ends; now, if nothing is said.")
STEP: Final = duration("step", "Time from one value to the next.", "1m")
METRICS: Final = flag("include_metrics", "Tell utilisation, memory, temperature and clocks.", default=True)
POWER: Final = flag("include_power", "Tell power and energy.", default=True)
