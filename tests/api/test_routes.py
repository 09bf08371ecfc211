"""Every route of the original is there, takes its parameters, and answers in the one envelope."""

from __future__ import annotations

import re

import pytest

from kcloud_exporter.api.serving import all_routes
from kcloud_exporter.web.operations import operation_of
from kcloud_exporter.web.server import build_app
from tests.api.original import ORIGINAL, Old
from tests.api.paths import fill, names, question
from tests.api.program import Program

pytestmark = pytest.mark.asyncio(loop_scope="module")
_BY_PATH = {route.path: route for route in all_routes()}


def _plain(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


async def test_the_table_has_all_of_the_originals_routes() -> None:
    assert len(ORIGINAL) == 82
    assert len({(old.method, old.path) for old in ORIGINAL}) == 82


@pytest.mark.parametrize("old", [o for o in ORIGINAL if o.who == "api"], ids=lambda o: o.path)
async def test_a_route_of_the_original_answers_with_its_parameters(program: Program, old: Old) -> None:
    if old.path == "/system/metrics":
        reply = await program.get(old.path)
        assert reply.status == 200
        assert b"kcloud_exporter_build_info" in reply.body
        return
    route = next(route for path, route in _BY_PATH.items() if _plain(path) == _plain(old.path))
    assert set(old.parameters) <= {parameter.name for parameter in route.parameters}
    reply = await program.get(question(route, await names(program)))
    if "timeseries" in old.path:
        assert reply.status == 503, "no history is kept here"
        return
    if "{vm_id}" in old.path:
        assert (reply.status, reply.json["error"]["code"]) == (404, "not_found")
        return
    assert reply.status == 200, reply.body
    assert list(reply.json) == ["timestamp", "cluster", "resource_type", "data", "metadata"]
    assert reply.json["metadata"]["complete"] is True


@pytest.mark.parametrize("old", [o for o in ORIGINAL if o.who == "redirect"], ids=lambda o: o.path)
async def test_a_legacy_path_leads_to_its_successor_and_takes_the_query_along(program: Program, old: Old) -> None:
    parts = {"instance": "GPU-x", "namespace": "a b", "pod_name": "p"}
    reply = await program.get(fill(old.path, parts).replace(" ", "%20") + "?cluster=seoul-a&x=%0d%0a")
    assert reply.status == 308
    path, _, query = reply.headers["Location"].partition("?")
    assert query == "cluster=seoul-a&x=%0d%0a"
    assert any(
        re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", f"/api/v1{known}"), path) for known in [*_BY_PATH, "/export/power"]
    )


@pytest.mark.parametrize("old", [o for o in ORIGINAL if o.who == "gone"], ids=lambda o: o.path)
async def test_tokens_are_no_more(program: Program, old: Old) -> None:
    reply = await program.get(old.path, "POST")
    assert reply.status == 410
    assert "web configuration" in reply.json["error"]["message"]


async def test_every_route_of_the_api_is_described(program: Program) -> None:
    app = build_app(program.web_deps(), program.routes())
    undescribed = {
        route.resource.canonical
        for route in app.router.routes()
        if route.resource is not None
        and route.resource.canonical.startswith("/api/v1/")
        and operation_of(route.handler) is None
    }
    legacy = {f"/api/v1{old.path}" for old in ORIGINAL if old.who in ("redirect", "gone")}
    assert undescribed == legacy | {"/api/v1/openapi.json"}


async def test_the_metrics_of_the_exporter_name_routes_by_their_template(program: Program) -> None:
    program.observed.clear()
    await program.get("/accelerators/gpus/whatever-a-client-writes")
    await program.get("/infrastructure/containers/containerd://0123/metrics")
    assert program.observed == [
        "/api/v1/accelerators/gpus/{gpu_id}",
        "/api/v1/infrastructure/containers/{container_id}/metrics",
    ]
