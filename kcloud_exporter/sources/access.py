"""How an endpoint is entered: credentials and TLS. Files are read again each time, so that rotation needs no reload."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qsl, urlsplit

from kcloud_exporter.errors import SourceError

HIDDEN: Final = "<secret>"
_PLAIN: Final = frozenset({"target", "module"})
"""What of a URL's query says which page it is; any other value may be a key."""
_SHORTEST: Final = 6
"""Characters of such a value that is taken for a key."""


class Secret(Protocol):
    """A string that does not print itself."""

    def get_secret_value(self) -> str:
        """The string."""


class BasicAuth(Protocol):
    """User name, and a password or the file that holds it."""

    @property
    def username(self) -> str:
        """The user name."""

    @property
    def password(self) -> Secret | None:
        """The password itself."""

    @property
    def password_file(self) -> str | None:
        """Path of the file with the password."""


class Tls(Protocol):
    """What a TLS connection is checked against, and the client's own certificate. Paths are PEM files."""

    @property
    def ca_file(self) -> str | None:
        """Trust only these authorities; the system's otherwise."""

    @property
    def cert_file(self) -> str | None:
        """The client's certificate."""

    @property
    def key_file(self) -> str | None:
        """The client's key; it may also stand in `cert_file`."""

    @property
    def server_name(self) -> str | None:
        """The name to expect in the certificate, where the URL has another."""

    @property
    def insecure_skip_verify(self) -> bool:
        """Accept any certificate."""


class Access(Protocol):
    """The part of a source's configuration that says how to get in."""

    @property
    def basic_auth(self) -> BasicAuth | None:
        """HTTP basic authentication."""

    @property
    def bearer_token(self) -> Secret | None:
        """The token itself."""

    @property
    def bearer_token_file(self) -> str | None:
        """Path of the file with the token."""

    @property
    def tls(self) -> Tls | None:
        """TLS settings; the defaults otherwise."""


def authorization(access: Access | None) -> dict[str, str]:
    """The Authorization header, if there is one to send. Raises SourceError("auth") for an unreadable file."""
    if access is None:
        return {}
    basic = access.basic_auth
    if basic is not None:
        password = _secret(basic.password, basic.password_file)
        credentials = base64.b64encode(f"{basic.username}:{password}".encode()).decode()
        return {"Authorization": f"Basic {credentials}"}
    if access.bearer_token is not None or access.bearer_token_file is not None:
        token = _secret(access.bearer_token, access.bearer_token_file)
        if not token.isascii() or not token.isprintable():
            # The HTTP library would refuse the header with a message of its own.
            raise SourceError("auth", "the bearer token holds characters that no header may have")
        return {"Authorization": f"Bearer {token}"}
    return {}


def hidden(text: str, access: Access | None, url: str = "") -> str:
    """A text of a stranger without our credentials: some servers say in their errors what they were told."""
    for secret in sorted({each for each in _secrets(access, url) if each}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _secrets(access: Access | None, url: str) -> Iterator[str]:
    """Credentials as they are and as they are sent, and the values of a URL's query that may be keys."""
    yield from (v for name, v in parse_qsl(urlsplit(url).query) if name not in _PLAIN and len(v) >= _SHORTEST)
    if access is None:
        return
    try:
        yield authorization(access).get("Authorization", "").partition(" ")[2]
        if access.basic_auth is not None:
            yield _secret(access.basic_auth.password, access.basic_auth.password_file)
    except SourceError:
        return  # a file that cannot be read was not sent either


def _secret(value: Secret | None, file: str | None) -> str:
    if file is None:
        return "" if value is None else value.get_secret_value()
    try:
        secret = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as exc:  # no UTF-8, or a NUL in the path
        raise SourceError("auth", f"cannot read {file}: {type(exc).__name__}") from None
    if not secret.isprintable():
        raise SourceError("auth", f"{file} holds more than one line")
    return secret


@cache
def _system_context() -> ssl.SSLContext:
    """One for all sources that have no TLS files of their own: to read the system's certificates takes its time."""
    return _new_context(None)


def tls_context(tls: Tls | None) -> ssl.SSLContext:
    """A client context of at least TLS 1.2. Raises SourceError("tls") for files that cannot be used."""
    plain = tls is None or not (tls.ca_file or tls.cert_file or tls.insecure_skip_verify)
    return _system_context() if plain else _new_context(tls)


def _new_context(tls: Tls | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if tls is None else tls.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if tls is not None and tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ValueError) as exc:  # ssl's own errors are OSErrors; a NUL in a path is a ValueError
        raise SourceError("tls", f"cannot load the TLS files: {exc}") from None
    if tls is not None and tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def tls_stamp(tls: Tls | None) -> tuple[int, ...]:
    """Changes whenever one of the TLS files does."""
    files = () if tls is None else (tls.ca_file, tls.cert_file, tls.key_file)
    stamps: list[int] = []
    for file in files:
        try:
            stamps.append(Path(file).stat().st_mtime_ns if file else 0)
        except (OSError, ValueError):
            stamps.append(-1)
    return tuple(stamps)
