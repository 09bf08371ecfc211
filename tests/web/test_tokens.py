"""Bearer tokens over real sockets, beside passwords and alone; and how many wrong credentials an address may try."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import bcrypt
import pytest

from kcloud_exporter.app import web_auth
from kcloud_exporter.cli import parser
from kcloud_exporter.commands.flags import serve_options
from kcloud_exporter.errors import ConfigError
from kcloud_exporter.web.auth import TooManyGuessesError, WebAuth
from kcloud_exporter.web.guesses import AT_ONCE, SECONDS_EACH, Guesses
from kcloud_exporter.web.server import build_app
from tests.web.program import Program, basic, fetch, serving

OLD, NEW = "old-token-0123456789", "new-token-0123456789"


def write(path: Path, text: str) -> Path:
    """A file, in the way in which secrets are renewed: under another name first."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text)
    os.replace(beside, path)  # noqa: PTH105
    return path


class TestTokens:
    async def test_every_route_wants_one(self, program: Program, tmp_path: Path) -> None:
        auth = web_auth(None, {}, write(tmp_path / "tokens", f"{OLD}\n\n{NEW}\n"))
        assert auth is not None
        deps = program.deps(auth, lifecycle=True)
        routes = [(r.method, r.resource.canonical) for r in build_app(deps).router.routes() if r.resource]
        async with serving(deps) as port:
            for method, path in routes:
                status, headers, _ = await fetch(port, path, method)
                assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="kcloud-exporter"')
                assert (await fetch(port, path, method, auth=basic("ann", OLD)))[0] == 401
                for token in (OLD, NEW):
                    assert (await fetch(port, path, method, auth=f"Bearer {token}"))[0] != 401

    @pytest.mark.parametrize("said", ["", "Bearer", "Bearer ", "Bearer x", f"Bearer {OLD}x", f"Token {OLD}", OLD])
    async def test_nothing_else_will_do(self, tmp_path: Path, said: str) -> None:
        auth = WebAuth.without_file(None, write(tmp_path / "tokens", OLD))
        assert await auth.allows(f"bearer {OLD}")
        assert not await auth.allows(said)

    async def test_they_stand_beside_passwords(self, program: Program, tmp_path: Path) -> None:
        hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
        config = write(tmp_path / "web.yml", f"basic_auth_users: {{ann: '{hashed}'}}")
        auth = web_auth(config, {}, write(tmp_path / "tokens", OLD))
        async with serving(program.deps(auth)) as port:
            assert (await fetch(port, "/metrics", auth=f"Bearer {OLD}"))[0] == 200
            assert (await fetch(port, "/metrics", auth=basic("ann", "secret")))[0] == 200
            status, headers, _ = await fetch(port, "/metrics", auth=f"Bearer {NEW}")
            assert (status, headers["WWW-Authenticate"]) == (
                401,
                'Basic realm="kcloud-exporter", Bearer realm="kcloud-exporter"',
            )

    async def test_they_follow_the_file_and_a_bad_one_changes_nothing(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = write(tmp_path / "tokens", OLD)
        auth = WebAuth.without_file(None, path)
        write(path, f"{NEW}\n")
        assert [await auth.allows(f"Bearer {token}") for token in (OLD, NEW)] == [False, True]
        for bad in ("", "short", "\u00e9" * 20, f"{OLD} {NEW}"):
            write(path, bad)
            assert [await auth.allows(f"Bearer {token}") for token in (OLD, NEW)] == [False, True]
        path.unlink()
        assert await auth.allows(f"Bearer {NEW}")
        assert {record.levelname for record in caplog.records} == {"ERROR"}
        assert OLD not in caplog.text

    @pytest.mark.parametrize("text", ["", "\n \n", "short", f"{OLD} {NEW}", "x" * 70_000])
    def test_a_file_without_good_ones_is_refused_at_the_start(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(ConfigError, match="tokens"):
            web_auth(None, {}, write(tmp_path / "tokens", text))
        with pytest.raises(ConfigError, match="nowhere"):
            web_auth(None, {}, tmp_path / "nowhere")

    def test_they_protect_an_address_that_others_can_reach(self, tmp_path: Path) -> None:
        path = str(write(tmp_path / "tokens", OLD))
        said = ["demo", "--web.listen-address=:0"]
        assert serve_options(parser().parse_args([*said, "--web.bearer-token-file", path]), {}).bearer_token_file
        with pytest.raises(ConfigError, match=r"--web\.bearer-token-file"):
            serve_options(parser().parse_args(said), {})


class TestGuesses:
    async def test_an_address_that_guesses_is_made_to_wait_and_nobody_else(
        self, program: Program, tmp_path: Path
    ) -> None:
        hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
        auth = web_auth(write(tmp_path / "web.yml", f"basic_auth_users: {{ann: '{hashed}'}}"), {})
        assert auth is not None
        async with serving(program.deps(auth)) as port:
            assert (await fetch(port, "/metrics", auth=basic("ann", "secret")))[0] == 200
            answers = [await fetch(port, "/metrics", auth=basic("ann", f"{n}")) for n in range(AT_ONCE + 5)]
            statuses = [status for status, _, _ in answers]
            assert statuses[:AT_ONCE] == [401] * AT_ONCE
            assert statuses[-1] == 429
            assert 1 <= int(answers[-1][1]["Retry-After"]) <= SECONDS_EACH
            assert (await fetch(port, "/metrics", auth=basic("ann", "0")))[0] == 401, "told before, so told again"
            assert (await fetch(port, "/metrics"))[0] == 401, "who says nothing does not guess"
            assert (await fetch(port, "/metrics", auth=basic("ann", "secret")))[0] == 200, "the right one always"
        assert not await auth.allows(basic("bob", "x"), "10.0.0.9"), "another address may try"

    async def test_wrong_tokens_are_guesses_as_well(self, tmp_path: Path) -> None:
        auth = WebAuth.without_file(None, write(tmp_path / "tokens", OLD))
        tried = [auth.allows(f"Bearer wrong {n}", "10.0.0.1") for n in range(AT_ONCE + 1)]
        answers = await asyncio.gather(*tried, return_exceptions=True)
        assert answers[:-1] == [False] * AT_ONCE
        assert isinstance(answers[-1], TooManyGuessesError)
        assert await auth.allows(f"Bearer {OLD}", "10.0.0.1")

    def test_time_gives_guesses_back(self) -> None:
        now = 1000.0
        guesses = Guesses(lambda: now)
        for _ in range(AT_ONCE):
            assert guesses.wait("10.0.0.1") == 0
            guesses.wrong("10.0.0.1")
        assert guesses.wait("10.0.0.1") == pytest.approx(SECONDS_EACH)
        now += SECONDS_EACH
        assert guesses.wait("10.0.0.1") == 0
        guesses.wrong("10.0.0.1")
        assert guesses.wait("10.0.0.1") > 0

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("2001:db8::1", "2001:db8::ffff:1", True),
            ("2001:db8::1", "2001:db8:0:1::1", False),
            ("10.0.0.1", "10.0.0.2", False),
            ("10.0.0.1", "::ffff:10.0.0.1", True),
            ("fe80::1%eth0", "fe80::1%eth1", True),
            (None, "", True),
        ],
    )
    def test_a_network_of_ipv6_is_one_address(self, one: str | None, other: str, *, same: bool) -> None:
        guesses = Guesses()
        for _ in range(AT_ONCE):
            guesses.wrong(one)
        assert (guesses.wait(other) > 0) is same

    def test_no_number_of_addresses_takes_more_memory(self) -> None:
        guesses = Guesses()
        for number in range(6000):
            guesses.wrong(f"10.{number // 256}.{number % 256}.1")
        assert len(guesses._until) <= 4096
