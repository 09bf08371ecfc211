"""Reading: YAML files → plain data. Of YAML it takes what people expect (1.2), and a key never stands twice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from kcloud_exporter.errors import ConfigError

_MERGE: Final = "tag:yaml.org,2002:merge"
SCALARS: Final = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
)
"""What an unquoted scalar may be besides text: kind, form, first characters ("\\0" stands for none at all)."""


class _Loader(yaml.SafeLoader):
    """SafeLoader without the surprises of YAML 1.1: `no` is a text and not false, `22:00` a text and not 1320."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own name


for _kind, _form, _first in SCALARS:
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_form})$"), ["" if c == "\0" else c for c in _first]
    )


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    """A mapping whose keys are scalars and stand once: the first of two would silently be lost."""
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == _MERGE:
            continue
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a text", key_node.start_mark)
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_config(path: Path) -> tuple[dict[str, Any], Mapping[int, Path]]:
    """The data of a file with its includes, and which clusters (by number) came from which other file.

    Raises ConfigError, for broken YAML with file, line and column.
    """
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise ConfigError([f"{path}: the file must hold a mapping with the key clusters"])
    if data.get("clusters_from") is None:
        return {key: value for key, value in data.items() if key != "clusters_from"}, {}
    return _with_includes(data, path)


def read_yaml(path: Path) -> Any:
    """The plain data of one YAML file, with the strictness of this module. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError([f"{path}: {exc.strerror or exc}"]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError([f"{path}: not UTF-8 at byte {exc.start}"]) from exc
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> Any:
    """The data of a text; `path` is for messages. Raises ConfigError with line and column."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader that takes less
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError([f"{path}{where}: {exc.problem or exc}"]) from exc
    except yaml.reader.ReaderError as exc:
        before = text[: int(exc.position)]
        where = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        raise ConfigError(
            [f"{path}:{where}: the character U+{ord(text[int(exc.position)]):04X} is not allowed in YAML"]
        ) from exc
    except (yaml.YAMLError, RecursionError) as exc:
        raise ConfigError([f"{path}: {exc}"]) from exc


def _with_includes(data: dict[str, Any], path: Path) -> tuple[dict[str, Any], Mapping[int, Path]]:
    """`clusters_from: clusters.d/*.yaml`: each file holds one cluster or a list of them."""
    pattern = data["clusters_from"]
    if not isinstance(pattern, str) or not pattern:
        raise ConfigError(["clusters_from: write a file pattern, for example clusters.d/*.yaml"])
    try:
        # An absolute pattern is looked for from the root; pathlib takes only relative ones.
        start = Path(pattern).anchor
        found = sorted((Path(start) if start else path.parent).glob(pattern.removeprefix(start)))
    except (ValueError, NotImplementedError, OSError) as exc:
        raise ConfigError([f"clusters_from: {pattern!r} is no file pattern: {exc}"]) from exc
    if not found:
        raise ConfigError([f"clusters_from: no file matches {pattern!r} beside {path}"])
    own = data.get("clusters") or []
    if not isinstance(own, list):
        raise ConfigError(["clusters: this must be a list"])
    clusters, origins = list(own), {}
    for file in found:
        content = read_yaml(file)
        for cluster in content if isinstance(content, list) else [content]:
            origins[len(clusters)] = file
            clusters.append(cluster)
    return {**{k: v for k, v in data.items() if k != "clusters_from"}, "clusters": clusters}, origins
