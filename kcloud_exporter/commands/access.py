"""How a command enters what it asks over HTTP: credentials and certificates from a file, as for a source."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml
from pydantic import ValidationError

from kcloud_exporter.config.schema import Access
from kcloud_exporter.errors import ConfigError


def access_flag(flags: argparse.ArgumentParser) -> None:
    """--http.config.file."""
    flags.add_argument(
        "--http.config.file",
        dest="http_config_file",
        type=Path,
        metavar="FILE",
        help="how it is entered: basic_auth, bearer_token_file, tls, as for a source (default: nothing)",
    )


def access_of(path: Path | None) -> Access:
    """What the file says. Raises ConfigError."""
    if path is None:
        return Access()
    try:
        return Access.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, yaml.YAMLError) as exc:
        raise ConfigError([f"--http.config.file: {exc}"]) from exc
    except ValidationError as exc:
        raise ConfigError([f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors()]) from exc
