"""The whole program as `serve` runs it: what the router serves is documented and locked, and history answers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import bcrypt
import pytest
import pytest_asyncio
from openapi_spec_validator import OpenAPIV31SpecValidator

from kcloud_exporter import app
from kcloud_exporter.api.monitoring import STREAMS
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.export.request import PARAMETERS
from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.options import ServeOptions
from kcloud_exporter.web.operations import operation_of
from kcloud_exporter.web.server import build_app
from tests.api.original import ORIGINAL
from tests.web.program import basic

pytestmark = pytest.mark.asyncio(loop_scope="module")
WEBSOCKETS = {"/api/v1/monitoring/stream/power", "/api/v1/monitoring/stream/metrics"}
"""OpenAPI has no words for them; /monitoring/stream/info tells of them."""


class Served:
    """A running program that asks for a password, and its routes."""

    def __init__(self, port: int, routes: list[tuple[str, str, bool]]) -> None:
        self.port, self.routes = port, routes


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder: Path = tmp_path_factory.mktemp("program")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (folder / "web.yaml").write_text(f"basic_auth_users: {{reader: '{hashed}'}}\n")
    built: list[tuple[str, str, bool]] = []

    def noting(deps: object, routes: object) -> object:
        made = build_app(deps, routes)  # type: ignore[arg-type]
        built.extend(
            (route.method, route.resource.canonical, operation_of(route.handler) is not None)
            for route in made.router.routes()
            if route.resource is not None
        )
        return made

    patch = pytest.MonkeyPatch()
    patch.setattr("kcloud_exporter.app.build_app", noting)
    async with Fleet(FleetSpec(frozen=True)) as fleet:
        config = parse_config(fleet.kcloud_config("exporter", interval="60s"), {})
        options = ServeOptions(
            config_file=None,
            listen_host="127.0.0.1",
            listen_port=0,
            web_config_file=folder / "web.yaml",
            enable_lifecycle=False,
            allow_unauthenticated=False,
            storage_path=None,
            log_level="info",
            log_format="logfmt",
        )
        async with app.running(config, lambda: config, options, folder / "data") as (_, port):
            yield Served(port, built)
    patch.undo()


async def get(served: Served, path: str, *, locked: bool = False, method: str = "GET") -> tuple[int, bytes]:
    headers = {} if locked else {"Authorization": basic("reader", "secret")}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"http://127.0.0.1:{served.port}{path}", allow_redirects=False) as response,
    ):
        return response.status, await response.read()


async def test_every_route_of_the_api_is_in_the_document(served: Served) -> None:
    legacy = {f"/api/v1{old.path}" for old in ORIGINAL if old.who in ("redirect", "gone")}
    undescribed = {path for _, path, described in served.routes if path.startswith("/api/v1/") and not described}
    assert undescribed - WEBSOCKETS == legacy | {"/api/v1/openapi.json"}
    status, body = await get(served, "/api/v1/openapi.json")
    assert status == 200
    document = json.loads(body)
    OpenAPIV31SpecValidator(document).validate()
    assert {"/api/v1/explain", "/api/v1/monitoring/events/power", "/api/v1/export/power"} <= set(document["paths"])
    for name, known in PARAMETERS.items():
        described = {p["name"] for p in document["paths"][f"/api/v1/export/{name}"]["get"]["parameters"]}
        assert described == known
    assert {f"/api/v1{path}" for path, _, _ in STREAMS} <= {path for _, path, _ in served.routes}


async def test_every_route_of_the_original_is_served(served: Served) -> None:
    known = {re.sub(r"\{\w+\}", "{}", path) for _, path, _ in served.routes}
    missing = {
        old.path
        for old in ORIGINAL
        if old.who != "landing" and re.sub(r"\{\w+\}", "{}", f"/api/v1{old.path}") not in known
    }
    assert missing == set()


async def test_every_route_is_locked(served: Served) -> None:
    asked = 0
    for method, path, _ in served.routes:
        if path.startswith("/-/"):
            continue
        status, body = await get(served, re.sub(r"\{\w+\}", "x", path), locked=True, method=method)
        assert status == 401, (method, path)
        assert b"seoul-a" not in body
        asked += 1
    assert asked > 100


async def test_history_of_the_running_program_tells_what_the_snapshot_told(served: Served) -> None:
    status, body = await get(served, "/api/v1/clusters")
    now = {row["cluster"]: row["power_watts"] for row in json.loads(body)["data"]}
    begin = int(time.time()) // 60 * 60 - 300
    asked = f"start_time={begin}&end_time={begin + 600}&step=1m&breakdown_by=cluster"
    status, body = await get(served, f"/api/v1/monitoring/timeseries/power?{asked}")
    assert status == 200, body
    told = {series["labels"]["cluster"]: series["latest"] for series in json.loads(body)["data"]["series"]}
    assert told == {name: pytest.approx(watts, rel=1e-6) for name, watts in now.items()}


@pytest.mark.parametrize("path", ["/docs", "/docs/docs.js", "/api/v1/clusters", "/"])
async def test_pages_open_with_the_password(served: Served, path: str) -> None:
    status, body = await get(served, path)
    assert status == 200
    assert body
