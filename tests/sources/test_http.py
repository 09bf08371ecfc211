"""One request against servers that misbehave: a closed list of reasons, in bounded time and memory."""

from __future__ import annotations

import asyncio
import base64
import gzip
import resource
import socket
import ssl
import struct
import subprocess
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kcloud_exporter.errors import SourceError
from kcloud_exporter.sources.http import Connection, Fetched, decoded
from tests.sources.servers import Talk, for_ever, saying, serving, talking

PAGE = b"a 1\nb 1234\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Hidden:
    value: str

    def get_secret_value(self) -> str:
        return self.value


@dataclass(frozen=True)
class Basic:
    username: str
    password: Hidden | None = None
    password_file: str | None = None


@dataclass(frozen=True)
class Tls:
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False


@dataclass(frozen=True)
class Entry:
    basic_auth: Basic | None = None
    bearer_token: Hidden | None = None
    bearer_token_file: str | None = None
    tls: Tls | None = None


async def fetch(
    url: str, *, seconds: float = 20.0, body_bytes: int = 10**6, access: Entry | None = None
) -> tuple[bytes, Fetched]:
    connection = Connection(access, connections=2, body_bytes=body_bytes)
    try:
        fetched = await connection.fetch("GET", url, seconds, headers={})
        return await asyncio.to_thread(decoded, fetched, body_bytes), fetched
    finally:
        await connection.close()


async def reason_of(request: Awaitable[object]) -> str:
    with pytest.raises(SourceError) as caught:
        await request
    return caught.value.reason


async def reason_when(talk: Talk, *, seconds: float = 20.0, body_bytes: int = 10**6) -> str:
    async with talking(talk) as raw:
        return await reason_of(fetch(raw.url, seconds=seconds, body_bytes=body_bytes))


def answering(
    body: bytes = PAGE, status: int = 200, **headers: str
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return handler


# Good answers


async def test_a_good_answer() -> None:
    async with serving(answering(Content_Type="text/plain; version=0.0.4")) as url:
        body, fetched = await fetch(url)
    assert body == PAGE
    assert fetched.content_type == "text/plain; version=0.0.4"
    assert fetched.is_framed


async def test_gzip_is_asked_for_and_nothing_else() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "gzip"
        return web.Response(body=gzip.compress(PAGE * 1000), headers={"Content-Encoding": "gzip"})

    async with serving(handler) as url:
        assert (await fetch(url))[0] == PAGE * 1000


async def test_a_page_that_ends_with_its_connection_is_whole_when_its_last_line_is() -> None:
    async with talking(saying(OK + b"\r\n" + PAGE)) as raw:
        assert (await fetch(raw.url))[0] == PAGE


async def test_cookies_are_not_kept() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert "Cookie" not in request.headers
        return web.Response(body=PAGE, headers={"Set-Cookie": "session=1"})

    connection = Connection(None, connections=1, body_bytes=10**6)
    async with serving(handler) as url:
        for _ in range(2):
            assert (await connection.fetch("GET", url, 20.0, headers={})).raw == PAGE
    await connection.close()


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with serving(answering()) as url:
        assert (await fetch(url))[0] == PAGE


# Statuses and contents


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (204, "content_type"),
        (301, "redirect"),
        (302, "redirect"),
        (400, "http_4xx"),
        (401, "auth"),
        (403, "auth"),
        (404, "http_4xx"),
        (429, "http_4xx"),
        (500, "http_5xx"),
        (503, "http_5xx"),
    ],
)
async def test_a_status_is_a_reason(status: int, reason: str) -> None:
    async with serving(answering(b"" if status == 204 else PAGE, status, Location="/elsewhere")) as url:
        assert await reason_of(fetch(url)) == reason


async def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("/other")

    async with serving(handler) as url:
        assert await reason_of(fetch(f"{url}/metrics")) == "redirect"
    assert asked == ["/metrics"]


async def test_a_login_page_is_no_exposition() -> None:
    async with serving(answering(b"<html>", Content_Type="text/html; charset=utf-8")) as url:
        assert await reason_of(fetch(url)) == "content_type"


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip"])
async def test_an_encoding_that_was_not_asked_for(encoding: str) -> None:
    async with serving(answering(Content_Encoding=encoding)) as url:
        assert await reason_of(fetch(url)) == "bad_encoding"


# Compression


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not gzip at all", "bad_encoding"),
        (gzip.compress(PAGE)[:-3], "truncated"),
        (gzip.compress(PAGE)[:5], "truncated"),
        (b"", "truncated"),
        (gzip.compress(PAGE)[:-8] + bytes(8), "bad_encoding"),
        (gzip.compress(PAGE) + gzip.compress(PAGE), "bad_encoding"),
        (gzip.compress(PAGE) * 50_000, "bad_encoding"),
        (gzip.compress(PAGE) + b"junk", "bad_encoding"),
    ],
    ids=["no gzip", "cut", "cut in its head", "empty", "checksum", "two members", "50,000 members", "junk"],
)
async def test_broken_gzip(body: bytes, reason: str) -> None:
    async with serving(answering(body, Content_Encoding="gzip")) as url:
        assert await reason_of(fetch(url, body_bytes=10**7)) == reason


@pytest.mark.parametrize("size", [10_000, 65_536, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
async def test_gzip_of_any_size_up_to_the_limit(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with serving(answering(gzip.compress(body), Content_Encoding="gzip")) as url:
        assert (await fetch(url, body_bytes=size))[0] == body
        assert await reason_of(fetch(url, body_bytes=size - 1)) == "body_size"


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_a_gzip_bomb_costs_no_more_memory_than_the_limit() -> None:
    bomb = gzip.compress(bytes(512 * 2**20), 6)
    async with serving(answering(bomb, Content_Encoding="gzip")) as url:
        before = resident_bytes()
        peak = before

        async def watch() -> None:
            nonlocal peak
            while True:
                peak = max(peak, resident_bytes())
                await asyncio.sleep(0.001)

        watcher = asyncio.create_task(watch())
        assert await reason_of(fetch(url, body_bytes=64 * 2**20)) == "body_size"
        watcher.cancel()
    assert peak - before < (64 + 16) * 2**20


async def test_a_body_beyond_the_limit() -> None:
    async with serving(answering(PAGE * 1000)) as url:
        assert await reason_of(fetch(url, body_bytes=1000)) == "body_size"
    assert await reason_when(saying(CHUNKED, b"400\r\n" + b"x" * 1024 + b"\r\n"), body_bytes=1000) == "body_size"


# Answers that end before their end


@pytest.mark.parametrize(
    "talk",
    [
        saying(OK + b"Content-Length: 12\r\n\r\na 1\nb 12"),
        saying(CHUNKED + b"b\r\na 1\nb 12"),
        saying(CHUNKED + b"8\r\na 1\nb 12\r\n"),
        saying(OK + b"\r\na 1\nb 12"),
        saying(OK[:20]),
        saying(),
    ],
    ids=["length", "chunk", "between chunks", "close", "head", "nothing"],
)
async def test_a_cut_answer(talk: Talk) -> None:
    assert await reason_when(talk) == "truncated"


async def test_a_reset_within_the_body() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 100\r\n\r\na 1\n")
        await writer.drain()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    assert await reason_when(talk) == "truncated"


# Heads that are too much


@pytest.mark.parametrize(
    "head",
    [
        OK + b"X: " + b"x" * 10**6 + b"\r\n\r\n",
        OK + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 20) for n in range(10_000)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nno header line\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ],
    ids=["large", "many", "malformed", "another protocol", "two lengths"],
)
async def test_headers(head: bytes) -> None:
    assert await reason_when(saying(head)) == "headers"


# Time


async def test_a_server_that_hangs() -> None:
    assert await reason_when(for_ever, seconds=0.3) == "timeout"


async def test_a_drip_is_ended_by_the_deadline() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        while True:
            writer.write(b"4\r\na 1\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    assert await reason_when(talk, seconds=0.3) == "timeout"


async def test_a_black_hole() -> None:
    """A listener whose queue of connections is full: further SYNs get no answer at all."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            await asyncio.sleep(0.1)
            assert await reason_of(fetch(f"http://127.0.0.1:{address[1]}", seconds=1.0)) == "connect_timeout"
        finally:
            for filler in fillers:
                filler.close()


async def test_no_time_left() -> None:
    async with serving(answering()) as url:
        assert await reason_of(fetch(url, seconds=-1.0)) in ("timeout", "connect_timeout")


# Connections


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert await reason_of(fetch(f"http://127.0.0.1:{unused.getsockname()[1]}")) == "connect"


async def test_a_name_that_does_not_resolve() -> None:
    assert await reason_of(fetch("http://no-such-host.invalid:9400/metrics")) == "dns"


# Credentials


async def test_basic_auth_reads_its_password_file_each_time(tmp_path: Path) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode())
        return web.Response(body=PAGE)

    secret = tmp_path / "password"
    connection = Connection(Entry(basic_auth=Basic("me", None, str(secret))), connections=1, body_bytes=10**6)
    async with serving(handler) as url:
        for password in ("one", "zwö\n"):
            secret.write_text(password, encoding="utf-8")
            await connection.fetch("GET", url, 20.0, headers={})
        secret.unlink()
        assert await reason_of(connection.fetch("GET", url, 20.0, headers={})) == "auth"
    await connection.close()
    assert seen == ["me:one", "me:zwö"]


async def test_a_bearer_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t0ken\n", encoding="utf-8")

    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer t0ken"
        return web.Response(body=PAGE)

    async with serving(handler) as url:
        for access in (Entry(bearer_token=Hidden("t0ken")), Entry(bearer_token_file=str(file))):
            assert (await fetch(url, access=access))[0] == PAGE


async def test_a_token_that_is_no_header_does_not_stand_in_the_message() -> None:
    with pytest.raises(SourceError) as caught:
        await fetch("http://127.0.0.1:9", access=Entry(bearer_token=Hidden("geheim\r\nX: é")))
    assert caught.value.reason == "auth"
    assert "geheim" not in str(caught.value)


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "other"):
        options = f"-keyout {folder}/{name}.key -out {folder}/{name}.pem -subj /CN=exporter.test -days 2 -nodes"
        key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -addext subjectAltName=DNS:exporter.test"
        subprocess.run(f"openssl req -x509 {key} {options}".split(), check=True, capture_output=True)
    return folder


async def over_tls(certificates: Path, tls: Tls | None) -> bytes:

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    app = web.Application()
    app.router.add_get("/", answering())
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        return (await fetch(f"https://127.0.0.1:{runner.addresses[0][1]}/", access=Entry(tls=tls)))[0]
    finally:
        await runner.cleanup()


async def test_tls_with_its_own_authority_and_server_name(certificates: Path) -> None:
    tls = Tls(ca_file=str(certificates / "server.pem"), server_name="exporter.test")
    assert await over_tls(certificates, tls) == PAGE


async def test_tls_without_verification_is_a_choice(certificates: Path) -> None:
    assert await over_tls(certificates, Tls(insecure_skip_verify=True)) == PAGE


async def test_a_certificate_that_does_not_hold(certificates: Path) -> None:
    ca, other = str(certificates / "server.pem"), str(certificates / "other.pem")
    for tls in (
        None,
        Tls(ca_file=ca),
        Tls(ca_file=ca, server_name="else.test"),
        Tls(ca_file=other, server_name="exporter.test"),
    ):
        assert await reason_of(over_tls(certificates, tls)) == "tls"


async def test_tls_files_that_cannot_be_read(certificates: Path) -> None:
    for no_file in ("no/such/file", "no\0file"):
        assert await reason_of(over_tls(certificates, Tls(ca_file=no_file))) == "tls"
    assert await reason_of(over_tls(certificates, Tls(cert_file=str(certificates / "server.key")))) == "tls"


async def test_a_new_authority_needs_no_restart(certificates: Path, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes((certificates / "other.pem").read_bytes())
    connection = Connection(
        Entry(tls=Tls(ca_file=str(ca), server_name="exporter.test")), connections=1, body_bytes=10**6
    )

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    server = await asyncio.start_server(
        lambda _, writer: writer.write(OK + b"Content-Length: 4\r\nConnection: close\r\n\r\na 1\n"),
        "127.0.0.1",
        0,
        ssl=context,
    )
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    assert await reason_of(connection.fetch("GET", url, 20.0, headers={})) == "tls"
    ca.write_bytes((certificates / "server.pem").read_bytes())
    assert (await connection.fetch("GET", url, 20.0, headers={})).raw == b"a 1\n"
    await connection.close()
    server.close()


async def test_plain_http_where_tls_is_expected() -> None:
    async with serving(answering()) as url:
        assert await reason_of(fetch(url.replace("http:", "https:"))) == "tls"


@pytest.fixture
def expired(certificates: Path, tmp_path: Path) -> Path:
    """A certificate of an authority that is trusted, for the right name, and years too old."""
    (tmp_path / "index").touch()
    (tmp_path / "ca.conf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={tmp_path}/index\nnew_certs_dir={tmp_path}\nrand_serial=yes\n"
        "default_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n"
        "[e]\nsubjectAltName=DNS:exporter.test\n"
    )
    ca, key = certificates / "server.pem", certificates / "server.key"
    request = f"openssl req -new -key {key} -subj /CN=expired -out {tmp_path}/csr"
    dates = "-startdate 20200101000000Z -enddate 20200102000000Z"
    signed = f"openssl ca -batch -config {tmp_path}/ca.conf -cert {ca} -keyfile {key} {dates} -in {tmp_path}/csr"
    for command in (request, f"{signed} -out {tmp_path}/server.pem"):
        subprocess.run(command.split(), check=True, capture_output=True)
    (tmp_path / "server.key").write_bytes(key.read_bytes())
    return tmp_path


async def test_a_certificate_that_has_expired(certificates: Path, expired: Path) -> None:
    with pytest.raises(SourceError) as caught:
        await over_tls(expired, Tls(ca_file=str(certificates / "server.pem"), server_name="exporter.test"))
    assert caught.value.reason == "tls"
    assert "expired" in str(caught.value)


async def test_an_outdated_version_of_tls_is_not_spoken(certificates: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the versions are meant
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    access = Entry(tls=Tls(ca_file=str(certificates / "server.pem"), server_name="exporter.test"))
    assert await reason_of(fetch(url, access=access)) == "tls"
    server.close()


async def test_a_name_is_looked_up_again_for_every_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter moves to another address, then to one of IPv6 alone, then its name is gone."""
    address = ["127.0.0.1"]
    real = socket.getaddrinfo

    def moved(host: str | bytes | None, *more: Any, **named: Any) -> Any:
        if host not in ("exporter.test", b"exporter.test"):
            return real(host, *more, **named)
        if not address[0]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(address[0], *more, **named)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = f'a{{at="{writer.get_extra_info("sockname")[0]}"}} 1\n'.encode()
        writer.write(OK + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    monkeypatch.setattr(socket, "getaddrinfo", moved)
    first = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = first.sockets[0].getsockname()[1]
    others = [await asyncio.start_server(serve, host, port) for host in ("127.0.0.2", "::1")]
    connection = Connection(None, connections=1, body_bytes=10**6)
    for address[0] in ("127.0.0.1", "127.0.0.2", "::1"):
        fetched = await connection.fetch("GET", f"http://exporter.test:{port}/", 20.0, headers={})
        assert fetched.raw == f'a{{at="{address[0]}"}} 1\n'.encode()
    address[0] = ""
    assert await reason_of(connection.fetch("GET", f"http://exporter.test:{port}/", 20.0, headers={})) == "dns"
    await connection.close()
    for server in (first, *others):
        server.close()
