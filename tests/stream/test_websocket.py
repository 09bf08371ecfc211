"""The WebSocket: the same events, a filter that can be changed, and nothing that a client says breaks it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter import catalogue
from kcloud_exporter.catalogue import Family
from kcloud_exporter.errors import StreamError
from kcloud_exporter.model import Snapshot
from kcloud_exporter.stream.filters import Filter, View, parse
from kcloud_exporter.stream.messages import Subscribe, read_message
from tests.stream.ground import EVENTS, SOCKET, Rows, Server, listening, one_node, snapshot, streaming
from tests.web.program import fetch

METRICS = "/api/v1/monitoring/stream/metrics"
Socket = aiohttp.ClientWebSocketResponse


@asynccontextmanager
async def connected(server: Server, query: str = "", *, path: str = SOCKET, **headers: str) -> AsyncIterator[Socket]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.url}{path}?{query}", headers=sent, autoping=False) as client,
    ):
        yield client


async def hear(client: Socket) -> dict[str, Any]:
    message = await asyncio.wait_for(client.receive(), 10)
    assert message.type is WSMsgType.TEXT, message
    told: dict[str, Any] = json.loads(message.data)
    return told


async def ask(client: Socket, **message: Any) -> dict[str, Any]:
    await client.send_json(message)
    return await hear(client)


PAIR = {("c1", "n1", "train", "gpu"): 300.0, ("c2", "n1", "serve", "npu"): 70.0}


async def test_the_payload_is_that_of_the_other_kind() -> None:
    async with streaming() as server:
        server.store.publish(snapshot(1, PAIR))
        async with connected(server, "threshold_watts=100") as client, listening(server, "threshold_watts=100") as sse:
            for event in await sse.take(2):
                assert event.data == await hear(client)


async def test_the_query_string_is_the_first_filter_and_a_message_takes_its_place() -> None:
    async with streaming() as server:
        server.store.publish(snapshot(1, PAIR))
        async with connected(server, "cluster=c1") as client:
            assert (await hear(client))["data"]["total_power_watts"] == 300
            answer = await ask(client, type="subscribe", cluster=["c2"], threshold_watts=50, interval=2)
            assert answer["type"] == "subscribed"
            assert answer["filter"] == {"cluster": ["c2"], "threshold_watts": [50], "interval": 2}
            assert [(await hear(client))["type"] for _ in range(2)] == ["threshold_exceeded", "power_update"]
            server.store.publish(snapshot(2, {**PAIR, ("c2", "n1", "serve", "npu"): 80.0}))
            assert (await hear(client))["data"]["total_power_watts"] == 80


async def test_nothing_comes_after_unsubscribe_and_what_was_missed_comes_with_the_next_subscribe() -> None:
    async with streaming() as server:
        server.store.publish(one_node(1, 1))
        async with connected(server) as client, listening(server) as other:
            first = await hear(client)
            await other.take(1)
            assert await ask(client, type="unsubscribe") == {"type": "unsubscribed"}
            for cycle in (2, 3):
                server.store.publish(one_node(cycle, cycle))
                await other.take(1)
            assert await ask(client, type="ping") == {"type": "pong"}
            assert (await ask(client, type="subscribe", last_event_id=first["id"]))["type"] == "subscribed"
            assert [(await hear(client))["data"]["total_power_watts"] for _ in range(2)] == [2, 3]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", "not understood"),
        ("{", "not understood"),
        ("[]", "Expected `object`"),
        ('{"type": "shout"}', "shout"),
        ('{"cluster": "c1"}', "type"),
        ('{"type": "subscribe", "clusters": ["c1"]}', "clusters"),
        ('{"type": "subscribe", "cluster": 1}', "cluster"),
        ('{"type": "subscribe", "threshold_watts": "100"}', "threshold_watts"),
        ('{"type": "subscribe", "threshold_watts": 1e999}', "threshold_watts"),
        ('{"type": "subscribe", "limit": 1.5}', "limit"),
        ('{"type": "subscribe", "limit": 99999999999999999999}', "limit"),
        ('{"type": "subscribe", "limit": 0}', "limit"),
        ('{"type": "subscribe", "view": "live"}', "view"),
        ('{"type": "subscribe", "cluster": "zz"}', "there is no cluster 'zz'"),
        ('{"type": "ping", "x": 1}', "x"),
        ("[" * 4000, "not understood"),
    ],
)
async def test_what_is_not_understood_is_told_and_the_stream_goes_on(said: str, words: str) -> None:
    async with streaming() as server:
        server.store.publish(one_node(1, 1))
        async with connected(server) as client:
            await hear(client)
            await client.send_str(said)
            error = await hear(client)
            assert error["type"] == "error"
            assert words in error["error"]["message"]
            server.store.publish(one_node(2, 2))
            assert (await hear(client))["data"]["total_power_watts"] == 2


async def closed_with(client: Socket) -> int | None:
    async with asyncio.timeout(10):
        while (message := await client.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
            pass
        return int(message.data) if message.type is WSMsgType.CLOSE else client.close_code


class TestMetrics:
    """The other WebSocket: what each accelerator does."""

    def fleet(self) -> Snapshot:
        info: Rows = {
            ("c1", "n1", "GPU-0", "0", "gpu", "nvidia", "H100", "", ""): 1.0,
            ("c1", "n1", "GPU-1", "1", "gpu", "nvidia", "H100", "", ""): 1.0,
            ("c1", "n2", "NPU-0", "0", "npu", "furiosa", "RNGD", "", ""): 1.0,
        }
        heat: Rows = {
            ("c1", "n1", "GPU-0", "gpu"): 60.0,
            ("c1", "n1", "GPU-0", "memory"): 71.0,
            ("c1", "n2", "NPU-0", "soc"): 40.0,
        }
        use: Rows = {("c1", "n1", "GPU-0"): 0.5, ("c1", "n1", "GPU-1"): 0.25, ("c1", "n2", "NPU-0"): math.nan}
        families: dict[Family, Rows] = {
            catalogue.ACCELERATOR_INFO: info,
            catalogue.ACCELERATOR_TEMPERATURE: heat,
            catalogue.ACCELERATOR_UTILIZATION: use,
        }
        return snapshot(1, PAIR, more={"c1": families})

    async def test_each_device_and_all_together(self) -> None:
        async with streaming() as server:
            server.store.publish(self.fleet())
            async with connected(server, path=METRICS) as client:
                told = await hear(client)
                assert (told["type"], told["metric_name"]) == ("metrics_update", "utilization")
                known = {d["uuid"]: d.get("utilization_percent") for d in told["data"]["devices"]}
                assert known == {"GPU-0": 50, "GPU-1": 25, "NPU-0": None}, "the unknown is absent"
                assert told["data"]["summary"] == {
                    "total_count": 3,
                    "utilization_percent_known_count": 2,
                    "avg_utilization_percent": 37.5,
                }
                await ask(client, type="subscribe", metric_name="temperature", resource_type="gpus")
                summary = (await hear(client))["data"]["summary"]
                assert (summary["total_count"], summary["max_temperature_celsius"]) == (2, 71)

    async def test_what_means_nothing_here_is_refused(self) -> None:
        async with streaming() as server, connected(server, path=METRICS) as client:
            for said, word in (
                ({"namespace": "a"}, "namespace"),
                ({"resource_type": "cpu"}, "no accelerators"),
                ({"metric_name": "smell"}, "smell"),
            ):
                assert word in (await ask(client, type="subscribe", **said))["error"]["message"]


class TestClosing:
    async def test_binary_messages_are_not_supported(self) -> None:
        async with streaming() as server, connected(server) as client:
            await client.send_bytes(b"\0\xff")
            assert await closed_with(client) == 1003

    async def test_a_message_that_is_too_large(self) -> None:
        async with streaming() as server, connected(server) as client:
            await client.send_str(json.dumps({"type": "subscribe", "cluster": ["c" * 5000]}))
            assert await closed_with(client) == 1009

    async def test_text_that_is_no_utf8(self) -> None:
        async with streaming() as server, connected(server) as client:
            await client.send_frame(b"\xff\xfe", WSMsgType.TEXT)
            assert await closed_with(client) == 1007

    async def test_too_many_messages(self) -> None:
        async with streaming() as server, connected(server) as client:
            for _ in range(40):
                await client.send_json({"type": "ping"})
            assert await closed_with(client) == 1008
            assert (await fetch(server.port, "/-/healthy"))[0] == 200

    async def test_the_end_of_the_server(self) -> None:
        async with streaming() as server, connected(server) as client:
            server.store.publish(one_node(1, 1))
            await hear(client)
            closing = asyncio.create_task(server.hub.close())
            assert await closed_with(client) == 1001
            await closing


class TestManners:
    async def test_a_ping_of_the_protocol_is_answered(self) -> None:
        async with streaming() as server, connected(server) as client:
            await client.ping(b"there?")
            message = await asyncio.wait_for(client.receive(), 5)
            assert (message.type, message.data) == (WSMsgType.PONG, b"there?")

    async def test_no_page_of_another_origin(self) -> None:
        async with streaming() as server:
            for origin in ("https://evil.example", "null"):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    async with connected(server, Origin=origin):
                        pass
                assert refused.value.status == 403
            async with connected(server, Origin=server.url):
                pass

    async def test_plain_http_is_told_what_this_is(self) -> None:
        async with streaming() as server:
            status, _, body = await fetch(server.port, SOCKET)
        assert status == 400
        assert b"WebSocket" in body

    async def test_a_query_string_that_is_wrong_is_refused_before_the_upgrade(self) -> None:
        async with streaming() as server:
            for query, code in (("nod=1", 400), ("cluster=zz", 404), ("view=live", 400)):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    async with connected(server, query):
                        pass
                assert refused.value.status == code

    async def test_both_kinds_share_one_limit(self) -> None:
        async with streaming(clients=2) as server, connected(server), listening(server):
            assert (await fetch(server.port, EVENTS))[0] == 503
            with pytest.raises(aiohttp.WSServerHandshakeError):
                async with connected(server):
                    pass
            assert server.counted('kcloud_exporter_stream_clients{kind="websocket"}') == 1


NAMES = st.sampled_from([*Subscribe.__struct_fields__, "type", "x"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["c1", "all"]),
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=50,
)
MESSAGES = st.builds(
    lambda kind, rest: json.dumps({**rest, "type": kind}),
    st.sampled_from(["subscribe", "unsubscribe", "ping"]),
    st.dictionaries(NAMES, VALUES, max_size=5),
)


def outcome(pairs: list[tuple[str, str]], *views: View) -> Filter | StreamError:
    try:
        return parse(pairs, {"c1", "c2"}, views)
    except StreamError as refused:
        return refused


def clear(refused: StreamError) -> bool:
    return refused.status in (400, 404) and bool(str(refused))


@given(st.text() | MESSAGES | VALUES.map(json.dumps))
def test_every_message_gives_a_filter_or_one_clear_refusal(text: str) -> None:
    try:
        said = read_message(text)
    except StreamError as exc:
        assert clear(exc)  # noqa: PT017 - either outcome is right
        return
    wanted = outcome(said.pairs(), "power") if isinstance(said, Subscribe) else Filter()
    if isinstance(wanted, Filter):
        assert outcome(Subscribe(**wanted.told()).pairs(), "power") == wanted, "what is told can be asked for again"
    else:
        assert clear(wanted)


@given(st.lists(st.tuples(st.sampled_from([*Filter.__slots__, "x"]), st.text(max_size=20)), max_size=6))
def test_every_query_gives_a_filter_or_one_clear_refusal(pairs: list[tuple[str, str]]) -> None:
    wanted = outcome(pairs, "power", "live")
    if isinstance(wanted, Filter):
        assert outcome(pairs[::-1], "power", "live") == wanted, "order makes no other filter"
    else:
        assert clear(wanted)
