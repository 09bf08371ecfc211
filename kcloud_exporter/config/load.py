"""Load: file, includes, ${ENV} and the original's environment variables → Config, or every mistake at once."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import urlsplit, urlunsplit

import yaml
from pydantic import BaseModel, ValidationError

from kcloud_exporter.config.schema import Config
from kcloud_exporter.errors import ConfigError

_VARIABLE: Final = re.compile(r"\$(\$|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_NOTHING: Final = (
    "nothing to read: give --config.file FILE, or set PROMETHEUS_URL; kcloud-exporter demo runs without either"
)
KNOWN_DEFAULTS: Final = frozenset(
    {"changeme", "change-me", "admin", "password", "secret", "change-this-secret-key", "your-secret-key"}
)
"""Passwords that everybody knows; the original project shipped some of them."""


def load_config(path: Path | None, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration of a file, or without one that of the environment. Raises ConfigError with every mistake."""
    if path is None:
        return parse_config(from_environment(environ))
    data = _read_yaml(path)
    if not isinstance(data, dict):
        raise ConfigError([f"{path}: the file must hold a mapping with the key clusters"])
    data = _with_includes(data, path)
    return parse_config(data, environ, folder=path.parent)


def parse_config(data: dict[str, Any], environ: Mapping[str, str] = os.environ, folder: Path = Path()) -> Config:
    """Check plain data. Raises ConfigError with every mistake, each with its dotted place."""
    problems: list[str] = []
    data = _substituted(data, environ, "", problems)
    try:
        config = Config.model_validate(data)
    except ValidationError as exc:
        raise ConfigError(problems + _all_told(exc)) from None
    problems += _cross_checks(config)
    problems += _secret_files(config, folder)
    if problems:
        raise ConfigError(problems)
    return config


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key that stands twice: the first would silently be lost."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _read_yaml(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError([f"{path}: {exc.strerror or exc}"]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError([f"{path}: not UTF-8 at byte {exc.start}"]) from exc
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader with one more check
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError([f"{path}{where}: {exc.problem or exc}"]) from exc
    except (yaml.YAMLError, RecursionError) as exc:
        raise ConfigError([f"{path}: {exc}"]) from exc


def _with_includes(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """`clusters_from: clusters.d/*.yaml`: each file holds one cluster or a list of them."""
    pattern = data.pop("clusters_from", None)
    if pattern is None:
        return data
    if not isinstance(pattern, str):
        raise ConfigError(["clusters_from: write a file pattern, for example clusters.d/*.yaml"])
    found = sorted(path.parent.glob(pattern))
    if not found:
        raise ConfigError([f"clusters_from: no file matches {pattern!r} beside {path}"])
    clusters = list(data.get("clusters") or [])
    for file in found:
        content = _read_yaml(file)
        clusters += content if isinstance(content, list) else [content]
    return {**data, "clusters": clusters}


def _substituted(value: Any, environ: Mapping[str, str], place: str, problems: list[str]) -> Any:
    if isinstance(value, dict):
        return {k: _substituted(v, environ, f"{place}.{k}" if place else str(k), problems) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_substituted(v, environ, f"{place}.{i}", problems) for i, v in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        if match[2] not in environ:
            problems.append(f"{place}: the environment variable {match[2]} is not set")
            return ""
        return environ[match[2]]

    return _VARIABLE.sub(replace, value)


def _all_told(exc: ValidationError) -> list[str]:
    """Every mistake once: a list that is only too short because its items are wrong is not told as well."""
    errors = exc.errors()
    places = [error["loc"] for error in errors]
    return [
        _told(error)
        for error in errors
        if error["type"] != "too_short"
        or not any(place[: len(error["loc"])] == error["loc"] != place for place in places)
    ]


def _told(error: Any) -> str:
    """One mistake with its dotted place in the YAML, what is wrong and what to do."""
    location = [str(part) for part in error["loc"]]
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _keys_at(error["loc"][:-1]), n=1)
        message = "unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    elif error["type"] == "missing":
        message = "this key is needed"
    return f"{'.'.join(location) or 'configuration'}: {message}"


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the schema knows at a place."""
    model: Any = Config
    for part in location:
        if isinstance(part, int):
            continue
        fields = {f.alias or n: f for n, f in model.model_fields.items()}
        if part not in fields:
            return []
        inner = next(_models_in(fields[part].annotation), None)
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _cross_checks(config: Config) -> list[str]:
    """What no single field can know: names that must differ, and names that must exist."""
    problems: list[str] = []
    names = [cluster.name for cluster in config.clusters]
    for at, cluster in enumerate(config.clusters):
        if cluster.name in names[:at]:
            problems.append(f"clusters.{at}.name: {cluster.name!r} stands twice; every cluster has its own name")
        seen: dict[str, int] = {}
        for number, source in enumerate(cluster.sources):
            for url in (
                source.exporter.targets if source.exporter else [source.prometheus.url]  # type: ignore[union-attr]
            ):
                if url in seen:
                    problems.append(f"clusters.{at}.sources.{number}: {url} is already read by sources.{seen[url]}")
                seen.setdefault(url, number)
    sites = [site.name for site in config.sites]
    for at, site in enumerate(config.sites):
        if site.name in sites[:at]:
            problems.append(f"sites.{at}.name: {site.name!r} stands twice")
        meters = [(f"facility_power.{n}", meter.cluster) for n, meter in enumerate(site.facility_power)]
        if site.carbon_intensity and site.carbon_intensity.cluster:
            meters.append(("carbon_intensity", site.carbon_intensity.cluster))
        problems += [
            f"sites.{at}.{place}.cluster: there is no cluster {name!r}; known: {', '.join(names)}"
            for place, name in meters
            if name not in names
        ]
    return problems


def _secret_files(config: Config, folder: Path) -> list[str]:
    """Secret files that cannot be read, and secrets that everybody knows."""
    problems: list[str] = []
    for place, name, value in _secrets(config, ""):
        if name.endswith("_file"):
            file = folder / value
            if not file.is_file():
                problems.append(f"{place}: there is no file {file}")
        elif value.lower() in KNOWN_DEFAULTS:
            problems.append(f"{place}: this is a well-known default password; choose another")
    return problems


def _secrets(model: BaseModel, place: str) -> Iterator[tuple[str, str, str]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        here = f"{place}.{name}" if place else name
        if isinstance(value, BaseModel):
            yield from _secrets(value, here)
        elif isinstance(value, tuple):
            for at, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from _secrets(item, f"{here}.{at}")
        elif name in ("password", "bearer_token") and value is not None:
            yield here, name, value.get_secret_value()
        elif name in ("password_file", "bearer_token_file", "ca_file", "cert_file", "key_file") and value is not None:
            yield here, name, value


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """The configuration that the original project's environment variables describe. Raises ConfigError."""
    default = environ.get("DEFAULT_CLUSTER", "default")
    listed = environ.get("PROMETHEUS_CLUSTERS", "")
    entries: list[dict[str, Any]]
    if listed:
        try:
            entries = json.loads(listed)
        except ValueError as exc:
            raise ConfigError([f"PROMETHEUS_CLUSTERS: no JSON: {exc}"]) from exc
        if not isinstance(entries, list) or not all(isinstance(e, dict) and "url" in e for e in entries):
            raise ConfigError(['PROMETHEUS_CLUSTERS: write a list such as [{"name": "a", "url": "http://..."}]'])
    elif environ.get("PROMETHEUS_URL"):
        entries = [{"name": default, "url": environ["PROMETHEUS_URL"]}]
    else:
        raise ConfigError([_NOTHING])
    data: dict[str, Any] = {"clusters": [_from_entry(e, environ, default) for e in entries]}
    if "PROMETHEUS_TIMEOUT" in environ:
        timeout = environ["PROMETHEUS_TIMEOUT"].strip()
        seconds = float(timeout) if re.fullmatch(r"\d+(\.\d+)?", timeout) else None
        if seconds is None:
            raise ConfigError([f"PROMETHEUS_TIMEOUT: {timeout!r} is no number of seconds"])
        # The original's default of 30 s is longer than a cycle; a source may not hold up the next one.
        data["global"] = {"timeout": f"{round(min(seconds, 14.0) * 1000)}ms"}
    return data


def _from_entry(entry: dict[str, Any], environ: Mapping[str, str], default: str) -> dict[str, Any]:
    prometheus: dict[str, Any] = {"url": str(entry["url"])}
    parts = urlsplit(prometheus["url"])
    user = entry.get("username") or environ.get("PROMETHEUS_USERNAME") or parts.username
    password = entry.get("password") or environ.get("PROMETHEUS_PASSWORD") or parts.password
    if user:
        prometheus["url"] = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        prometheus["basic_auth"] = {"username": user, "password": password or ""}
    if environ.get("PROMETHEUS_CA_BUNDLE"):
        prometheus["tls"] = {"ca_file": environ["PROMETHEUS_CA_BUNDLE"]}
    region = entry.get("region")
    return {
        "name": entry.get("name", default),
        "sources": [{"prometheus": prometheus}],
        **({"labels": {"region": region}} if region else {}),
    }


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
