"""Tokens: a file with the bearer tokens that open the door, one a line, so that a new one can stand beside the old."""

from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path
from typing import Final

from kcloud_exporter.errors import ConfigError
from kcloud_exporter.web.stamps import stamp_of

log = logging.getLogger(__name__)
SHORTEST: Final = 16
_MOST_BYTES: Final = 64 * 1024


class Tokens:
    """The tokens in force. They follow the file; a bad one, or one without any token, changes nothing."""

    def __init__(self, path: Path) -> None:
        self._path, self._stamp = path, stamp_of(path)
        self._digests = _read(path)

    def knows(self, token: str) -> bool:
        """Whether a token is one of the file's. Takes as long for every token."""
        self._follow()
        said = _digest(token)
        found = [hmac.compare_digest(said, each) for each in self._digests]
        return any(found)

    def _follow(self) -> None:
        stamp = stamp_of(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._digests = _read(self._path)
        except ConfigError as exc:
            told = {"problems": "; ".join(exc.problems)}
            log.error("the file of bearer tokens is bad, the old tokens go on", extra=told)  # noqa: TRY400


def _read(path: Path) -> tuple[bytes, ...]:
    """Digests of the tokens of a file. Raises ConfigError."""
    try:
        text = path.read_bytes()[: _MOST_BYTES + 1].decode("ascii")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError([f"{path}: {type(exc).__name__ if isinstance(exc, UnicodeDecodeError) else exc}"]) from None
    if len(text) > _MOST_BYTES:
        raise ConfigError([f"{path}: more than {_MOST_BYTES} bytes"])
    tokens = [line.strip() for line in text.splitlines() if line.strip()]
    if not tokens:
        raise ConfigError([f"{path}: there is no token in it"])
    if any(len(token) < SHORTEST or any(map(str.isspace, token)) for token in tokens):
        raise ConfigError([f"{path}: a token has at least {SHORTEST} characters, and no space among them"])
    return tuple(map(_digest, tokens))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
