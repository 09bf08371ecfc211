"""Certificates: the server's TLS context, which follows its files, so that a renewed certificate needs no restart.

asyncio binds a server to one context for ever. OpenSSL asks it at each handshake (for the name that the client wants,
or that it wants none), and there a context of the newest files takes its place for this connection: the certificate,
and the authorities of clients. What a file holds is tried as a whole first; half of a new pair changes nothing.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kcloud_exporter.errors import ConfigError
from kcloud_exporter.web.stamps import stamp_of

if TYPE_CHECKING:
    from kcloud_exporter.web.auth import TlsServer

log = logging.getLogger(__name__)
CLIENT_AUTH: Final = {
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_OPTIONAL,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAnyClientCert": ssl.CERT_REQUIRED,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_Stamp = tuple[object, ...]


class Certificates:
    """`context` is what the server listens with. `tls` tells the settings in force; paths are relative to `folder`."""

    def __init__(self, folder: Path, tls: Callable[[], TlsServer | None]) -> None:
        self._folder, self._tls = folder, tls
        settings = tls()
        if settings is None:
            raise ConfigError(["tls_server_config: it is not there"])
        self._stamp = self._stamped(settings)
        self.context = self._newest = self._built(settings)
        self.context.sni_callback = self._at_handshake

    def _at_handshake(self, connection: Any, _: str | None, __: ssl.SSLContext) -> None:
        self._follow()
        if self._newest is not self.context:
            connection.context = self._newest

    def _follow(self) -> None:
        """Build a context of the newest files if they have changed since it was tried last."""
        settings = self._tls()
        if settings is None:
            return
        stamp = self._stamped(settings)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._newest = self._built(settings)
        except ConfigError as exc:
            log.error("the new certificate is bad, the old one goes on", extra={"problems": "; ".join(exc.problems)})  # noqa: TRY400
            return
        # A handshake that has begun keeps what it was begun with; the next one finds these.
        self.context.verify_mode = self._newest.verify_mode
        self.context.minimum_version, self.context.maximum_version = _versions(settings)
        log.info("a new certificate is in force")

    def _stamped(self, tls: TlsServer) -> _Stamp:
        names = (tls.cert_file, tls.key_file, tls.client_ca_file)
        return (tls, *(None if name is None else stamp_of(self._folder / name) for name in names))

    def _built(self, tls: TlsServer) -> ssl.SSLContext:
        """A context of the files as they are. Raises ConfigError when they cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version, context.maximum_version = _versions(tls)
        # A session that is taken up again shows no certificate: neither the server's new one, nor the client's.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        if tls.prefer_server_cipher_suites:
            context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        try:
            context.load_cert_chain(self._folder / tls.cert_file, self._folder / tls.key_file)
            if tls.client_ca_file is not None:
                context.load_verify_locations(self._folder / tls.client_ca_file)
        except (OSError, ValueError) as exc:  # ssl's own errors are OSErrors
            raise ConfigError([f"tls_server_config: {exc}"]) from exc
        context.verify_mode = CLIENT_AUTH[tls.client_auth_type]
        return context


def _versions(tls: TlsServer) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    return _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
