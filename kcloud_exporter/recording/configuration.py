"""Configuration: the one that a recording holds. It lets nobody in anywhere, and names no file of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from kcloud_exporter.config.load import parse_config
from kcloud_exporter.config.reading import parse_yaml
from kcloud_exporter.config.schema import Config
from kcloud_exporter.config.sharding import own_part
from kcloud_exporter.config.writing import ACCESS
from kcloud_exporter.errors import ConfigError, RecordingError
from kcloud_exporter.recording.reading import MOST_BODY, Recording


def recorded_config(recording: Recording) -> Config:
    """The configuration with which it was recorded. Raises RecordingError."""
    place = f"{recording.path}: config.yaml"
    try:
        text = recording.config.decode()
        data = parse_yaml(text, Path("config.yaml"))
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise RecordingError(f"{place}: no recording holds aliases (*name), which can stand for any amount of data")
        if not isinstance(data, dict):
            raise RecordingError(f"{place}: this is no configuration")
        if strange := sorted(_keys(data) & (ACCESS | {"vendors_dir", "clusters_from"})):
            raise RecordingError(f"{place}: {', '.join(strange)}: no recording holds such keys; nothing was read")
        config = parse_config(data, {})
    except ConfigError as exc:
        raise RecordingError("\n".join(f"{place}: {problem}" for problem in exc.problems)) from exc
    except UnicodeDecodeError as exc:
        raise RecordingError(f"{place}: not UTF-8 at byte {exc.start}") from None
    if config.limits.body_bytes > MOST_BODY:
        raise RecordingError(f"{place}: limits.body_bytes: more than {MOST_BODY} bytes are not replayed")
    return config


def of_this_shard(config: Config) -> Config:
    """The part of a configuration that belongs to this exporter, as if there were no other. Raises ConfigError."""
    if config.sharding is None:
        return config
    part = own_part(config).model_copy(update={"sharding": None})
    if not part.clusters:
        raise ConfigError([f"sharding: no cluster belongs to shard {config.sharding.index} of {config.sharding.total}"])
    part.remember_labels(tuple(sorted({label for cluster in part.clusters for label in cluster.labels})))
    return part


def _keys(value: Any) -> set[str]:
    """The keys of all mappings, but for those that are the user's own."""
    if isinstance(value, list):
        return {key for item in value for key in _keys(item)}
    if not isinstance(value, dict):
        return set()
    inner = {key for name, of in value.items() if name not in ("labels", "match", "aliases") for key in _keys(of)}
    return inner | {str(key) for key in value}
