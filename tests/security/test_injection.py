"""Words of clients that would like to be PromQL: whatever they say, the store hears only what the program means.

`KCLOUD_TEST_ALL` asks every parameter of every route with every payload; the suite takes turns.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, quote

import promql_parser
import pytest
import pytest_asyncio
from aiohttp import web

from kcloud_exporter.catalogue import FAMILIES
from tests.faults.clusters import config_of, page_of
from tests.faults.whole import product
from tests.sources.servers import serving
from tests.web.program import fetch

QUOTES = ('"', "'", "`", '\\"', '\\\\"', "%22", "\u201d")
WORDS = (
    "} or vector(1) #",
    "} or on() kcloud_site_cost #",
    '}[5m]) or up{a="b',
    "}) by (cluster) #",
    ",cluster=~.*",
    ' or 1=1 or ""="',
    "\n} or up\n#",
    "} offset 10y #",
)
BARE = (
    *(".*", ".+|.*", "^.*$", "a|b", "a\nb", "a\r\nX: y", "\x00", "\\", "\\\\", "{}", "{__name__=~'.+'}", "${jndi:x}"),
    *("../../etc/passwd", "http://169.254.169.254/", "file:///etc/passwd", "=1+1", "<script>", "'; drop table x; --"),
    *("(.+)*\\?", "(a+)+$" + "a" * 400, "\u202e", "\U0001f600", "x" * 500, "NaN", "1e999", "-1", "{{7*7}}", "%s%n"),
    *('kcloud_x{a="b"}', "sum(up)", "up offset 5m", "topk(1, up)", "rate(x[5m])", "1 or vector(1)", "vector(1)"),
)
PAYLOADS = (*(q + w for q, w in itertools.product(QUOTES, WORDS)), *BARE)
SAID = re.compile(r'"(?:[^"\\]|\\.)*"')
Running = tuple[int, list[str], list[str]]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """The product with a store that notes every query, and every path that anything was asked at."""
    queries: list[str] = []
    others: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/api/v1/query"):
            said = {name: values[0] for name, values in parse_qs(await request.text()).items()}
            queries.append(said.get("query", ""))
            kind = "matrix" if request.path.endswith("range") else "vector"
            return web.json_response({"status": "success", "data": {"resultType": kind, "result": []}})
        if request.path != "/a":
            others.append(request.path)
        return web.Response(body=page_of("a"), content_type="text/plain")

    async with serving(answer) as url:
        history = {"backend": "prometheus", "url": f"{url}/"}
        data = config_of({"a": f"{url}/a"}, history=history)
        data["global"] = {"interval": "60s", "timeout": "10s", "max_staleness": "120s"}
        async with product(data, tmp_path_factory.mktemp("product")) as (_, port):
            yield port, queries, others


async def parameters(port: int) -> list[tuple[str, str, str]]:
    """(path, name, where) of every parameter that the OpenAPI document lists."""
    import json

    _, _, body = await fetch(port, "/api/v1/openapi.json", Accept_Encoding="identity")
    document: dict[str, Any] = json.loads(body)
    found = []
    for path, operations in document["paths"].items():
        for operation in operations.values():
            listed = [p if "$ref" not in p else resolved(document, p["$ref"]) for p in operation.get("parameters", [])]
            found += [(path, p["name"], p["in"]) for p in listed if p["in"] in ("query", "path")]
    return found


def resolved(document: dict[str, Any], reference: str) -> dict[str, Any]:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


async def test_there_are_enough_of_them() -> None:
    assert len(PAYLOADS) >= 90


async def test_no_word_of_a_client_changes_a_query(running: Running) -> None:
    port, queries, others = running
    known = [each for each in await parameters(port) if "/events/" not in each[0] and "/stream/" not in each[0]]
    assert len(known) > 150
    turns = itertools.cycle(PAYLOADS)
    every = "KCLOUD_TEST_ALL" in os.environ
    asked = [(each, said) for each in known for said in (PAYLOADS if every else [next(turns) for _ in range(6)])]

    async def ask(path: str, name: str, where: str, said: str) -> tuple[int, str]:
        written = quote(said.encode("utf-8", "replace"), safe="")
        filled = re.sub(r"\{(\w+)\}", lambda m: written if m[1] == name and where == "path" else "a", path)
        query = f"?{quote(name)}={written}" if where == "query" else ""
        if "timeseries" in path and name != "period":
            query += ("&" if query else "?") + "period=1h"
        if path.endswith("timeseries/metrics") and name != "metric_name":
            query += "&metric_name=power_watts"
        status, _, _ = await fetch(port, f"{filled}{query}")
        return status, f"{filled}{query}"

    for start in range(0, len(asked), 16):
        for status, url in await asyncio.gather(*(ask(*each, said) for each, said in asked[start : start + 16])):
            assert status < 500 or status == 503, url

    assert len(queries) > 50, "the store was asked"
    assert others == [], "and nothing else was, anywhere"
    shapes = {SAID.sub('""', query) for query in queries}
    for query in set(queries):
        assert_is_ours(query)
    for shape in shapes:
        assert re.fullmatch(
            r"(max|sum|min|avg) by \([a-z_, ]*\) \((\w+_over_time)\((kcloud_\w+)\{([a-z_]+=\"\"(, )?)*\}\[\d+ms\]\)\)|"
            r"\w+\(?.*kcloud_\w+\{([a-z_]+=\"\"(, )?)*\}.*",
            shape,
        ), shape


def assert_is_ours(query: str) -> None:
    """One family of the catalogue, equalities on its own labels: read by Prometheus's own grammar."""
    selectors: list[Any] = []

    def walk(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            selectors.append(node)
        for name in ("expr", "lhs", "rhs", "vs", "vector_selector", "args"):
            inner = getattr(node, name, None)
            for each in inner if isinstance(inner, list) else [inner]:
                if each is not None:
                    walk(each)

    walk(promql_parser.parse(query))
    assert selectors, query
    names = {selector.name for selector in selectors}
    assert len(names) == 1, query
    family = FAMILIES[names.pop()]
    for selector in selectors:
        for matcher in selector.matchers.matchers:
            assert matcher.op == promql_parser.MatchOp.Equal, query
            assert matcher.name in family.labels, query
