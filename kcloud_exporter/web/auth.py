"""The web configuration of the Prometheus exporter-toolkit: TLS, bcrypt users, headers.

bcrypt is slow on purpose, so it runs in a thread, one at a time, and answers are remembered: good ones apart from bad
ones, or guesses would push out those who have a password and leave them to wait behind the guesses. The memory's key
includes the stored hash: a changed password is never answered from memory.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import bcrypt
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kcloud_exporter.errors import ConfigError
from kcloud_exporter.web.certificates import Certificates
from kcloud_exporter.web.guesses import Guesses
from kcloud_exporter.web.tokens import Tokens

log = logging.getLogger(__name__)
_REMEMBERED: Final = 100
_WAITING: Final = 16
"""Credentials in line for bcrypt; about a second of work at the usual cost. More are refused."""
_HEADERS: Final = frozenset(
    {
        "Content-Security-Policy",
        "Strict-Transport-Security",
        "X-Content-Type-Options",
        "X-Frame-Options",
        "X-XSS-Protection",
    }
)
_VALUES: Final = {"X-Content-Type-Options": ("nosniff",), "X-Frame-Options": ("deny", "sameorigin")}
"""Headers that take nothing but these, in any case."""
_HASH: Final = re.compile(r"\$2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsServer(_Strict):
    """`tls_server_config`: the server's certificate, and what clients must show."""

    cert_file: str
    key_file: str
    client_ca_file: str | None = None
    client_auth_type: Literal[
        "NoClientCert",
        "RequestClientCert",
        "VerifyClientCertIfGiven",
        "RequireAnyClientCert",
        "RequireAndVerifyClientCert",
    ] = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS12", "TLS13"] = "TLS13"
    prefer_server_cipher_suites: bool = True
    cipher_suites: tuple[str, ...] = ()
    curve_preferences: tuple[str, ...] = ()

    @field_validator("cipher_suites", "curve_preferences")
    @classmethod
    def _names_of_go(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if names:
            raise ValueError("these are names of Go's TLS library; leave the key out for OpenSSL's own safe choice")
        return names

    @model_validator(mode="after")
    def _versions(self) -> TlsServer:
        if self.max_version < self.min_version:
            raise ValueError(f"max_version {self.max_version} is below min_version {self.min_version}")
        return self

    @model_validator(mode="after")
    def _needs_ca(self) -> TlsServer:
        if self.client_allowed_sans and self.client_ca_file is None:
            raise ValueError(
                "client_allowed_sans needs client_ca_file: a name counts only where somebody vouches for it"
            )
        if self.client_auth_type != "NoClientCert" and self.client_ca_file is None:
            raise ValueError(f"client_auth_type {self.client_auth_type} needs client_ca_file")
        if self.client_auth_type == "NoClientCert" and self.client_ca_file is not None:
            raise ValueError("client_ca_file is given, but client_auth_type asks for no certificate")
        return self


class HttpServer(_Strict):
    """`http_server_config`: headers of every answer. HTTP/2 is not served here."""

    http2: bool = False
    headers: dict[str, str] = {}

    @field_validator("headers")
    @classmethod
    def _known(cls, headers: dict[str, str]) -> dict[str, str]:
        unknown = sorted(headers.keys() - _HEADERS)
        if unknown:
            raise ValueError(f"header {unknown[0]!r} cannot be set; known: {', '.join(sorted(_HEADERS))}")
        if any("\n" in value or "\r" in value for value in headers.values()):
            raise ValueError("a header holds a line end")
        for name, allowed in _VALUES.items():
            if headers.get(name, "") and headers[name].lower() not in allowed:
                raise ValueError(f"{name} is {' or '.join(allowed)}")
        return {name: value for name, value in headers.items() if value}  # blank is the same as not given


class WebConfig(_Strict):
    """The file as a whole."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer = HttpServer()
    basic_auth_users: dict[Annotated[str, Field(min_length=1)], str] = {}

    @field_validator("basic_auth_users")
    @classmethod
    def _hashes(cls, users: dict[str, str]) -> dict[str, str]:
        for user, hashed in users.items():
            # Half a hash is enough for bcrypt itself, and nobody would ever get in.
            if not _HASH.fullmatch(hashed) or not _takes(hashed):
                raise ValueError(f"the password of {user!r} is no bcrypt hash; make one with htpasswd -nBC 10")
        return users


def _takes(hashed: str) -> bool:
    try:
        bcrypt.checkpw(b"", hashed.encode())
    except ValueError:
        return False
    return True


def protects(config: WebConfig) -> bool:
    """Whether the file closes anything: it has users, or TLS. An empty one is valid and protects nothing."""
    return bool(config.basic_auth_users) or config.tls_server_config is not None


def read_web_config(path: Path) -> WebConfig:
    """Read and check the file. Raises ConfigError with every mistake."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ConfigError([f"{path}: {exc}"]) from exc
    if isinstance(data, dict):  # a section with everything commented out is the same as none
        data = {section: content for section, content in data.items() if content is not None}
    try:
        return WebConfig.model_validate(data)
    except ValidationError as exc:
        raise ConfigError(
            [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in exc.errors()]
        ) from None


class TooManyGuessesError(Exception):
    """So many unknown credentials are in line, or came from one address, that this one is not looked at."""

    def __init__(self, seconds: float = 1.0) -> None:
        super().__init__()
        self.seconds = seconds
        """How long it takes until it would be."""


class WebAuth:
    """The web configuration in force, and the bearer tokens beside it.

    Users, headers and certificates follow their files. A bad file changes nothing, and neither does one that has lost
    all its users: it may be half written, and to open the door takes a restart, as does to begin or end TLS.
    """

    def __init__(self, path: Path | None, config: WebConfig, tokens: Tokens | None = None) -> None:
        self._path, self._config, self._tokens = path, config, tokens
        self._stamp = self._stamped()
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._bad: OrderedDict[bytes, None] = OrderedDict()
        self._waiting = 0
        self._one_at_a_time = asyncio.Lock()
        self._guesses = Guesses()
        self._certificates: Certificates | None = None

    @classmethod
    def load(cls, path: Path, tokens: Path | None = None) -> WebAuth:
        """From the file, and that of the bearer tokens. Raises ConfigError."""
        auth = cls(path, read_web_config(path), Tokens(tokens) if tokens is not None else None)
        auth.ssl_context()
        return auth

    @classmethod
    def without_file(cls, user: tuple[str, str] | None, tokens: Path | None) -> WebAuth:
        """One user, whose password comes from the environment of the original project, or tokens, or both."""
        users = {}
        if user is not None:
            if len(user[1].encode()) > 72:
                raise ConfigError(["API_AUTH_PASSWORD: at most 72 bytes"])
            users[user[0]] = bcrypt.hashpw(user[1].encode(), bcrypt.gensalt(10)).decode()
        return cls(None, WebConfig(basic_auth_users=users), Tokens(tokens) if tokens is not None else None)

    @property
    def headers(self) -> dict[str, str]:
        """Headers to set on every answer."""
        return self._config.http_server_config.headers

    @property
    def challenge(self) -> str:
        """What a client without credentials is told to bring: a browser asks for a password where there is one."""
        asked = ['Basic realm="kcloud-exporter"'] if self._config.basic_auth_users else []
        return ", ".join([*asked, *(['Bearer realm="kcloud-exporter"'] if self._tokens is not None else [])])

    def ssl_context(self) -> ssl.SSLContext | None:
        """The server's TLS context, or None for plain HTTP. Raises ConfigError for files that cannot be used."""
        if self._certificates is None:
            if self._config.tls_server_config is None:
                return None
            folder = self._path.parent if self._path else Path()
            self._certificates = Certificates(folder, lambda: self._config.tls_server_config)
        return self._certificates.context

    def knows(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a client's certificate (as `ssl` tells it) names one of `client_allowed_sans`, where any are given.

        Without a certificate there is nothing to compare: whether one is needed is client_auth_type's business.
        """
        tls = self._config.tls_server_config
        if tls is None or not tls.client_allowed_sans or not certificate:
            return True
        return any(name in tls.client_allowed_sans for _, name in certificate.get("subjectAltName", ()))

    async def allows(self, authorization: str, address: str | None = None) -> bool:
        """Whether an Authorization header of a client at `address` opens the door. Without users it stands open.

        Raises TooManyGuessesError; credentials that were good before, and tokens that are, are always answered.
        """
        await self._follow_file()
        users = self._config.basic_auth_users
        if not users and self._tokens is None:
            return True
        token = _token(authorization)
        if token is not None and self._tokens is not None:
            return self._tokens.knows(token) or self._guessed(address)
        said = _credentials(authorization)
        if said is None or not users:  # nothing to check, and no place in line taken from those who have something
            return False
        username, password = said
        hashed = users.get(username)
        key = hashlib.sha256(
            b"\0".join((username.encode().hex().encode(), password.hex().encode(), (hashed or "").encode()))
        ).digest()
        known = self._recalled(key)
        if known is not None:
            return known
        self._may_guess(address)
        if self._waiting >= _WAITING:
            raise TooManyGuessesError
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                known = self._recalled(key)  # whoever waited in front may have brought the same credentials
                if known is not None:
                    return known
                # For an unknown user a known one's hash is checked: it takes as long, and the answer is not used.
                against = hashed if hashed is not None else next(iter(users.values()))
                matches = await asyncio.to_thread(_matches, password, against.encode())
                good = matches and hashed is not None
        finally:
            self._waiting -= 1
        if not good:
            self._guesses.wrong(address)
        memory = self._good if good else self._bad
        memory[key] = None
        if len(memory) > _REMEMBERED:
            memory.popitem(last=False)
        return good

    def _may_guess(self, address: str | None) -> None:
        """Raises TooManyGuessesError when this address has been wrong too often."""
        seconds = self._guesses.wait(address)
        if seconds:
            raise TooManyGuessesError(seconds)

    def _guessed(self, address: str | None) -> bool:
        """A wrong token: no, and it counts. Raises TooManyGuessesError."""
        self._may_guess(address)
        self._guesses.wrong(address)
        return False

    def _recalled(self, key: bytes) -> bool | None:
        for memory, answer in ((self._good, True), (self._bad, False)):
            if key in memory:
                memory.move_to_end(key)
                return answer
        return None

    def _stamped(self) -> int:
        try:
            return self._path.stat().st_mtime_ns if self._path else 0
        except OSError:
            return self._stamp if hasattr(self, "_stamp") else 0

    async def _follow_file(self) -> None:
        stamp = self._stamped()
        if stamp == self._stamp or self._path is None:
            return
        self._stamp = stamp
        try:
            config = await asyncio.to_thread(read_web_config, self._path)
        except ConfigError as exc:
            self._refused("; ".join(exc.problems))
            return
        if self._config.basic_auth_users and not config.basic_auth_users:
            self._refused(f"{self._path}: basic_auth_users: no user is left; restart to open the door")
            return
        if (self._config.tls_server_config is None) != (config.tls_server_config is None):
            self._refused(f"{self._path}: tls_server_config: restart to begin or to end TLS")
            return
        self._config = config

    def _refused(self, problems: str) -> None:
        log.error("the web configuration is bad, the old one goes on", extra={"problems": problems})


def _token(authorization: str) -> str | None:
    """The token of a bearer Authorization header; None when it is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _credentials(authorization: str) -> tuple[str, bytes] | None:
    """User and password of a basic Authorization header; None when it is none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except ValueError:  # no base64, no UTF-8; and what is not even ASCII, which is no binascii.Error
        return None


def _matches(password: bytes, hashed: bytes) -> bool:
    """Check one password. Longer than 72 bytes bcrypt cannot take, so it matches nothing."""
    if len(password) > 72 or b"\0" in password:
        bcrypt.checkpw(b"", hashed)
        return False
    return bcrypt.checkpw(password, hashed)
