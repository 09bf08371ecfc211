"""Every route of the live router, every method, every kind of credentials: so that no new route can be forgotten."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import bcrypt
import pytest
import pytest_asyncio
from aiohttp import web

from kcloud_exporter import app as composition
from kcloud_exporter.web.server import build_app
from tests.faults.clusters import config_of, served
from tests.faults.whole import product
from tests.web.program import basic, fetch

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
GOOD = basic("ann", "s3cret")
BAD = (None, basic("ann", "wrong"), basic("bob", "s3cret"), "Bearer s3cret", basic("ann", "x" * 200))
Running = tuple[web.Application, int]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    folder: Path = tmp_path_factory.mktemp("protected")
    hashed = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()
    (folder / "web.yml").write_text(f"basic_auth_users: {{ann: '{hashed}'}}")
    built: list[web.Application] = []

    def build(*arguments: object) -> web.Application:
        built.append(original(*arguments))  # type: ignore[arg-type]
        return built[-1]

    original = build_app
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "build_app", build)
        async with served() as url:
            data = config_of({"a": f"{url}/a"})
            data["global"] = {"interval": "60s", "timeout": "10s", "max_staleness": "120s"}
            async with product(data, folder, folder / "web.yml") as (_, port):
                yield built[0], port


def paths(app: web.Application) -> Iterator[str]:
    """Every path of the router once, its parts filled in."""
    for resource in app.router.resources():
        yield re.sub(r"\{[^}]*\}", "x", resource.canonical)


async def test_nothing_is_answered_without_credentials(running: Running) -> None:
    app, port = running
    asked = [(path, method) for path in [*paths(app), "/no/such/page"] for method in METHODS]
    assert len(asked) > 60 * len(METHODS)

    async def one(path: str, method: str, auth: str | None) -> None:
        status, headers, body = await fetch(port, path, method, auth=auth)
        assert status == 401, (method, path, auth)
        assert headers["WWW-Authenticate"].startswith("Basic")
        assert b"s3cret" not in body

    for start in range(0, len(asked), 40):
        await asyncio.gather(*(one(*each, None) for each in asked[start : start + 40]))
    for number, (path, method) in enumerate(asked):  # one bad way each, in turn
        await one(path, method, BAD[1 + number % (len(BAD) - 1)])


async def test_with_credentials_reading_is_all_that_is_possible(running: Running) -> None:
    app, port = running
    streams = [path for path in paths(app) if "/events/" in path or path.endswith("/events") or "stream" in path]
    for path in paths(app):
        for method in METHODS:
            if path in streams and method == "GET":
                continue
            status, headers, _ = await fetch(port, path, method, auth=GOOD)
            assert status != 401, (method, path)
            assert status < 500 or status == 503, (method, path)
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "Content-Security-Policy" in headers
            assert "Server" not in headers
            assert "Access-Control-Allow-Origin" not in headers
            if method not in ("GET", "HEAD") and path != "/-/reload":
                assert status in (404, 405, 410), (method, path)
    assert len(streams) >= 2


async def test_streams_want_credentials_before_they_begin(running: Running) -> None:
    app, port = running
    events = [path for path in paths(app) if "events" in path or "stream" in path or path.startswith("/live")]
    assert len(events) >= 3
    async with aiohttp.ClientSession() as session:
        for path in events:
            for auth in BAD:
                headers = {} if auth is None else {"Authorization": auth}
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(f"http://127.0.0.1:{port}{path}", headers=headers)
                assert refused.value.status == 401, path
                async with session.get(f"http://127.0.0.1:{port}{path}", headers=headers) as response:
                    assert response.status == 401


async def test_no_path_leads_out_of_what_is_served(running: Running) -> None:
    _, port = running
    for path in (
        "/live/../../etc/passwd",
        "/live/..%2f..%2fapp.py",
        "/live/%2e%2e/app.py",
        "/live//etc/passwd",
        "/live/%00",
        "/live/..%5c..%5capp.py",
        "/docs/../app.py",
        "/docs/%2e%2e%2fapp.py",
        "/api/v1/export/..%2f..%2fdata",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
    ):
        status, _, body = await fetch(port, path, auth=GOOD)
        assert status in (400, 404), path
        assert b"root:" not in body
        assert b"import" not in body


async def test_a_hundred_addresses_that_do_not_exist_make_one_series(running: Running) -> None:
    _, port = running
    for number in range(100):
        await fetch(port, f"/wp-admin/{number}?x={number}", "GET", auth=GOOD)
    _, _, page = await fetch(port, "/metrics", auth=GOOD, Accept_Encoding="identity")
    assert b"wp-admin" not in page
    routes = {line.split(b'route="')[1].split(b'"')[0] for line in page.splitlines() if b'route="' in line}
    assert routes <= {b"unknown", *(r.canonical.encode() for r in running[0].router.resources())}
