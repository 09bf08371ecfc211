"""Web configurations as the exporter-toolkit reads them: the same files are good and bad, and what differs is listed.

The cases are ours; the rules are those of its documentation. A file that its other exporters take should be taken
here as well, or be refused at the start with the reason, and never in silence.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import bcrypt
import pytest

from kcloud_exporter.errors import ConfigError
from kcloud_exporter.web.auth import WebAuth, protects, read_web_config
from tests.web.program import Program, fetch, serving
from tests.web.test_auth import trusting

HASH = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()
FILES = "cert_file: server.pem, key_file: server.key"
CA = "client_ca_file: ann.pem"

GOOD = {
    "empty": "",
    "empty sections": "tls_server_config:\nbasic_auth_users:\nhttp_server_config:\n",
    "tls": f"tls_server_config: {{{FILES}}}",
    "tls from 1.2": f"tls_server_config: {{{FILES}, min_version: TLS12}}",
    "tls 1.3 only": f"tls_server_config: {{{FILES}, min_version: TLS13, max_version: TLS13}}",
    "tls 1.2 only": f"tls_server_config: {{{FILES}, min_version: TLS12, max_version: TLS12}}",
    "order of ciphers": f"tls_server_config: {{{FILES}, prefer_server_cipher_suites: false}}",
    "no client certificate": f"tls_server_config: {{{FILES}, client_auth_type: NoClientCert}}",
    "may show a certificate": f"tls_server_config: {{{FILES}, {CA}, client_auth_type: VerifyClientCertIfGiven}}",
    "must show a certificate": f"tls_server_config: {{{FILES}, {CA}, client_auth_type: RequireAndVerifyClientCert}}",
    "names of clients": f"tls_server_config: {{{FILES}, {CA}, client_auth_type: RequireAndVerifyClientCert, "
    "client_allowed_sans: [ann.test]}",
    "http2 off": f"tls_server_config: {{{FILES}}}\nhttp_server_config: {{http2: false}}",
    "all headers": "http_server_config: {headers: {Content-Security-Policy: default-src 'none', X-Frame-Options: deny, "
    "Strict-Transport-Security: max-age=1, X-Content-Type-Options: nosniff, X-XSS-Protection: '1; mode=block'}}",
    "one user": f"basic_auth_users: {{ann: '{HASH}'}}",
    "hash of htpasswd": f"basic_auth_users: {{ann: '{HASH.replace('$2b$', '$2y$')}'}}",
    "old hash": f"basic_auth_users: {{ann: '{HASH.replace('$2b$', '$2a$')}'}}",
    "many users": "basic_auth_users: {" + ", ".join(f"u{n}: '{HASH}'" for n in range(20)) + "}",
    "user with a colon's neighbour": f"basic_auth_users: {{'ann@example.org': '{HASH}'}}",
    "users and tls": f"tls_server_config: {{{FILES}}}\nbasic_auth_users: {{ann: '{HASH}'}}",
}
BAD = {
    "junk": ("junk", "web.yml"),
    "a list": ("[a]", "web.yml"),
    "broken yaml": ("tls_server_config: {", "web.yml"),
    "unknown section": ("basic_auth_user: {}", "basic_auth_user"),
    "unknown key": (f"tls_server_config: {{{FILES}, cert: x}}", "cert"),
    "no key": ("tls_server_config: {cert_file: server.pem}", "key_file"),
    "no certificate": ("tls_server_config: {key_file: server.key}", "cert_file"),
    "certificate that is not there": ("tls_server_config: {cert_file: gone.pem, key_file: server.key}", "tls_server"),
    "key that is not there": ("tls_server_config: {cert_file: server.pem, key_file: gone.key}", "tls_server"),
    "key of another": ("tls_server_config: {cert_file: server.pem, key_file: ann.key}", "tls_server_config"),
    "empty paths": ("tls_server_config: {cert_file: '', key_file: ''}", "tls_server_config"),
    "unknown auth type": (f"tls_server_config: {{{FILES}, client_auth_type: Maybe}}", "client_auth_type"),
    "authority for nobody": (f"tls_server_config: {{{FILES}, {CA}}}", "client_auth_type"),
    "authority that is not there": (
        f"tls_server_config: {{{FILES}, client_ca_file: gone.pem, client_auth_type: RequireAndVerifyClientCert}}",
        "tls_server_config",
    ),
    "must show a certificate to nobody": (
        f"tls_server_config: {{{FILES}, client_auth_type: RequireAndVerifyClientCert}}",
        "needs client_ca_file",
    ),
    "may show a certificate to nobody": (
        f"tls_server_config: {{{FILES}, client_auth_type: VerifyClientCertIfGiven}}",
        "needs client_ca_file",
    ),
    "ciphers that nobody has": (f"tls_server_config: {{{FILES}, cipher_suites: [TLS_X]}}", "leave the key out"),
    "curves that nobody has": (f"tls_server_config: {{{FILES}, curve_preferences: [CurveX]}}", "leave the key out"),
    "http2 as a word": (f"tls_server_config: {{{FILES}}}\nhttp_server_config: {{http2: perhaps}}", "http2"),
    "names without an authority": (f"tls_server_config: {{{FILES}, client_allowed_sans: [a]}}", "client_allowed_sans"),
    "tls 1.0": (f"tls_server_config: {{{FILES}, min_version: TLS10}}", "min_version"),
    "tls 1.1": (f"tls_server_config: {{{FILES}, min_version: TLS11}}", "min_version"),
    "tls 0.9": (f"tls_server_config: {{{FILES}, min_version: TLS09}}", "min_version"),
    "at most 1.1": (f"tls_server_config: {{{FILES}, max_version: TLS11}}", "max_version"),
    "upside down": (f"tls_server_config: {{{FILES}, min_version: TLS13, max_version: TLS12}}", "below"),
    "unknown header": ("http_server_config: {headers: {X-Foo: bar}}", "X-Foo"),
    "header with a line end": ('http_server_config: {headers: {X-XSS-Protection: "a\\nb"}}', "line end"),
    "frames perhaps": ("http_server_config: {headers: {X-Frame-Options: maybe}}", "deny or sameorigin"),
    "types perhaps": ("http_server_config: {headers: {X-Content-Type-Options: sniff}}", "nosniff"),
    "password and no hash": ("basic_auth_users: {ann: s3cret}", "bcrypt"),
    "hash of another kind": ("basic_auth_users: {ann: '$6$abc$def'}", "bcrypt"),
    "hash without an end": (f"basic_auth_users: {{ann: '{HASH[:30]}'}}", "bcrypt"),
    "nameless user": (f"basic_auth_users: {{'': '{HASH}'}}", "basic_auth_users"),
    "users as a list": (f"basic_auth_users: [ann, '{HASH}']", "basic_auth_users"),
}
DIFFERENT = {
    "ciphers by Go's names": (
        f"tls_server_config: {{{FILES}, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]}}",
        "leave the key out",
    ),
    "curves by Go's names": (f"tls_server_config: {{{FILES}, curve_preferences: [CurveP256]}}", "leave the key out"),
    "a certificate that nobody checks": (
        f"tls_server_config: {{{FILES}, client_auth_type: RequireAnyClientCert}}",
        "needs client_ca_file",
    ),
    "a certificate in the file itself": (
        "tls_server_config: {cert: '-----BEGIN CERTIFICATE-----', key: '-----BEGIN PRIVATE KEY-----'}",
        "cert_file",
    ),
    "rate limit": ("rate_limit: {interval: 1s, burst: 5}", "rate_limit"),
}
"""The toolkit takes these; here they are refused at the start, with words that say what to do."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("web")
    for name, names in (("server", "IP:127.0.0.1"), ("ann", "DNS:ann.test"), ("bob", "DNS:bob.test")):
        files = f"-keyout {made}/{name}.key -out {made}/{name}.pem -subj /CN={name} -days 2 -nodes"
        key = f"-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -addext subjectAltName={names}"
        subprocess.run(f"openssl req -x509 {key} {files}".split(), check=True, capture_output=True)
    return made


def written(folder: Path, text: str) -> Path:
    path = folder / "web.yml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", GOOD)
def test_it_is_taken(folder: Path, name: str) -> None:
    path = written(folder, GOOD[name])
    WebAuth.load(path)
    assert protects(read_web_config(path)) == (("user" in GOOD[name] and "ann" in GOOD[name]) or "cert" in GOOD[name]
                                               or "u0:" in GOOD[name])  # fmt: skip


@pytest.mark.parametrize("name", [*BAD, *DIFFERENT])
def test_it_is_refused_with_the_place_of_the_mistake(folder: Path, name: str) -> None:
    text, words = (BAD | DIFFERENT)[name]
    with pytest.raises(ConfigError, match=words):
        WebAuth.load(written(folder, text))


async def test_a_certificate_counts_only_with_a_name_that_is_allowed(folder: Path) -> None:
    both = folder / "both.pem"
    both.write_text((folder / "ann.pem").read_text() + (folder / "bob.pem").read_text())
    auth = WebAuth.load(
        written(
            folder,
            f"tls_server_config: {{{FILES}, client_ca_file: both.pem, client_auth_type: RequireAndVerifyClientCert, "
            "client_allowed_sans: [ann.test]}",
        )
    )
    async with serving(Program().deps(auth)) as port:
        for name, status in (("ann", 200), ("bob", 403)):
            tls = trusting(folder)
            tls.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
            assert (await fetch(port, "/metrics", scheme="https", tls=tls))[0] == status
