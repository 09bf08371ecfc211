"""Messages: what the schema found wrong, in the words of somebody who wants to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias, get_args

from pydantic import BaseModel, ValidationError

from kcloud_exporter.config.fields import CLOCK_TIME, CURRENCY, LABEL_NAME, METRIC_NAME
from kcloud_exporter.config.schema import Config

Problem: TypeAlias = tuple[str, str]
"""(dotted place, what is wrong and what to do)"""

_WORDS: Final = {
    "missing": "this key is needed",
    "string_type": "this must be a text; put it in quotes",
    "dict_type": "this must be a mapping, key: value",
    "model_type": "this must be a mapping, key: value",
    "tuple_type": "this must be a list",
    "finite_number": "this must be a finite number",
}
_PATTERNS: Final = {
    LABEL_NAME: "no label name; use letters, digits and _, and no digit first",
    METRIC_NAME: "no metric name; use letters, digits, _ and :, and no digit first",
    CURRENCY: "write three capital letters, for example KRW",
    CLOCK_TIME[0]: "write a time of day as HH:MM, for example 09:00",
    CLOCK_TIME[1]: "write a time of day as HH:MM, for example 18:00; the end of the day is 24:00",
}


def all_told(exc: ValidationError, schema: type[BaseModel] = Config) -> list[Problem]:
    """Every mistake once: a list that is only too short because its items are wrong is not told as well."""
    errors = exc.errors()
    places = [error["loc"] for error in errors]
    told: dict[str, str] = {}
    for error in errors:
        if error["type"] == "too_short" and any(
            place[: len(error["loc"])] == error["loc"] != place for place in places
        ):
            continue
        place, message = _told(error, schema)
        told.setdefault(place, message)
    return list(told.items())


def unknown_keys(exc: ValidationError) -> list[tuple[int | str, ...]]:
    """The places of keys that the schema does not know."""
    return [error["loc"] for error in exc.errors() if error["type"] == "extra_forbidden"]


def _told(error: Any, schema: type[BaseModel]) -> Problem:
    location = [str(part) for part in error["loc"] if part != "[key]"]
    kind, context = error["type"], error.get("ctx", {})
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message.replace("Input should", "this should", 1) if message.startswith("Input should") else message
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _keys_at(error["loc"][:-1], schema), n=1)
        message = "unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    elif kind == "too_short":
        message = f"give at least {context['min_length']}"
    elif kind == "string_pattern_mismatch":
        message = _PATTERNS.get(context["pattern"], message)
    return ".".join(location) or "configuration", _WORDS.get(kind, message)


def _keys_at(location: Sequence[int | str], schema: type[BaseModel]) -> list[str]:
    """The keys that the schema knows at a place."""
    model: Any = schema
    for part in location:
        if isinstance(part, int):
            continue
        fields = {f.alias or n: f for n, f in model.model_fields.items()}
        inner = next(_models_in(fields[part].annotation), None) if part in fields else None
        if inner is None:
            return []
        model = inner
    keys = [field.alias or name for name, field in model.model_fields.items()]
    return [*keys, "clusters_from"] if model is Config else keys


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
