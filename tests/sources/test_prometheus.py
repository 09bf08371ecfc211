"""A Prometheus as source, first a pretended one, then real ones."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from kcloud_exporter.model import Failure, Outcome, Scrape
from kcloud_exporter.sources.prometheus import PrometheusSource
from tests.real.programs import wait_until
from tests.real.prometheus import prometheus, victoria_metrics
from tests.sources.pages import Series, labels
from tests.sources.servers import for_ever, serving, talking

VECTOR: dict[str, Any] = {"status": "success", "data": {"resultType": "vector", "result": []}}
NOTHING: dict[str, Any] = {"status": "success", "data": {"resultType": "matrix", "result": []}}


def source_of(url: str, **more: Any) -> PrometheusSource:
    return PrometheusSource(**{"cluster": "c", "url": url, "gauges": ["g"], "counters": ["n_total"], **more})


async def collected(source: PrometheusSource, times: int = 1) -> Outcome:
    try:
        for _ in range(times):
            (outcome,) = await source.collect(20.0)
        return outcome
    finally:
        await source.close()


def series_of(outcome: Outcome) -> Series:
    assert isinstance(outcome, Scrape), outcome
    stamps = [None] * len(outcome.rows) if outcome.timestamps is None else outcome.timestamps.tolist()
    columns = zip(outcome.rows.tolist(), outcome.values.tolist(), stamps, strict=True)
    return {
        frozenset(outcome.table.series(row).items()): (value, None if stamp is None or stamp != stamp else stamp)
        for row, value, stamp in columns
    }


class Pretended:
    """A server with a query API, with or without /federate; remembers what it was asked."""

    def __init__(self, federate: Callable[[], web.Response] | None = None) -> None:
        self.federate = federate
        self.queries: list[str] = []
        self.pages: list[list[str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        if request.path.endswith("/federate"):
            assert request.method == "GET"
            assert len(str(request.rel_url)) < 7000
            self.pages.append(request.query.getall("match[]"))
            return self.federate() if self.federate else web.Response(status=404)
        assert (request.method, request.path) == ("POST", "/prefix/api/v1/query")
        form = parse_qs((await request.read()).decode(), strict_parsing=True)
        (query,) = form["query"]
        self.queries.append(query)
        if query.startswith('{__name__=~"up"'):
            result = [{"metric": {"__name__": "up", "pod": "p"}, "value": [5, "1"]}]
        elif query.endswith("[45000ms]"):
            result = [{"metric": {"__name__": "n_total"}, "values": [[4, "1"], [5.5, "2"]]}]
            return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": result}})
        else:
            result = [{"metric": {"__name__": "g", "x": "y"}, "value": [6, "1.5"]}]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


FEDERATED: Series = {labels("g", x="y"): (1.5, 5.0), labels("n_total"): (2.0, 6.0)}
QUERIED: Series = {labels("g", x="y"): (1.5, None), labels("n_total"): (2.0, 5.5), labels("up", pod="p"): (1.0, None)}


def page() -> web.Response:
    text = b'# TYPE g untyped\ng{x="y",instance=""} 1.5 5000\n# TYPE n_total untyped\nn_total 2 6000\n'
    return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4"})


async def test_query_asks_gauges_counters_and_own_pods() -> None:
    server = Pretended()
    async with serving(server.answer) as url:
        source = source_of(
            f"{url}/prefix/",
            method="query",
            match={"dc": 'a"b', "rack": "~r[12]-.*"},
            gauges=["g", "up", "a.b", "n_total"],
        )
        assert series_of(await collected(source)) == QUERIED
    assert source.names == (f"prometheus@{url.removeprefix('http://')}",)
    assert sorted(server.queries) == [
        r'{__name__=~"a\\.b|g",dc="a\"b",rack=~"r[12]-.*"}',
        r'{__name__=~"n_total",dc="a\"b",rack=~"r[12]-.*"}[45000ms]',
        r'{__name__=~"up",dc="a\"b",rack=~"r[12]-.*",pod!=""}',
    ]


async def test_federate_asks_once_for_all() -> None:
    server = Pretended(page)
    async with serving(server.answer) as url:
        assert series_of(await collected(source_of(f"{url}/prefix", method="federate"))) == FEDERATED
    assert sorted(selector for page in server.pages for selector in page) == [
        '{__name__=~"g"}',
        '{__name__=~"n_total"}',
        '{__name__=~"up",pod!=""}',
    ]
    assert not server.queries


@pytest.mark.parametrize("method", ["query", "federate"])
async def test_long_lists_of_names_are_split(method: str) -> None:
    names = [f"a_name_of_ordinary_length_{n}" for n in range(700)]
    server = Pretended(page)
    async with serving(server.answer) as url:
        source = source_of(f"{url}/prefix", method=method, gauges=names, counters=[f"{n}_total" for n in names])
        assert isinstance(await collected(source), Scrape)
    asked = server.queries + [selector for page in server.pages for selector in page]
    found = [name for query in asked for name in re.split(r"[|]", query.split('"')[1])]
    assert sorted(found) == sorted([*names, *(f"{n}_total" for n in names), "up"])
    assert max(map(len, asked)) < 7000
    assert len(asked) < 16


async def test_auto_prefers_federate() -> None:
    server = Pretended(page)
    async with serving(server.answer) as url:
        assert series_of(await collected(source_of(f"{url}/prefix"), 3)) == FEDERATED
    assert not server.queries


def html() -> web.Response:
    return web.Response(text="<html>", content_type="text/html")


@pytest.mark.parametrize(
    "federate",
    [
        None,
        lambda: web.Response(status=400),
        lambda: web.Response(status=405),
        lambda: web.Response(status=501),
        lambda: web.Response(status=302, headers={"Location": "/graph"}),
        html,
    ],
    ids=["404", "400", "405", "501", "302", "html"],
)
async def test_auto_queries_where_there_is_no_federate_and_remembers(
    federate: Callable[[], web.Response] | None,
) -> None:
    server = Pretended(federate)
    async with serving(server.answer) as url:
        assert series_of(await collected(source_of(f"{url}/prefix"), 3)) == QUERIED
    asked_in_vain = {selector for page in server.pages for selector in page}
    assert len(server.pages) <= len(asked_in_vain), "federate was tried in the first cycle only"
    assert len(server.queries) == 9


async def test_auto_does_not_hide_an_outage() -> None:
    server = Pretended(lambda: web.Response(status=503))
    async with serving(server.answer) as url:
        outcome = await collected(source_of(f"{url}/prefix"))
    assert isinstance(outcome, Failure)
    assert outcome.reason == "http_5xx"
    assert not server.queries


async def test_one_part_that_fails_fails_the_source() -> None:
    async def handler(request: web.Request) -> web.Response:
        query = parse_qs((await request.read()).decode())["query"][0]
        if query.endswith("]"):
            body = {
                "status": "error",
                "errorType": "execution",
                "error": "query processing would load too many samples",
            }
            return web.json_response(body, status=422)
        return web.json_response(VECTOR)

    async with serving(handler) as url:
        outcome = await collected(source_of(url, method="query"))
    assert isinstance(outcome, Failure)
    assert outcome.reason == "query_error"
    assert "too many samples" in outcome.message


async def test_an_error_that_is_not_of_the_api_keeps_its_status() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=503, text="no healthy upstream")

    async with serving(handler) as url:
        outcome = await collected(source_of(url, method="query"))
    assert isinstance(outcome, Failure)
    assert outcome.reason == "http_5xx"


async def test_a_hung_upstream_costs_one_deadline() -> None:
    async with talking(for_ever) as raw:
        source = source_of(raw.url)
        (outcome,) = await source.collect(0.3)
        await source.close()
    assert isinstance(outcome, Failure)
    assert outcome.reason == "timeout"
    assert raw.connections <= 2, "no second attempt by another method"


async def test_a_partial_answer_is_used_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: web.Request) -> web.Response:
        query = parse_qs((await request.read()).decode())["query"][0]
        if query.endswith("]"):
            return web.json_response(NOTHING)
        return web.json_response({**VECTOR, "warnings": ["store 3 is away"]})

    async with serving(handler) as url:
        assert isinstance(await collected(source_of(url, method="query"), 3), Scrape)
    assert [record.__dict__["detail"] for record in caplog.records] == ["store 3 is away"]


# Real servers


async def exporter(_: web.Request) -> web.Response:
    text = b'# TYPE g gauge\ng{x="y z",q="a\\"b\\\\\\nc"} 1.5\n# TYPE n_total counter\nn_total{x="1"} 7\nh 3\n'
    return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4"})


def scrape_configs(url: str) -> dict[str, Any]:
    target = {"targets": [url.removeprefix("http://")], "labels": {"pod": "exporter-1"}}
    job = {"job_name": "j", "scrape_interval": "1s", "static_configs": [target]}
    return {"global": {"scrape_timeout": "1s"}, "scrape_configs": [job]}


@pytest.mark.real
@pytest.mark.parametrize("upstream", [prometheus, victoria_metrics])
async def test_query_and_federate_bring_the_same_series(upstream: Any, tmp_path: Path) -> None:

    async with serving(exporter) as url:

        def ask() -> dict[str, Series]:
            found: dict[str, Series] = {}
            with upstream(scrape_configs(url), tmp_path) as server:
                wait_until(lambda: server.query("g"), "the first scrape is stored", 30.0)
                for method in ("query", "federate", "auto"):
                    source = source_of(server.url, method=method)
                    found[method] = series_of(asyncio.run(collected(source)))
            return found

        found = await asyncio.to_thread(ask)
    target = {"instance": url.removeprefix("http://"), "job": "j", "pod": "exporter-1"}
    expected = {
        labels("g", x="y z", q='a"b\\\nc', **target): 1.5,
        labels("n_total", x="1", **target): 7.0,
        labels("up", **target): 1.0,
    }
    for method, series in found.items():
        assert {key: value for key, (value, _) in series.items()} == expected, method
    timed = {key: stamp is not None for key, (_, stamp) in found["query"].items()}
    assert timed == {key: dict(key)["__name__"] == "n_total" for key in expected}
    assert all(stamp is not None for _, stamp in found["federate"].values())
    assert found["auto"].keys() == found["federate"].keys()
