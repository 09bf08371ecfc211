"""The whole product in this process: sources, pipeline, storage, web server, streams, API, as `serve` composes it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from kcloud_exporter.app import running
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.options import ServeOptions
from kcloud_exporter.runtime import Runtime


@contextlib.asynccontextmanager
async def product(
    data: dict[str, Any], folder: Path, web_config: Path | None = None, environ: dict[str, str] | None = None
) -> AsyncIterator[tuple[Runtime, int]]:
    """It runs, and has done one cycle: the runtime and the port."""
    config = parse_config(data, environ or {}, folder)
    options = ServeOptions(
        config_file=None,
        listen_host="127.0.0.1",
        listen_port=0,
        web_config_file=web_config,
        enable_lifecycle=True,
        allow_unauthenticated=False,
        storage_path=folder / "data",
        log_level="debug",
        log_format="logfmt",
    )
    async with running(config, lambda: config, options, folder / "data") as (runtime, port):
        yield runtime, port
