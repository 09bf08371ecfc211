"""`docs/configuration.md`: every key of the YAML, drawn from its JSON schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

_HEAD: Final = """\
# Configuration

<!-- Written by `kcloud-exporter generate`; changes are lost. -->

The file is YAML; unknown keys are mistakes, and `kcloud-exporter check --config.file FILE` tells all of them at once. \
[config/kcloud-exporter.example.yaml](../config/kcloud-exporter.example.yaml) shows every key in use, and \
[config/schema.json](../config/schema.json) makes editors complete and check it.

Durations are written `15s`, `1m30s`, `30d`; sizes `64MiB`. `${NAME}` takes an environment variable, `$$` is a `$`. \
Passwords and tokens come from a file (`*_file`) or a variable and never stand in the file. Paths are relative to the \
file, but for `storage.path`, which is relative to where the program runs.
"""


def configuration_page(schema: Mapping[str, Any]) -> str:
    """The page of a JSON schema: the top level first, then each section in the order in which it is named."""
    parts = [_HEAD, "## The file", "", *_table(schema, schema), ""]
    for name in _named(schema):
        section = schema["$defs"][name]
        parts += [f"## {_title(name)}", ""]
        if section.get("description"):
            parts += [section["description"], ""]
        parts += [*_table(section, schema), ""]
    return "\n".join(parts).rstrip() + "\n"


def _title(name: str) -> str:
    return name.removesuffix("Config")


def _named(schema: Mapping[str, Any]) -> list[str]:
    """The sections that are objects, in the order in which they are first named."""
    found: list[str] = []

    def walk(node: Any) -> None:
        for name in _references(node):
            if name not in found and "properties" in schema["$defs"][name]:
                found.append(name)
                walk(schema["$defs"][name])

    walk(schema["properties"])
    return found


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rsplit("/", 1)[-1]
        for key, inner in node.items():
            if key != "$defs":
                yield from _references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _references(inner)


def _table(section: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    required = section.get("required", ())
    for key, value in section["properties"].items():
        default = "**needed**" if key in required else _default(value)
        cells = (f"`{key}`", _kind(value, schema), default, _meaning(value, schema))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _meaning(value: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What is said of a key; of a section, what the section says of itself."""
    if "description" in value:
        return str(value["description"])
    named = list(_references(value))
    return str(schema["$defs"][named[0]].get("description", "")) if len(named) == 1 else ""


def _default(value: Mapping[str, Any]) -> str:
    if value.get("default") is None:
        return ""
    if isinstance(value["default"], dict | list) and not value["default"]:
        return ""
    if isinstance(value["default"], dict):
        return "see there"
    return f"`{json.dumps(value['default'], ensure_ascii=False)}`"


def _kind(value: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What may stand there, in words; sections link to their heading."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[-1]
        of = schema["$defs"][name]
        return f"[{_title(name)}](#{_title(name).lower()})" if "properties" in of else _kind(of, schema)
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    for several in ("anyOf", "oneOf"):
        if several in value:
            kinds = [_kind(each, schema) for each in value[several] if each.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if value.get("type") == "array":
        return f"list of {_kind(value.get('items', {}), schema)}"
    if value.get("type") == "object":
        inner = value.get("additionalProperties")
        return f"names → {_kind(inner, schema)}" if isinstance(inner, dict) else "mapping"
    return {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(
        str(value.get("type", "")), str(value.get("type", "anything"))
    )
