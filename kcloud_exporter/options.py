"""Options: what the command line says about a running server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The flags of `serve` and `demo`, checked."""

    config_file: Path | None
    listen_host: str
    listen_port: int
    web_config_file: Path | None
    enable_lifecycle: bool
    allow_unauthenticated: bool
    storage_path: Path | None
    log_level: str
    log_format: str
    bearer_token_file: Path | None = None
