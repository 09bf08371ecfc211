"""The store of history: what is asked of it, and what becomes of an answer that is none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter.config.load import parse_config
from kcloud_exporter.config.schema import HistoryConfig
from kcloud_exporter.errors import ConfigError, HistoryError
from kcloud_exporter.history.prometheus import PrometheusHistory

POWER, ENERGY = "kcloud_node_power_watts", "kcloud_node_energy_joules_total"
Answer = Callable[[str, dict[str, str]], web.Response]


def nothing(path: str, query: dict[str, str]) -> web.Response:  # noqa: ARG001
    return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": []}})


@asynccontextmanager
async def asked(answer: Answer = nothing, config: dict[str, Any] | None = None) -> AsyncIterator[Any]:
    """A history whose store answers as told, and the list of what it was asked."""
    queries: list[tuple[str, dict[str, str], str]] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        data = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        queries.append((request.path, data, request.headers.get("Authorization", "")))
        return answer(request.path, data)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    access = HistoryConfig.model_validate({"backend": "prometheus", "url": url, **(config or {})})
    history = PrometheusHistory(f"{url}/prefix/", access)
    try:
        yield history, queries
    finally:
        await history.close()
        await runner.cleanup()


async def test_the_query_is_a_name_of_the_catalogue_and_equalities_and_nothing_else() -> None:
    async with asked() as (history, queries):
        await history.series(POWER, {"node": 'x"} or vector(1) #', "cluster": "a\\b\n"}, 0, 3600, 300)
    ((path, data, _),) = queries

    assert path == "/prefix/api/v1/query_range"
    assert data["query"] == (
        "max by (cluster, node, component) (avg_over_time(kcloud_node_power_watts"
        r'{node="x\"} or vector(1) #", cluster="a\\b\n"}[299999ms]))'
    )
    assert (data["start"], data["end"], data["step"]) == ("300.000", "3600.000", "300.000")


@given(st.text(max_size=30))
def test_whatever_a_client_says_stays_inside_the_quotes_of_its_label(value: str) -> None:
    async def ask() -> list[Any]:
        async with asked() as (history, queries):
            try:
                await history.series(POWER, {"node": value}, 0, 3600, 300)
            except HistoryError as exc:
                assert exc.reason == "bad_request"  # noqa: PT017 - a lone surrogate is no text
            return list(queries)

    for _, data, _ in asyncio.run(ask()):
        head, tail = "max by (cluster, node, component) (avg_over_time(kcloud_node_power_watts{node=", "}[299999ms]))"
        assert data["query"].startswith(head)
        assert data["query"].endswith(tail)
        assert json.loads(data["query"][len(head) : -len(tail)]) == value


async def test_long_windows_are_asked_for_in_pages() -> None:
    async with asked() as (history, queries):
        await history.series(POWER, {}, 0, 11_000 * 60, 60)

    spans = [(float(data["start"]), float(data["end"])) for _, data, _ in queries]
    assert max((end - start) / 60 for start, end in spans) < 11_000
    assert [start for start, _ in spans[1:]] == [end + 60 for _, end in spans[:-1]]
    assert spans[0][0] == 60
    assert spans[-1][1] == 11_000 * 60


async def test_credentials_are_sent(tmp_path: Any) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    async with asked(config={"bearer_token_file": str(secret)}) as (history, queries):
        await history.series(POWER, {}, 0, 3600, 300)

    assert queries[0][2] == "Bearer s3cret"


def refusal(status: int, error: str) -> Answer:
    return lambda *_: web.json_response({"status": "error", "errorType": "x", "error": error}, status=status)


@pytest.mark.parametrize(
    ("answer", "reason", "told"),
    [
        (refusal(422, "query processing would load too many samples into memory"), "too_large", "ask for less"),
        (refusal(400, "http://internal:9090 has a secret"), "unavailable", "refuses the query"),
        (refusal(503, "down"), "unavailable", "refuses the query"),
        (lambda *_: web.Response(status=401), "unavailable", "does not answer (auth)"),
        (lambda *_: web.Response(status=302, headers={"Location": "http://x/"}), "unavailable", "(redirect)"),
        (lambda *_: web.Response(text="{}"), "unavailable", "status 200"),
        (lambda *_: web.Response(text="<html>", content_type="text/html"), "unavailable", "(content_type)"),
    ],
)
async def test_a_store_that_does_not_answer_is_unavailable_and_nothing_of_it_reaches_the_client(
    answer: Answer, reason: str, told: str
) -> None:
    async with asked(answer) as (history, _):
        for ask in (history.series(POWER, {}, 0, 7200, 300), history.increase(ENERGY, {}, 0, 7200)):
            with pytest.raises(HistoryError, match="store of history") as refused:
                await ask
            assert refused.value.reason == reason
            assert told in str(refused.value)
            assert "internal" not in str(refused.value)


async def test_questions_that_make_no_sense_never_reach_the_store() -> None:
    async with asked() as (history, queries):
        for ask in (
            history.series("up", {}, 0, 60, 60),
            history.series(POWER, {"__name__": "up"}, 0, 60, 60),
            history.increase(POWER, {}, 0, 60),
        ):
            with pytest.raises(HistoryError):
                await ask

    assert queries == []


def test_credentials_without_a_store_are_a_mistake() -> None:
    source = {"exporter": {"vendor": "dcgm", "targets": ["http://h:1/metrics"]}}
    data = {
        "clusters": [{"name": "a", "sources": [source]}],
        "history": {"basic_auth": {"username": "u", "password": "p"}},
    }
    with pytest.raises(ConfigError, match="belong to backend: prometheus"):
        parse_config(data, {})
