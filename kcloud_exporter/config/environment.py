"""Environment: ${VARIABLES} in the file, and the variables of the original project instead of a file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from kcloud_exporter.config.messages import Problem
from kcloud_exporter.errors import ConfigError

_VARIABLE: Final = re.compile(r"\$(\$|\{([^}]*)\})")
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOTHING: Final = (
    "nothing to read: give --config.file FILE, or set PROMETHEUS_URL; kcloud-exporter demo runs without either"
)


def names_a_variable(value: Any) -> bool:
    """Whether a scalar of the file takes something from the environment."""
    return isinstance(value, str) and any(match[2] for match in _VARIABLE.finditer(value))


def substituted(value: Any, environ: Mapping[str, str], problems: list[Problem], place: str = "") -> Any:
    """A copy of the data with `${NAME}` filled in and `$$` as `$`; a missing variable is added to `problems`."""
    if isinstance(value, dict):
        prefix = f"{place}." if place else ""
        return {k: substituted(v, environ, problems, f"{prefix}{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [substituted(v, environ, problems, f"{place}.{i}") for i, v in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        if not _VARIABLE_NAME.fullmatch(match[2]):
            problems.append((place, f"{match[0]} names no variable: use letters, digits and _; $$ is a literal $"))
            return ""
        if match[2] not in environ:
            problems.append((place, f"the environment variable {match[2]} is not set"))
            return ""
        return environ[match[2]]

    return _VARIABLE.sub(replace, value)


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """The configuration that the original project's environment variables describe. Raises ConfigError."""
    default = environ.get("DEFAULT_CLUSTER") or "default"
    listed = environ.get("PROMETHEUS_CLUSTERS", "").strip()
    entries: list[dict[str, Any]]
    if listed and listed != "[]":
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
    data: dict[str, Any] = {"clusters": [_cluster(e, environ, default) for e in entries]}
    timeout = environ.get("PROMETHEUS_TIMEOUT", "").strip()
    if timeout:
        if not re.fullmatch(r"\d+(\.\d+)?", timeout) or not float(timeout):
            raise ConfigError([f"PROMETHEUS_TIMEOUT: {timeout!r} is no number of seconds above 0"])
        # The original's default of 30 s is longer than a cycle; a source may not hold up the next one.
        data["global"] = {"timeout": f"{max(round(min(float(timeout), 14.0) * 1000), 1)}ms"}
    return data


def _cluster(entry: dict[str, Any], environ: Mapping[str, str], default: str) -> dict[str, Any]:
    """One cluster of the original. Its URLs may carry user and password, which move to where they belong."""
    url = str(entry["url"])
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise ConfigError([f"PROMETHEUS_URL or PROMETHEUS_CLUSTERS: {exc}"]) from exc
    prometheus: dict[str, Any] = {"url": urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))}
    user = entry.get("username") or environ.get("PROMETHEUS_USERNAME") or unquote(parts.username or "")
    password = entry.get("password") or environ.get("PROMETHEUS_PASSWORD") or unquote(parts.password or "")
    if password and not user:
        raise ConfigError(["PROMETHEUS_USERNAME: it is needed beside PROMETHEUS_PASSWORD"])
    if user:
        prometheus["basic_auth"] = {"username": user, "password": password}
    if environ.get("PROMETHEUS_CA_BUNDLE"):
        prometheus["tls"] = {"ca_file": environ["PROMETHEUS_CA_BUNDLE"]}
    region = entry.get("region")
    return {
        "name": entry.get("name", default),
        "sources": [{"prometheus": prometheus}],
        **({"labels": {"region": region}} if region else {}),
    }
