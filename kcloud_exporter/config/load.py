"""Load: file, includes, ${ENV} and the original's environment variables → Config, or every mistake at once."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kcloud_exporter.config.checks import (
    KNOWN_DEFAULTS,
    check_clusters,
    check_sites,
    check_work,
    literal_secrets,
    resolve_files,
)
from kcloud_exporter.config.environment import from_environment, substituted
from kcloud_exporter.config.messages import Problem, all_told, unknown_keys
from kcloud_exporter.config.reading import read_config
from kcloud_exporter.config.schema import ClusterConfig, Config, SiteConfig, WorkUnit
from kcloud_exporter.errors import ConfigError

__all__ = ["KNOWN_DEFAULTS", "json_schema", "load_config", "parse_config"]

Model = TypeVar("Model", bound=BaseModel)


def load_config(path: Path | None, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration of a file, or without one that of the environment. Raises ConfigError with every mistake.

    Paths in the file are relative to its folder, but for `storage.path`, which is where the program runs.
    """
    if path is None:
        # What variables say is taken as it is: a password may hold a $.
        return _checked(from_environment(environ), Path(), [])
    data, origins = read_config(path)
    try:
        return parse_config(data, environ, folder=path.parent)
    except ConfigError as exc:
        raise ConfigError([_with_origin(problem, origins) for problem in exc.problems]) from None


def parse_config(data: dict[str, Any], environ: Mapping[str, str] = os.environ, folder: Path = Path()) -> Config:
    """Check plain data, whose paths are relative to `folder`. Raises ConfigError, each mistake with its place."""
    problems = literal_secrets(data)
    return _checked(substituted(data, environ, problems), folder, problems)


def _checked(data: dict[str, Any], folder: Path, problems: list[Problem]) -> Config:
    # A section whose entries are all commented out is the same as none.
    data = {key: value for key, value in data.items() if value is not None}
    files = resolve_files(data, folder)
    config, told, data = _validated(data)
    clusters, sites = _sound(ClusterConfig, data.get("clusters")), _sound(SiteConfig, data.get("sites"))
    work, names = _sound(WorkUnit, data.get("work_units")), _names(data.get("clusters"))
    checked = [*check_clusters(clusters), *check_sites(sites, names), *check_work(work, sites, names)]
    problems = [*problems, *told, *files, *checked]
    if config is None or problems:
        # One cause is told once: a variable that is not set is no empty URL as well.
        once: dict[str, str] = {}
        for place, message in problems:
            once.setdefault(place, message)
        raise ConfigError([f"{place}: {message}" for place, message in once.items()])
    return config


def _validated(data: dict[str, Any]) -> tuple[Config | None, list[Problem], dict[str, Any]]:
    """The configuration, or its mistakes; and the data without unknown keys, which hide the mistakes beside them."""
    try:
        return Config.model_validate(data), [], data
    except ValidationError as exc:
        told, unknown = all_told(exc), unknown_keys(exc)
    if unknown:
        data = _without(data, unknown)
        try:
            Config.model_validate(data)
        except ValidationError as exc:
            told += [problem for problem in all_told(exc) if problem not in told]
    return None, told, data


def _without(data: dict[str, Any], places: Sequence[tuple[int | str, ...]]) -> dict[str, Any]:
    data = copy.deepcopy(data)
    for place in places:
        holder: Any = data
        for part in place[:-1]:
            holder = holder[part]
        del holder[place[-1]]
    return data


def _sound(model: type[Model], items: Any) -> dict[int, Model]:
    """Those of a list that are right in themselves, so that a wrong one hides nothing of the others."""
    sound = {}
    for at, item in enumerate(items if isinstance(items, list) else []):
        try:
            sound[at] = model.model_validate(item)
        except ValidationError:
            continue
    return sound


def _names(items: Any) -> list[str]:
    """The names of a list, also of those that are wrong elsewhere."""
    return [str(i["name"]) for i in (items if isinstance(items, list) else []) if isinstance(i, dict) and "name" in i]


def _with_origin(problem: str, origins: Mapping[int, Path]) -> str:
    """A mistake in an included cluster says in which file that is."""
    match = re.match(r"clusters\.(\d+)\b[^:]*:", problem)
    origin = origins.get(int(match[1])) if match else None
    return f"{problem} (in {origin})" if origin else problem


def json_schema() -> dict[str, Any]:
    """The JSON schema of the file, for editors and for `config/schema.json`."""
    schema = Config.model_json_schema(by_alias=True)
    schema["title"] = "kcloud-exporter configuration"
    schema["properties"]["clusters_from"] = {
        "type": "string",
        "description": "File pattern beside this file; each file holds one cluster or a list.",
    }
    schema["required"] = []
    schema["anyOf"] = [{"required": ["clusters"]}, {"required": ["clusters_from"]}]
    return schema
