"""Server-sent events over real sockets: what a client gets, what it gets again, and what it cannot do to others."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import aiohttp
import bcrypt
import pytest

from kcloud_exporter.stream import hub as hub_module
from kcloud_exporter.stream.routes import routes
from kcloud_exporter.web.auth import WebAuth
from kcloud_exporter.web.protection import Limits
from kcloud_exporter.web.server import build_app
from tests.stream.ground import EVENTS, Listener, Server, listening, one_node, snapshot, streaming, totals
from tests.web.program import Program, basic, fetch


class TestEvents:
    async def test_the_present_state_comes_first_and_then_every_cycle(self) -> None:
        async with streaming() as server:
            server.store.publish(one_node(1, 100))
            async with listening(server) as client:
                heard = await client.take(1)
                for cycle in (2, 3):
                    server.store.publish(one_node(cycle, 100 * cycle))
                    heard += await client.take(1)

        assert totals(heard) == [100, 200, 300]
        assert {event.type for event in heard} == {"power_update"}
        assert [event.id for event in heard] == [event.data["id"] for event in heard]
        assert len({event.id for event in heard}) == 3
        assert client.retry == [3000]

    async def test_who_comes_before_the_first_cycle_waits_for_it(self) -> None:
        async with streaming() as server, listening(server) as client:
            server.store.publish(one_node(1, 100))
            assert totals(await client.take(1)) == [100]

    async def test_headers_keep_proxies_from_holding_events_back(self) -> None:
        async with streaming() as server, listening(server, Accept_Encoding="gzip") as client:
            headers = client.response.headers
            assert headers["Content-Type"].startswith("text/event-stream")
            assert headers["Cache-Control"] == "no-store, no-transform"
            assert headers["X-Accel-Buffering"] == "no"
            assert "Content-Encoding" not in headers
            assert headers["X-Content-Type-Options"] == "nosniff"

    async def test_head_answers_and_opens_nothing(self) -> None:
        async with streaming(clients=1) as server:
            for _ in range(3):
                status, headers, _ = await fetch(server.port, EVENTS, "HEAD")
                assert (status, headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
            assert server.counted('kcloud_exporter_stream_clients{kind="sse"}') == 0

    async def test_an_interval_thins_the_events_out(self) -> None:
        async with streaming() as server:
            server.store.publish(one_node(0, 1))
            async with listening(server, "interval=30") as thin, listening(server) as full:
                await full.take(1)
                for cycle in range(1, 8):  # ten seconds apart
                    server.store.publish(one_node(cycle, 1 + cycle))
                    await full.take(1)
                assert totals(await thin.take(3)) == [1, 4, 7]

    async def test_equal_filters_share_one_serialisation(self) -> None:
        async with streaming() as server:
            server.store.publish(one_node(1, 1))
            async with (
                listening(server, "cluster=c1&cluster=c2") as one,
                listening(server, "cluster=c2&cluster=c1&cluster=c2") as two,
            ):
                assert (await one.take(1))[0].id == (await two.take(1))[0].id

    async def test_silence_is_broken_by_comments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.05)
        async with streaming() as server:
            server.store.publish(one_node(1, 1))
            async with listening(server) as client:
                await client.take(1)
                await asyncio.sleep(0.3)
                server.store.publish(one_node(2, 2))
                await client.take(1)
        assert "heartbeat" in client.comments


class TestResume:
    @pytest.mark.parametrize("by", ["header", "parameter"])
    async def test_exactly_what_was_missed_comes_again(self, by: str) -> None:
        async with streaming() as server:
            server.store.publish(one_node(0, 1))
            async with listening(server) as stays:
                heard = await stays.take(1)
                for cycle in range(1, 8):
                    server.store.publish(one_node(cycle, 1 + cycle))
                    heard += await stays.take(1)
                for event in heard[:8]:
                    query = f"last_event_id={event.id}" if by == "parameter" else ""
                    headers = {"Last_Event_ID": event.id} if by == "header" else {}
                    async with listening(server, query, **headers) as back:
                        server.store.publish(one_node(len(heard), 1 + len(heard)))
                        heard += await stays.take(1)
                        expected = heard[heard.index(event) + 1 :]
                        assert [e.id for e in await back.take(len(expected))] == [e.id for e in expected]

    async def test_events_go_on_without_readers_so_that_they_can_be_had_later(self) -> None:
        async with streaming() as server:
            server.store.publish(one_node(1, 1))
            async with listening(server) as client:
                (last,) = await client.take(1)
            async with listening(server, "limit=5") as other:  # another filter, so the first has no reader now
                await other.take(1)
                for cycle in (2, 3, 4):
                    server.store.publish(one_node(cycle, cycle))
                    await other.take(1)
            async with listening(server, Last_Event_ID=last.id) as back:
                assert totals(await back.take(3)) == [2, 3, 4]

    @pytest.mark.parametrize("unknown", ["x", "0-1", "ffffffffffff-9", "-", "1" * 500, "<>", "{epoch}-999999"])
    async def test_an_id_that_is_not_known_gives_a_gap_and_the_present_state(self, unknown: str) -> None:
        async with streaming() as server:
            server.store.publish(one_node(1, 7))
            async with listening(server) as client:
                (event,) = await client.take(1)
            last_id = unknown.replace("{epoch}", event.id.split("-")[0])
            async with listening(server, Last_Event_ID=last_id) as client:
                lost, state = await client.take(2)
        assert lost.type == "gap"
        assert (state.type, state.data["data"]["total_power_watts"]) == ("power_update", 7)

    async def test_what_the_ring_has_lost_is_a_gap(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kcloud_exporter.stream.channel.RING_EVENTS", 3)
        async with streaming() as server:
            server.store.publish(one_node(1, 1))
            async with listening(server) as client:
                heard = await client.take(1)
                for cycle in range(2, 8):
                    server.store.publish(one_node(cycle, cycle))
                    heard += await client.take(1)
            async with listening(server, Last_Event_ID=heard[3].id) as back:
                assert totals(await back.take(3)) == [5, 6, 7], "the last three are kept"
            async with listening(server, Last_Event_ID=heard[2].id) as back:
                assert [event.type for event in await back.take(2)] == ["gap", "power_update"]


class TestThresholds:
    async def test_an_event_at_each_crossing_and_none_in_between(self) -> None:
        watts = [900, 1000, 1100, 960, 1010, 940, 990, 1000]
        async with streaming() as server:
            server.store.publish(one_node(0, watts[0]))
            async with listening(server, "threshold_watts=1000") as client:
                heard = await client.take(1)
                for cycle, value in enumerate(watts[1:], 1):
                    server.store.publish(one_node(cycle, value))
                    while heard[-1].data["metadata"]["cycle"] < cycle or heard[-1].type != "power_update":
                        heard += await client.take(1)

        crossings = [(event.type, event.data["metadata"]["cycle"]) for event in heard if event.type != "power_update"]
        assert crossings == [("threshold_exceeded", 1), ("threshold_resolved", 5), ("threshold_exceeded", 7)]
        told = next(event for event in heard if event.type == "threshold_exceeded").data["data"]
        assert told == {"threshold_watts": 1000.0, "clear_below_watts": 950.0, "total_power_watts": 1000.0}

    async def test_who_comes_later_is_told_what_stands_exceeded(self) -> None:
        async with streaming() as server:
            server.store.publish(one_node(1, 500))
            query = "threshold_watts=100&threshold_watts=400&threshold_watts=900"
            async with listening(server, query) as first:
                await first.take(3)
                server.store.publish(one_node(2, 300))
                await first.take(2)
                async with listening(server, query) as later:
                    heard = await later.take(2)
        assert [event.type for event in heard] == ["threshold_exceeded", "power_update"]
        assert heard[0].data["data"]["threshold_watts"] == 100


class TestManners:
    @pytest.mark.parametrize(
        ("query", "code", "named"),
        [
            ("nod=1", 400, "nod"),
            ("cluster=zz", 404, "zz"),
            ("resource_type=gpuz", 400, "resource_type"),
            ("interval=0", 400, "interval"),
            ("interval=nan", 400, "interval"),
            ("threshold_watts=-5", 400, "threshold_watts"),
            ("threshold_watts=inf", 400, "threshold_watts"),
            ("limit=1e3", 400, "limit"),
            ("limit=5&limit=6", 400, "limit"),
            ("view=metrics", 400, "view"),
            ("view=live&node=n1", 400, "node"),
            ("node=%00", 400, "node"),
            ("&".join(f"node=n{n}" for n in range(33)), 400, "node"),
        ],
    )
    async def test_what_is_wrong_is_named(self, query: str, code: int, named: str) -> None:
        async with streaming() as server:
            status, headers, body = await fetch(server.port, f"{EVENTS}?{query}")
        assert status == code
        assert headers["Content-Type"].startswith("application/json")
        assert named.encode() in body

    async def test_credentials_are_needed(self, tmp_path: Path) -> None:
        hashed = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()
        (tmp_path / "web.yml").write_text(f"basic_auth_users: {{ann: '{hashed}'}}")
        auth = WebAuth.load(tmp_path / "web.yml")
        async with streaming(auth=auth) as server:
            server.store.publish(one_node(1, 1))
            paths = {
                route.resource.canonical
                for route in build_app(Program().deps(), routes(server.hub)).router.routes()
                if route.resource
            }
            assert EVENTS in paths
            for path in paths:
                for bad in (None, basic("ann", "wrong")):
                    status, headers, _ = await fetch(server.port, path, auth=bad)
                    assert (status, "WWW-Authenticate" in headers) == (401, True), path
            async with listening(server, Authorization=basic("ann", "s3cret")) as client:
                assert totals(await client.take(1)) == [1]

    async def test_pages_of_other_origins_are_refused(self) -> None:
        async with streaming() as server:
            for origin in ("https://evil.example", "null", f"http://127.0.0.1:{server.port + 1}", "http://[::"):
                assert (await fetch(server.port, EVENTS, Origin=origin))[0] == 403, origin
            async with listening(server, Origin=server.url):
                pass
            async with listening(server, Host="kcloud.example", Origin="https://kcloud.example"):
                pass  # a proxy ends TLS in front of us

    async def test_so_many_streams_and_no_more(self) -> None:
        async with streaming(clients=3) as server:
            for _ in range(2):
                async with listening(server), listening(server), listening(server):
                    status, headers, body = await fetch(server.port, EVENTS)
                    assert (status, headers["Retry-After"]) == (503, "5")
                    assert b"3 streams are open" in body
                await until(server, 'kcloud_exporter_stream_clients{kind="sse"}', 0)

    async def test_so_many_filters_and_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub_module, "CHANNELS", 2)
        async with streaming() as server:
            server.store.publish(one_node(1, 1))
            async with listening(server, "limit=1"):
                async with listening(server, "limit=2"):
                    status, _, body = await fetch(server.port, f"{EVENTS}?limit=3")
                    assert status == 503
                    assert b"2 different filters" in body
                    async with listening(server, "limit=1") as same:
                        assert totals(await same.take(1)) == [1]
                await until(server, 'kcloud_exporter_stream_clients{kind="sse"}', 1)
                async with listening(server, "limit=3") as instead:  # limit=2 has no reader any more
                    assert totals(await instead.take(1)) == [1]

    async def test_streams_take_no_place_of_requests(self) -> None:
        async with streaming(limits=Limits(connections=3)) as server:
            async with aiohttp.ClientSession() as session:
                streams = [await session.get(server.url + EVENTS) for _ in range(6)]
                assert [s.status for s in streams] == [200] * 6
                assert (await fetch(server.port, "/-/healthy"))[0] == 200
                for stream in streams:
                    stream.close()
            await until(server, 'kcloud_exporter_stream_clients{kind="sse"}', 0)
            held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
            await asyncio.sleep(0.1)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            assert b"503" in await asyncio.wait_for(reader.read(), 5), "a stream's end frees no second place"
            for each in (writer, *(writer for _, writer in held)):
                each.close()

    async def test_a_stream_outlives_the_deadline_of_a_request_and_ends_with_its_server(self) -> None:
        async with streaming(limits=Limits(head=0.2)) as server:
            server.store.publish(one_node(1, 1))
            async with listening(server) as client:
                await client.take(1)
                await asyncio.sleep(0.5)
                server.store.publish(one_node(2, 2))
                assert totals(await client.take(1)) == [2]
                closing = asyncio.create_task(server.hub.close())
                with pytest.raises(EOFError):
                    await client.take(1)
                await closing
                assert client.retry[-1] == 1000, "come back soon"
                assert (await fetch(server.port, EVENTS))[0] == 503

    async def test_a_stream_counts_as_answered_when_it_opens(self) -> None:
        seen: list[tuple[str, int, float]] = []
        deps = replace(Program().deps(), observe=lambda route, _, code, seconds: seen.append((route, code, seconds)))
        async with streaming(deps=deps) as server:
            server.store.publish(one_node(1, 1))
            async with listening(server) as client:
                await client.take(1)
                await asyncio.sleep(1)
                await server.hub.close()
                with pytest.raises(EOFError):
                    await client.take(1)
        ((route, code, seconds),) = seen
        assert (route, code) == (EVENTS, 200)
        assert seconds < 1

    async def test_bytes_that_a_reader_sends_are_no_second_request(self) -> None:
        async with streaming() as server:
            server.store.publish(one_node(1, 1))
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % EVENTS.encode())
            await asyncio.wait_for(reader.readuntil(b"power_update"), 5)
            writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
            server.store.publish(one_node(2, 222))
            assert b"healthy" not in await asyncio.wait_for(reader.readuntil(b"222"), 5)
            writer.close()


class TestSlowReaders:
    async def test_a_stalled_reader_is_cut_off_and_fifty_others_get_everything(self) -> None:
        wide = {("c1", f"node-{n:04d}", "ns", "gpu"): 100.0 for n in range(150)}
        cycles = 90
        async with streaming() as server:
            server.store.publish(snapshot(0, wide))
            stalled = stalling(server, "breakdown_by=node&limit=300")
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), read_bufsize=2**22) as session:
                url = f"{server.url}{EVENTS}?breakdown_by=node&limit=300"
                clients = [Listener(await session.get(url)) for _ in range(50)]
                heard = list(await asyncio.gather(*(client.take(1) for client in clients)))
                for cycle in range(1, cycles):
                    server.store.publish(snapshot(cycle, wide))
                    for mine, more in zip(heard, await asyncio.gather(*(c.take(1) for c in clients)), strict=True):
                        mine.extend(more)
                for client in clients:
                    client.response.close()
            dropped = server.counted('kcloud_exporter_stream_dropped_total{kind="sse",reason="slow"}')
            await until(server, 'kcloud_exporter_stream_clients{kind="sse"}', 0)
            stalled.close()

        for mine in heard:
            assert [event.data["metadata"]["cycle"] for event in mine] == list(range(cycles))
        assert dropped == 1

    async def test_one_that_takes_nothing_for_too_long_is_cut_off_at_any_rate_of_events(self) -> None:
        wide = {("c1", f"node-{n:04d}", "ns", "gpu"): 100.0 for n in range(1000)}
        async with streaming(limits=Limits(stall=0.2)) as server:
            server.store.publish(snapshot(0, wide))
            stalled = stalling(server, "breakdown_by=node&limit=1000")
            async with listening(server, "breakdown_by=node&limit=1000") as healthy:
                await healthy.take(1)
                for cycle in range(1, 20):
                    server.store.publish(snapshot(cycle, wide))
                    await healthy.take(1)
                await until(server, 'kcloud_exporter_stream_dropped_total{kind="sse",reason="slow"}', 1)
                await until(server, 'kcloud_exporter_stream_clients{kind="sse"}', 1)
                server.store.publish(snapshot(20, wide))
                await healthy.take(1)
            stalled.close()
            await until(server, 'kcloud_exporter_stream_clients{kind="sse"}', 0)
            assert server.counted('kcloud_exporter_stream_dropped_total{kind="sse",reason="slow"}') == 1

    async def test_the_live_view_skips_to_the_newest_instead(self) -> None:
        names = {("c1", "node-1", f"namespace-{n}", "gpu"): 100.0 for n in range(20)}
        async with streaming(limits=Limits(stall=600)) as server:
            server.store.publish(snapshot(0, names))
            stalled = stalling(server, "view=live")
            await until(server, 'kcloud_exporter_stream_clients{kind="sse"}', 1)
            async with listening(server, "view=live") as healthy:
                await healthy.take(1)
                for cycle in range(1, 200):
                    server.store.publish(snapshot(cycle, names))
                    await healthy.take(1)
            skipped = server.counted('kcloud_exporter_stream_dropped_total{kind="sse",reason="skipped"}')
            await until(server, 'kcloud_exporter_stream_clients{kind="sse"}', 1)
            stalled.close()
        assert skipped > 10


def stalling(server: Server, query: str) -> socket.socket:
    """A client that asks and then reads nothing at all."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    client.sendall(f"GET {EVENTS}?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


async def until(server: Server, series: str, value: float) -> None:
    """Wait until a self-metric has this value."""
    async with asyncio.timeout(15):
        while server.counted(series) != value:  # noqa: ASYNC110 - the metric is what is looked at
            await asyncio.sleep(0.02)
