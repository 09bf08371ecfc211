"""The web configuration over real sockets: users, TLS, client certificates, and a file that changes."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import aiohttp
import bcrypt
import pytest

from kcloud_exporter.errors import ConfigError
from kcloud_exporter.web.auth import TooManyGuessesError, WebAuth, read_web_config
from kcloud_exporter.web.protection import Limits
from kcloud_exporter.web.server import build_app
from tests.web.program import PAGE, Program, basic, fetch, serving


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

    @pytest.mark.parametrize(
        ("who", "password"),
        [("ann", "wrong"), ("nobody", "s3cret"), ("nobody", "x" * 100), ("ann", "x" * 100), ("ann", "nul\0")],
    )
    async def test_whoever_is_not_let_in_costs_one_bcrypt_of_the_same_cost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str, password: str
    ) -> None:
        """So the time of an answer does not tell whether a name is known. That it takes as long is a long form."""
        auth = WebAuth.load(web_config(tmp_path, f"basic_auth_users: {{ann: '{hashed('s3cret')}'}}"))
        asked: list[bytes] = []
        real = bcrypt.checkpw

        def counted(said: bytes, against: bytes) -> bool:
            asked.append(against)
            return real(said, against)

        monkeypatch.setattr(bcrypt, "checkpw", counted)
        assert not await auth.allows(basic(who, password))
        assert [each[:7] for each in asked] == [b"$2b$04$"]
        assert not await auth.allows(basic(who, password))
        assert len(asked) == 1, "the same again is remembered, for the unknown as for the known"

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

    async def test_a_file_that_lost_its_users_does_not_open_the_door(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = web_config(tmp_path, f"basic_auth_users: {{ann: '{hashed('one')}'}}")
        auth = WebAuth.load(path)
        await asyncio.sleep(0.01)
        path.write_text("")

        assert not await auth.allows("")
        assert await auth.allows(basic("ann", "one"))
        assert [record.levelname for record in caplog.records] == ["ERROR"], "told once, not at every request"

    async def test_hashes_of_htpasswd_are_understood(self, tmp_path: Path) -> None:
        made_by_htpasswd = hashed("one").replace("$2b$", "$2y$")
        auth = WebAuth.load(web_config(tmp_path, f"basic_auth_users: {{ann: '{made_by_htpasswd}'}}"))

        assert await auth.allows(basic("ann", "one"))
        assert not await auth.allows(basic("ann", "two"))

    async def test_guesses_do_not_keep_out_who_has_a_password(self, tmp_path: Path) -> None:
        cost_of_some_time = bcrypt.hashpw(b"one", bcrypt.gensalt(10)).decode()
        auth = WebAuth.load(web_config(tmp_path, f"basic_auth_users: {{ann: '{cost_of_some_time}'}}"))
        assert await auth.allows(basic("ann", "one"))
        guesses = [asyncio.create_task(auth.allows(basic("ann", f"guess {n}"))) for n in range(40)]
        await asyncio.sleep(0)

        assert await auth.allows(basic("ann", "one"))
        assert not all(guess.done() for guess in guesses), "whoever is known waits for no guess"
        answers = await asyncio.gather(*guesses, return_exceptions=True)
        assert {type(a) for a in answers} == {bool, TooManyGuessesError}
        assert True not in answers

    async def test_more_guesses_than_memory_push_nobody_out(self, tmp_path: Path) -> None:
        auth = WebAuth.load(web_config(tmp_path, f"basic_auth_users: {{ann: '{hashed('one')}'}}"))
        assert await auth.allows(basic("ann", "one"))
        for number in range(150):
            assert not await auth.allows(basic("ann", f"guess {number}"), f"10.0.0.{number}")
        line = [asyncio.create_task(auth.allows(basic("bob", f"guess {n}"))) for n in range(40)]
        await asyncio.sleep(0)

        assert await auth.allows(basic("ann", "one")), "still known, although the line is full"
        await asyncio.gather(*line, return_exceptions=True)

    def test_a_blank_header_is_none(self, tmp_path: Path) -> None:
        path = web_config(tmp_path, "http_server_config: {headers: {X-Frame-Options: '', X-XSS-Protection: '0'}}")

        assert read_web_config(path).http_server_config.headers == {"X-XSS-Protection": "0"}

    @pytest.mark.parametrize(
        "header",
        ["", "Basic", "Basic !!", "Bearer abc", "Basic /////w==", "basic YW5u", "Basic \u00e9", "Basic \udcff"],
    )
    async def test_broken_credentials_are_none(self, tmp_path: Path, header: str) -> None:
        auth = WebAuth.load(web_config(tmp_path, f"basic_auth_users: {{ann: '{hashed('one')}'}}"))

        assert not await auth.allows(header)

    async def test_who_says_nothing_takes_no_place_in_line(self, tmp_path: Path) -> None:
        auth = WebAuth.load(web_config(tmp_path, f"basic_auth_users: {{ann: '{hashed('one')}'}}"))

        assert await asyncio.gather(*(auth.allows("") for _ in range(100))) == [False] * 100

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("basic_auth_user: {}", "basic_auth_user"),
            ("basic_auth_users: {a: plain}", "bcrypt"),
            ("http_server_config: {headers: {X-Foo: bar}}", "X-Foo"),
            ("http_server_config: {headers: {X-Frame-Options: maybe}}", "deny or sameorigin"),
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


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates that vouch for themselves: the server's and its next one, and those of two clients."""
    folder = tmp_path_factory.mktemp("certificates")
    subjects = {"server": "localhost", "renewed": "localhost", "ann": "ann", "bob": "bob"}
    for name, subject in ((name, f"/CN={common}") for name, common in subjects.items()):
        names = ["-addext", "subjectAltName=IP:127.0.0.1"] if subject == "/CN=localhost" else []
        files = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
        openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject, *names, *files)
    return folder


def trusting(certificates: Path, name: str = "server.pem") -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates / name))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificates")
class TestTls:
    def auth(self, folder: Path, certificates: Path, more: str = "") -> WebAuth:
        files = f"cert_file: {certificates}/server.pem, key_file: {certificates}/server.key"
        headers = "http_server_config: {headers: {X-Frame-Options: SAMEORIGIN}}"
        return WebAuth.load(web_config(folder, f"tls_server_config: {{{files}{more}}}\n{headers}"))

    async def test_the_page_over_tls(self, program: Program, tmp_path: Path, certificates: Path) -> None:
        async with serving(program.deps(self.auth(tmp_path, certificates))) as port:
            tls = trusting(certificates)
            status, headers, body = await fetch(port, "/metrics", scheme="https", tls=tls, Accept_Encoding="identity")
            assert (status, body) == (200, PAGE)
            assert headers["X-Frame-Options"] == "SAMEORIGIN"
            with pytest.raises(aiohttp.ClientConnectorError):
                await fetch(port, "/metrics", scheme="https", tls=ssl.create_default_context())

    @pytest.mark.parametrize(("minimum", "served"), [("TLS12", True), ("TLS13", False)])
    async def test_old_tls_only_where_it_is_allowed(
        self, program: Program, tmp_path: Path, certificates: Path, minimum: str, served: bool
    ) -> None:
        old = trusting(certificates)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
        async with serving(program.deps(self.auth(tmp_path, certificates, f", min_version: {minimum}"))) as port:
            if served:
                assert (await fetch(port, "/metrics", scheme="https", tls=old))[0] == 200
            else:
                with pytest.raises(aiohttp.ClientError):
                    await fetch(port, "/metrics", scheme="https", tls=old)

    async def test_only_clients_with_a_certificate(self, program: Program, tmp_path: Path, certificates: Path) -> None:
        more = f", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {certificates}/ann.pem"
        async with serving(program.deps(self.auth(tmp_path, certificates, more))) as port:
            with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
                await fetch(port, "/metrics", scheme="https", tls=trusting(certificates))
            ann = trusting(certificates)
            ann.load_cert_chain(certificates / "ann.pem", certificates / "ann.key")
            assert (await fetch(port, "/metrics", scheme="https", tls=ann))[0] == 200

    async def test_a_renewed_certificate_needs_no_restart(
        self, program: Program, tmp_path: Path, certificates: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for suffix in ("pem", "key"):
            shutil.copy(certificates / f"server.{suffix}", tmp_path / f"server.{suffix}")
        auth = self.auth(tmp_path, tmp_path)
        old, new = trusting(certificates), trusting(certificates, "renewed.pem")
        async with serving(program.deps(auth)) as port:
            assert (await fetch(port, "/metrics", scheme="https", tls=old))[0] == 200
            shutil.copy(certificates / "renewed.pem", tmp_path / "server.pem")
            assert (await fetch(port, "/metrics", scheme="https", tls=old))[0] == 200, "half of a pair changes nothing"
            assert [record.levelname for record in caplog.records] == ["ERROR"]
            shutil.copy(certificates / "renewed.key", tmp_path / "server.key")
            assert (await fetch(port, "/metrics", scheme="https", tls=new))[0] == 200
            with pytest.raises(aiohttp.ClientConnectorError):
                await fetch(port, "/metrics", scheme="https", tls=old)
            (tmp_path / "server.pem").unlink()
            assert (await fetch(port, "/metrics", scheme="https", tls=new))[0] == 200, "and so does a lost file"

    async def test_the_authority_of_clients_follows_its_file(
        self, program: Program, tmp_path: Path, certificates: Path
    ) -> None:
        authority = tmp_path / "clients.pem"
        shutil.copy(certificates / "ann.pem", authority)
        more = f", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {authority}"
        clients = {}
        for name in ("ann", "bob"):
            clients[name] = trusting(certificates)
            clients[name].load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
        async with serving(program.deps(self.auth(tmp_path, certificates, more))) as port:
            for trusted, other in (("ann", "bob"), ("bob", "ann")):
                shutil.copy(certificates / f"{trusted}.pem", authority)
                assert (await fetch(port, "/metrics", scheme="https", tls=clients[trusted]))[0] == 200
                with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
                    await fetch(port, "/metrics", scheme="https", tls=clients[other])

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_the_section_follows_the_file_as_well(
        self, program: Program, tmp_path: Path, certificates: Path, version: ssl.TLSVersion
    ) -> None:
        auth = self.auth(tmp_path, certificates)
        client = trusting(certificates)
        client.maximum_version = version
        async with serving(program.deps(auth)) as port:
            assert (await fetch(port, "/metrics", scheme="https", tls=client))[0] == 200
            files = f"cert_file: {certificates}/renewed.pem, key_file: {certificates}/renewed.key"
            web_config(tmp_path, f"tls_server_config: {{{files}}}")
            await fetch(port, "/metrics", scheme="https", tls=client)  # a request has the file read
            renewed = trusting(certificates, "renewed.pem")
            renewed.maximum_version = version
            status, headers, _ = await fetch(port, "/metrics", scheme="https", tls=renewed)
            assert (status, headers["X-Frame-Options"]) == (200, "DENY")
            web_config(tmp_path, "basic_auth_users: {}")
            assert (await fetch(port, "/metrics", scheme="https", tls=renewed))[0] == 200, "TLS ends with a restart"

    async def test_a_handshake_that_never_comes_is_closed(
        self, program: Program, tmp_path: Path, certificates: Path
    ) -> None:
        async with serving(program.deps(self.auth(tmp_path, certificates)), Limits(head=0.3)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
