"""The web server over real sockets: pages, narrowing, errors, users, TLS, and clients that misbehave."""

from __future__ import annotations

import asyncio
import base64
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from gzip import compress as pack
from gzip import decompress as unpack
from pathlib import Path

import aiohttp
import bcrypt
import pytest
from yarl import URL

from kcloud_exporter.errors import ConfigError, ListenError
from kcloud_exporter.web.auth import WebAuth
from kcloud_exporter.web.protection import Limits
from kcloud_exporter.web.server import build_app, start_site
from kcloud_exporter.web.status import ClusterStatus, SourceStatus, Status, WebDeps

PAGE = b"kcloud_x 1\n"


class Program:
    """Stands in for the running program: what it was asked, and what it answers."""

    def __init__(self) -> None:
        self.ready, self.page_bytes, self.problems = True, PAGE, ["clusters: this key is needed"]
        self.asked: list[tuple[bool, frozenset[str], frozenset[str]]] = []
        self.observed: list[tuple[str, str, int]] = []

    async def page(self, openmetrics: bool, gzip: bool, levels: frozenset[str], clusters: frozenset[str]) -> bytes:
        if not self.ready:
            raise LookupError
        self.asked.append((openmetrics, levels, clusters))
        return pack(self.page_bytes) if gzip else self.page_bytes

    async def reload(self) -> list[str]:
        return self.problems

    def status(self) -> Status:
        sources = (SourceStatus("dcgm@h:1", True, time.time(), None, 12), SourceStatus("<b>x", False, None, "a<b", 0))
        return Status(
            "9.9",
            time.time(),
            time.time(),
            self.ready,
            "" if self.ready else "no snapshot yet",
            (ClusterStatus("c1", "s1", sources),),
            ("node", "cluster"),
            ("c1", "c2"),
        )

    def deps(self, auth: WebAuth | None = None, *, lifecycle: bool = False) -> WebDeps:
        return WebDeps(
            page=self.page,
            status=self.status,
            reload=self.reload,
            enable_lifecycle=lifecycle,
            auth=auth,
            observe=lambda route, method, code, _: self.observed.append((route, method, code)),
        )


@asynccontextmanager
async def serving(deps: WebDeps, limits: Limits | None = None) -> AsyncIterator[int]:
    site = await start_site(
        build_app(deps), "127.0.0.1", 0, deps.auth.ssl_context() if deps.auth else None, limits or Limits()
    )
    try:
        yield site.port
    finally:
        await site.close()


@pytest.fixture
def program() -> Program:
    return Program()


async def fetch(
    port: int,
    path: str,
    method: str = "GET",
    scheme: str = "http",
    *,
    auth: str | None = None,
    tls: ssl.SSLContext | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if auth is not None:
        sent["Authorization"] = auth
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        url = URL(f"{scheme}://127.0.0.1:{port}{path}", encoded=True)
        async with session.request(method, url, headers=sent, ssl=tls or True) as response:
            return response.status, dict(response.headers), await response.read()


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


class TestMetrics:
    @pytest.mark.parametrize(
        ("accept", "openmetrics"),
        [
            ("", False),
            ("*/*", False),
            ("text/plain", False),
            ("application/openmetrics-text", True),
            ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
            ("application/openmetrics-text;q=0.2,text/plain;q=0.8", False),
            ("application/openmetrics-text;q=0", False),
        ],
    )
    async def test_the_format_follows_accept(self, program: Program, accept: str, openmetrics: bool) -> None:
        async with serving(program.deps()) as port:
            status, headers, body = await fetch(port, "/metrics", Accept=accept, Accept_Encoding="identity")

        assert (status, body) == (200, PAGE)
        assert program.asked[0][0] == openmetrics
        expected = "application/openmetrics-text; version=1.0.0" if openmetrics else "text/plain; version=0.0.4"
        assert headers["Content-Type"] == f"{expected}; charset=utf-8"
        assert "Content-Encoding" not in headers

    async def test_gzip_when_asked(self, program: Program) -> None:
        async with serving(program.deps()) as port:
            _, headers, body = await fetch(port, "/metrics", Accept_Encoding="gzip;q=0.5")

        assert headers["Content-Encoding"] == "gzip"
        assert unpack(body) == PAGE
        assert headers["Vary"] == "Accept, Accept-Encoding"

    async def test_narrowing_is_handed_on(self, program: Program) -> None:
        async with serving(program.deps()) as port:
            await fetch(port, "/metrics?collect[]=node&collect[]=cluster&cluster=c2")

        assert program.asked == [(False, frozenset({"node", "cluster"}), frozenset({"c2"}))]

    @pytest.mark.parametrize(
        ("query", "code", "word"), [("collect[]=nodes", 400, "nodes"), ("cluster=zz", 404, "zz"), ("foo=1", 400, "foo")]
    )
    async def test_what_is_unknown_is_named(self, program: Program, query: str, code: int, word: str) -> None:
        async with serving(program.deps()) as port:
            status, headers, body = await fetch(port, f"/metrics?{query}")

        assert status == code
        assert headers["Content-Type"].startswith("application/json")
        assert word in body.decode()
        assert program.asked == []

    async def test_before_the_first_snapshot(self, program: Program) -> None:
        program.ready = False
        async with serving(program.deps()) as port:
            assert (await fetch(port, "/metrics"))[0] == 503
            assert (await fetch(port, "/-/ready"))[0] == 503
            assert (await fetch(port, "/-/healthy"))[0] == 200


class TestPages:
    async def test_landing_page_shows_sources_and_escapes_them(self, program: Program) -> None:
        async with serving(program.deps()) as port:
            status, headers, body = await fetch(port, "/")

        assert status == 200
        assert b"dcgm@h:1" in body
        assert b"&lt;b&gt;x" in body
        assert b"<b>x" not in body
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "aiohttp" not in headers["Server"]

    async def test_reload_only_with_the_lifecycle_flag(self, program: Program) -> None:
        async with serving(program.deps()) as port:
            assert (await fetch(port, "/-/reload", "POST"))[0] == 403
        async with serving(program.deps(lifecycle=True)) as port:
            status, _, body = await fetch(port, "/-/reload", "POST")
            assert status == 500
            assert b"this key is needed" in body
            program.problems = []
            assert (await fetch(port, "/-/reload", "POST"))[0] == 200
            assert (await fetch(port, "/-/reload"))[0] == 405

    async def test_a_clients_path_is_no_label(self, program: Program) -> None:
        async with serving(program.deps()) as port:
            for number in range(5):
                assert (await fetch(port, f"/nope/{number}"))[0] == 404
            assert (await fetch(port, "/metrics", "DELETE"))[0] == 405

        assert {route for route, _, _ in program.observed} == {"unknown", "/metrics"} or {
            route for route, _, _ in program.observed
        } == {"unknown"}

    async def test_a_taken_address_is_told(self, program: Program) -> None:
        async with serving(program.deps()) as port:
            with pytest.raises(ListenError, match=r"--web\.listen-address"):
                await start_site(build_app(program.deps()), "127.0.0.1", port, None)


def web_config(folder: Path, text: str) -> Path:
    path = folder / "web.yml"
    path.write_text(text)
    return path


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


class TestUsers:
    async def test_every_route_wants_credentials(self, program: Program, tmp_path: Path) -> None:
        auth = WebAuth.load(web_config(tmp_path, f"basic_auth_users: {{ann: '{hashed('s3cret')}'}}"))
        deps = program.deps(auth, lifecycle=True)
        routes = [(r.method, r.resource.canonical) for r in build_app(deps).router.routes() if r.resource]
        async with serving(deps) as port:
            for method, path in routes:
                for bad in (
                    None,
                    basic("ann", "wrong"),
                    basic("bob", "s3cret"),
                    basic("ann", "x" * 100),
                ):
                    status, headers, _ = await fetch(port, path, method, auth=bad)
                    assert status == 401, (method, path)
                    assert "WWW-Authenticate" in headers or method == "HEAD"
                status, _, _ = await fetch(port, path, method, auth=basic("ann", "s3cret"))
                assert status != 401

    async def test_a_changed_file_counts_at_once_and_a_bad_one_changes_nothing(self, tmp_path: Path) -> None:
        path = web_config(tmp_path, f"basic_auth_users: {{ann: '{hashed('one')}'}}")
        auth = WebAuth.load(path)
        one, two = (basic("ann", p) for p in ("one", "two"))
        assert await auth.allows(one)
        await asyncio.sleep(0.01)
        path.write_text(f"basic_auth_users: {{ann: '{hashed('two')}'}}")
        assert not await auth.allows(one)
        assert await auth.allows(two)
        await asyncio.sleep(0.01)
        path.write_text("basic_auth_users: [")
        assert await auth.allows(two)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("basic_auth_user: {}", "basic_auth_user"),
            ("basic_auth_users: {a: plain}", "bcrypt"),
            ("http_server_config: {headers: {X-Foo: bar}}", "X-Foo"),
            ("tls_server_config: {cert_file: c}", "key_file"),
            ("tls_server_config: {cert_file: c, key_file: k}", "c"),
            (
                "tls_server_config: {cert_file: c, key_file: k, client_auth_type: RequireAndVerifyClientCert}",
                "client_ca_file",
            ),
            ("[", "web.yml"),
        ],
    )
    def test_a_bad_web_configuration_names_the_mistake(self, tmp_path: Path, text: str, words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            WebAuth.load(web_config(tmp_path, text))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificates")
async def test_tls(program: Program, tmp_path: Path) -> None:
    subprocess.run(  # noqa: ASYNC221 - once, before anything is served
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    auth = WebAuth.load(
        web_config(
            tmp_path,
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"
            "http_server_config: {headers: {X-Frame-Options: SAMEORIGIN}}",
        )
    )
    async with serving(program.deps(auth)) as port:
        trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        status, headers, body = await fetch(port, "/metrics", scheme="https", tls=trusted, Accept_Encoding="identity")
        assert (status, body) == (200, PAGE)
        assert headers["X-Frame-Options"] == "SAMEORIGIN"
        old = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        assert (await fetch(port, "/metrics", scheme="https", tls=old))[0] == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await fetch(port, "/metrics", scheme="https", tls=ssl.create_default_context())


class TestMisbehaviour:
    async def test_half_a_request_is_closed(self, program: Program) -> None:
        async with serving(program.deps(), Limits(head=0.3)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            assert (await fetch(port, "/metrics"))[0] == 200

    async def test_a_drip_of_header_bytes_buys_no_time(self, program: Program) -> None:
        async with serving(program.deps(), Limits(head=0.5)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)

            request = (bytes([byte]) for byte in b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 1000)

            async def drip() -> None:
                for _ in range(100):
                    writer.write(next(request))
                    await asyncio.sleep(0.05)

            task = asyncio.create_task(drip())
            assert await asyncio.wait_for(reader.read(), 4) == b""
            task.cancel()
            writer.close()

    async def test_readers_that_stall_are_cut_off_and_others_are_served(self, program: Program) -> None:
        program.page_bytes = b"x" * 30_000_000
        async with serving(program.deps(), Limits(stall=0.5)) as port:
            stalled = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
            for _, writer in stalled:
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0.2)
            assert (await fetch(port, "/metrics"))[0] == 503, "eight at once is the most"
            assert (await fetch(port, "/-/healthy"))[0] == 200
            await asyncio.sleep(1.5)
            assert (await fetch(port, "/metrics"))[0] == 200
            for _, writer in stalled:
                writer.close()

    async def test_connections_are_counted(self, program: Program) -> None:
        async with serving(program.deps(), Limits(connections=3)) as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            await asyncio.sleep(0.1)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert b"503" in await asyncio.wait_for(reader.read(), 5)
            writer.close()
            for _, each in held:
                each.close()
            await asyncio.sleep(0.1)
            assert (await fetch(port, "/-/healthy"))[0] == 200

    async def test_many_requests_on_one_connection(self, program: Program) -> None:
        async with serving(program.deps(), Limits(head=0.4)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(3):
                writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"healthy\n"), 5)
                await asyncio.sleep(0.5)
            writer.close()
