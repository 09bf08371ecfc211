"""The document is valid, complete, and true: every live answer and every example is what its schema says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from kcloud_exporter.api.serving import all_routes
from tests.api.paths import names, question
from tests.api.program import Program

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROUTES = all_routes()


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    return {}


async def document(program: Program, documents: dict[str, Any]) -> dict[str, Any]:
    if not documents:
        documents.update((await program.get("/openapi.json")).json)
    return documents


def check(instance: Any, schema: dict[str, Any], told: dict[str, Any]) -> None:
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "components": told["components"]}
    jsonschema.Draft202012Validator(whole).validate(instance)


def operations(told: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in told["paths"].items():
        for operation in item.values():
            yield path, operation


async def test_it_is_valid_openapi(program: Program, documents: dict[str, Any]) -> None:
    told = await document(program, documents)
    assert told["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(told).validate()
    ids = [operation["operationId"] for _, operation in operations(told)]
    assert len(ids) == len(set(ids))


async def test_every_route_says_what_it_does_takes_and_answers(program: Program, documents: dict[str, Any]) -> None:
    told = await document(program, documents)
    assert {f"/api/v1{route.path}" for route in ROUTES} <= set(told["paths"])
    for path, operation in operations(told):
        assert operation["summary"], path
        assert operation["description"], path
        for parameter in operation["parameters"]:
            assert parameter["description"], (path, parameter["name"])
            if "example" in parameter:
                jsonschema.Draft202012Validator(parameter["schema"]).validate(parameter["example"])
            else:
                assert parameter["name"] == "label_selector", "what is always refused has no example"
        for media, content in operation["responses"]["200"]["content"].items():
            check(content["example"], content["schema"], told)
            assert media in ("application/json", "text/plain")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
async def test_a_live_answer_is_what_its_schema_says(program: Program, documents: dict[str, Any], route: Any) -> None:
    told = await document(program, documents)
    reply = await program.get(question(route, await names(program)))
    operation = told["paths"][f"/api/v1{route.path}"]["get"]
    assert reply.headers["Content-Type"].startswith("application/json")
    if reply.status == 200:
        check(reply.json, operation["responses"]["200"]["content"]["application/json"]["schema"], told)
    else:
        assert str(reply.status) in operation["responses"]
        check(reply.json, told["components"]["schemas"]["Problem"], told)


async def test_options_change_the_answer_within_its_schema(program: Program, documents: dict[str, Any]) -> None:
    told = await document(program, documents)
    for path, asked in (
        ("/accelerators/gpus", "include_metrics=false&include_power=false"),
        ("/clusters/{cluster_name}/power", "breakdown_by=workload_type&include_efficiency=true"),
        ("/clusters/{cluster_name}/topology", "include_pods=false"),
        ("/infrastructure/nodes/{node_name}", "include_power=false"),
    ):
        filled = path.format(cluster_name="seoul-a", node_name="gpu-2")
        reply = await program.get(f"{filled}?{asked}")
        content = told["paths"][f"/api/v1{path}"]["get"]["responses"]["200"]["content"]
        check(reply.json, content["application/json"]["schema"], told)
    reply = await program.get("/accelerators/gpus?include_metrics=false&include_power=false")
    assert not {"power_watts", "utilization_percent"} & set(reply.data[0])


async def test_the_page_that_shows_it_needs_nothing_from_elsewhere(program: Program) -> None:
    page = await program.get("/docs")
    script, style = await program.get("/docs/docs.js"), await program.get("/docs/docs.css")
    assert (page.status, script.status, style.status) == (200, 200, 200)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    for body in (page.body, script.body, style.body):
        assert b"//" not in body.replace(b"// Draws", b"").replace(b"/** ", b"")
