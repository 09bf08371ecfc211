"""Scrub: the credentials of a configuration, and texts without them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from kcloud_exporter.config.schema import Access, Config

HIDDEN: Final = "<secret>"


def scrubber(config: Config) -> Callable[[str], str]:
    """A function that hides every credential of the configuration in a text, those in files as they are now."""
    secrets = sorted(set(filter(None, _secrets(config))), key=len, reverse=True)

    def scrubbed(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, HIDDEN)
        return text

    return scrubbed


def _secrets(config: Config) -> Iterator[str]:
    for cluster in config.clusters:
        for source in cluster.sources:
            access = source.prometheus or source.exporter
            if access is not None:
                yield from _of_access(access)
            for url in source.exporter.targets if source.exporter else ():
                yield from (value for name, value in parse_qsl(urlsplit(url).query) if name != "target")


def _of_access(access: Access) -> Iterator[str]:
    yield _value(access.bearer_token.get_secret_value() if access.bearer_token else "", access.bearer_token_file)
    basic = access.basic_auth
    if basic is not None:
        password = _value(basic.password.get_secret_value() if basic.password else "", basic.password_file)
        yield password
        yield base64.b64encode(f"{basic.username}:{password}".encode()).decode() if password else ""


def _value(given: str, file: str | None) -> str:
    if file is None:
        return given
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
