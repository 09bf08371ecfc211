"""Clients that misbehave, over real sockets: those that drip, stall, crowd, or go away."""

from __future__ import annotations

import asyncio
import json
import logging

import aiohttp
import pytest
from aiohttp import web

from kcloud_exporter.web.metrics import Metrics
from kcloud_exporter.web.protection import Limits, upgraded
from kcloud_exporter.web.server import build_app, start_site
from tests.web.program import Program, fetch, serving


async def closed(*writers: asyncio.StreamWriter) -> None:
    """Close connections, whatever the server has done to them already."""
    for writer in writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


class TestMisbehaviour:
    @pytest.mark.parametrize(
        "sent",
        [
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /metrics?\xff HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nno header\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ],
    )
    async def test_what_is_no_request_gets_our_error_and_no_line_in_the_log(
        self, program: Program, caplog: pytest.LogCaptureFixture, sent: bytes
    ) -> None:
        async with serving(program.deps()) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
            await closed(writer)

        assert head.split()[1] == b"400"
        assert b"\r\nserver:" not in head.lower()
        assert b"nosniff" in head
        assert json.loads(body)["error"]["code"] == "bad_request"
        assert [record for record in caplog.records if record.levelno >= logging.INFO] == []

    async def test_a_body_too_large_is_refused(self, program: Program) -> None:
        async with (
            serving(program.deps(lifecycle=True)) as port,
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{port}/-/reload", data=b"x" * 70_000) as response,
        ):
            assert response.status == 413
            assert (await response.json())["error"]["code"] == "too_large"

    async def test_half_a_request_is_closed(self, program: Program) -> None:
        async with serving(program.deps(), Limits(head=0.3)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
            assert await asyncio.wait_for(reader.read(), 5) == b""
            await closed(writer)
            assert (await fetch(port, "/metrics"))[0] == 200
        assert program.dropped == ["head"]

    async def test_a_drip_of_header_bytes_buys_no_time(self, program: Program) -> None:
        async with serving(program.deps(), Limits(head=0.5)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)

            request = (bytes([byte]) for byte in b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 1000)

            async def drip() -> None:
                for _ in range(100):
                    writer.write(next(request))
                    await asyncio.sleep(0.05)

            task = asyncio.create_task(drip())
            assert await asyncio.wait_for(reader.read(), 4) == b""
            task.cancel()
            await closed(writer)

    async def test_a_wish_to_upgrade_buys_no_time(self, program: Program) -> None:
        async with serving(program.deps(), Limits(head=0.3)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            await asyncio.wait_for(reader.readuntil(b"healthy\n"), 5)
            writer.write(b"GET /-/heal")
            assert await asyncio.wait_for(reader.read(), 5) == b""
            await closed(writer)

    async def test_a_websocket_may_be_silent_and_speak_at_leisure(self, program: Program) -> None:
        async def echo(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            upgraded(request)
            async for message in socket:
                await socket.send_str(message.data)
            return socket

        app = build_app(program.deps())
        app.router.add_get("/echo", echo)
        site = await start_site(app, "127.0.0.1", 0, None, Limits(head=0.2))
        url = f"http://127.0.0.1:{site.port}/echo"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            for word in ("one", "two"):
                await socket.send_str(word)
                assert await asyncio.wait_for(socket.receive_str(), 5) == word
                await asyncio.sleep(0.5)
        await site.close()

    async def test_a_reader_that_takes_its_time_gets_every_byte(self, program: Program) -> None:
        program.page_bytes = b"".join(b"%09d\n" % number for number in range(400_000))
        async with serving(program.deps()) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            received = bytearray()
            while chunk := await asyncio.wait_for(reader.read(2**16), 5):
                received += chunk
                await asyncio.sleep(0.001)
            await closed(writer)

        assert received == program.page_bytes

    async def test_a_reader_that_drips_has_an_end(self, program: Program, caplog: pytest.LogCaptureFixture) -> None:
        program.page_bytes = b"x" * 30_000_000
        deps = program.deps()
        app = build_app(deps)
        app.router.add_get("/hurried", Metrics(send_seconds=0.5).page)
        site = await start_site(app, "127.0.0.1", 0, None, Limits(stall=600))
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=2**16)
        writer.write(b"GET /hurried HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            while not program.observed:
                await reader.read(1000)
                await asyncio.sleep(0.01)
        await closed(writer)
        await site.close()

        assert program.observed == [("/hurried", "GET", 499)]
        assert caplog.records == [], "no client can fill the log"

    async def test_readers_that_stall_are_cut_off_and_others_are_served(self, program: Program) -> None:
        program.page_bytes = b"x" * 30_000_000
        async with serving(program.deps(), Limits(stall=1.5)) as port:
            stalled = [await asyncio.open_connection("127.0.0.1", port, limit=1024) for _ in range(8)]
            for reader, writer in stalled:
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                await reader.readexactly(15)  # the answer has begun; no more is read of it
            assert (await fetch(port, "/metrics"))[0] == 503, "eight at once is the most"
            assert (await fetch(port, "/-/healthy"))[0] == 200
            async with asyncio.timeout(20):
                while (await fetch(port, "/metrics"))[0] != 200:  # noqa: ASYNC110 - each look is a request
                    await asyncio.sleep(0.2)
            await closed(*(writer for _, writer in stalled))
        assert program.dropped == ["stalled"] * 8

    async def test_connections_are_counted(self, program: Program) -> None:
        async with serving(program.deps(), Limits(connections=3)) as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            await asyncio.sleep(0.1)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert b"503" in await asyncio.wait_for(reader.read(), 5)
            await closed(writer, *(each for _, each in held))
            await asyncio.sleep(0.1)
            assert (await fetch(port, "/-/healthy"))[0] == 200
        assert program.dropped == ["limit"]

    async def test_many_requests_on_one_connection(self, program: Program) -> None:
        async with serving(program.deps(), Limits(head=0.4)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(3):
                writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"healthy\n"), 5)
                await asyncio.sleep(0.5)
            await closed(writer)
