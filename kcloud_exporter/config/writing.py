"""Writing: a configuration as YAML that means the same when it is read again, but lets nobody in anywhere.

For recordings, which are handed on: no credentials, no keys, and no paths of this machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml
from pydantic import BaseModel

from kcloud_exporter.config.endpoints import exporter_names, shortened
from kcloud_exporter.config.fields import is_duration
from kcloud_exporter.config.reading import SCALARS
from kcloud_exporter.config.schema import (
    Access,
    ClusterConfig,
    Config,
    ExporterConfig,
    PrometheusConfig,
    SourceConfig,
)
from kcloud_exporter.units import parse_duration

ACCESS: Final = frozenset(Access.model_fields)
"""The keys of a source that say how to get in."""
_WRITTEN: Final = ("global_", "clusters", "sites", "work_units", "ledger", "limits")
"""What the ledger depends on. Other sections, and those to come, are left out: they say where and to whom it goes."""


class _Dumper(yaml.SafeDumper):
    """Puts in quotes what either YAML 1.1 or our own reading would not take for a text."""

    yaml_implicit_resolvers = {key: list(found) for key, found in yaml.SafeDumper.yaml_implicit_resolvers.items()}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Write everything out."""
        return True


for _kind, _form, _first in SCALARS:
    _Dumper.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_form})$"), ["" if c == "\0" else c for c in _first]
    )


def config_yaml(config: Config) -> str:
    """The configuration without access, as the text of a file."""
    without = without_access(config)
    data = {Config.model_fields[name].alias or name: _data(getattr(without, name)) for name in _WRITTEN}
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def without_access(config: Config) -> Config:
    """The same ledger's configuration without credentials, TLS files, queries of URLs, and places of this machine.

    Of a query only `target` and `module` stay, which say whose page it is; all of it where nothing else tells two
    targets apart.
    """
    others = {name: of.get_default() for name, of in Config.model_fields.items() if name not in _WRITTEN}
    return config.model_copy(update={**others, "clusters": tuple(_anonymous(cluster) for cluster in config.clusters)})


def _anonymous(cluster: ClusterConfig) -> ClusterConfig:
    exporters = [source.exporter for source in cluster.sources if source.exporter is not None]
    urls = [url for exporter in exporters for url in exporter.targets]
    told_apart = len({shortened(url) for url in urls}) == len(set(urls))
    sources = tuple(
        SourceConfig(
            prometheus=None if source.prometheus is None else _prometheus(source.prometheus),
            exporter=None if source.exporter is None else _exporter(source.exporter, told_apart=told_apart),
        )
        for source in cluster.sources
    )
    return cluster.model_copy(update={"sources": sources})


def _prometheus(source: PrometheusConfig) -> PrometheusConfig:
    return PrometheusConfig(url=source.url, method=source.method, name=source.name, match=source.match)


def _exporter(source: ExporterConfig, *, told_apart: bool) -> ExporterConfig:
    targets = tuple(shortened(url) for url in source.targets)
    same = exporter_names(source.vendor, source.name, targets) == exporter_names(
        source.vendor, source.name, source.targets
    )
    return ExporterConfig(
        vendor=source.vendor,
        targets=targets if told_apart and same else source.targets,
        name=source.name,
        labels=source.labels,
    )


def _data(value: Any) -> Any:
    """Plain data that `parse_config` reads as the same. What is None is left out, which means the same."""
    if isinstance(value, BaseModel):
        data = {}
        for name, field in type(value).model_fields.items():
            inner = getattr(value, name)
            if inner is not None and name not in ACCESS:
                data[field.alias or name] = _duration(inner) if is_duration(field) else _data(inner)
        return data
    if isinstance(value, Mapping):
        return {key: _data(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_data(inner) for inner in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def _duration(seconds: float) -> str:
    """The text of a duration; of several the one that is read as the very same number."""
    milliseconds = round(seconds * 1000)
    whole, rest = divmod(milliseconds, 1000)
    texts = [f"{whole}s" if not rest else f"{whole}s{rest}ms", f"{milliseconds}ms"]
    return next((text for text in texts if parse_duration(text) == seconds), texts[0])
