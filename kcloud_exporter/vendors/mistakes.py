"""Mistakes of a vendor table, told so that they can be put right: the file, the place, what is wrong, what is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


def told(file: str, data: object, exc: ValidationError, models: Mapping[str, type[BaseModel]]) -> str:
    """One line per mistake. `models` are those of nested places by dotted path without numbers; "" is the table's."""
    return "\n".join(f"{file}: {_place(data, e['loc'])}{_what(e, models)}" for e in exc.errors())


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean …?` for a word that is nearly one of the known ones, else nothing."""
    found = closest(word, known, 0.75)
    return f" Did you mean {found}?" if found else ""


def closest(word: str, known: Iterable[str], likeness: float) -> str:
    """The known word that is most like this one, if it is as like as 0 (anything) to 1 (the same); else nothing."""
    found = get_close_matches(word, list(known), 1, likeness)
    return found[0] if found else ""


def _place(data: object, loc: tuple[int | str, ...]) -> str:
    """`series.3.unit (acme_watts): `: dotted, and for a line of the table its first series by name."""
    if not loc:
        return ""
    dotted = ".".join(map(str, loc))
    if loc[0] == "series" and len(loc) > 1 and isinstance(data, dict):
        lines, at = data.get("series"), loc[1]
        line = lines[at] if isinstance(lines, list) and isinstance(at, int) and at < len(lines) else None
        names = line.get("from") if isinstance(line, dict) else None
        if isinstance(names, list) and names:
            dotted += f" ({names[0]})"
    return f"{dotted}: "


def _what(error: ErrorDetails, models: Mapping[str, type[BaseModel]]) -> str:
    match error["type"]:
        case "extra_forbidden":
            key, known = str(error["loc"][-1]), _keys(error["loc"][:-1], models)
            return f"unknown key; known: {', '.join(known)}.{nearest(key, known)}"
        case "missing":
            return "is needed and missing"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
        case _:
            return f"{error['msg']}, not {_shown(error['input'])}"


def _keys(loc: tuple[int | str, ...], models: Mapping[str, type[BaseModel]]) -> list[str]:
    model = models.get(".".join(str(part) for part in loc if not isinstance(part, int)))
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
