"""Readers behind bad networks, against the whole product: what they get, what is seen of them, and that others do not
notice."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from kcloud_exporter.runtime import Runtime
from tests.faults.clusters import answering, config_of, page_of, samples, served
from tests.faults.proxy import Fault, FaultProxy
from tests.faults.whole import product
from tests.web.program import fetch

NAMES = [f"c{n:02}" for n in range(20)]
Running = tuple[Runtime, int]
EVENTS = "/api/v1/monitoring/events/power"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    pages = {name: answering(page_of(name, devices=60)) for name in NAMES}
    async with served(pages) as url:
        data = config_of({name: f"{url}/{name}" for name in NAMES})
        data["global"] = {"interval": "60s", "timeout": "10s", "max_staleness": "120s"}
        async with product(data, tmp_path) as found:
            yield found


def levels_of(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {record.levelname for record in caplog.records if record.levelno >= logging.WARNING}


async def page_through(port: int, fault: Fault) -> tuple[int, bytes, FaultProxy]:
    async with FaultProxy("127.0.0.1", port, fault) as proxy:
        status, _, body = await fetch(proxy.port, "/metrics?collect[]=accelerator", Accept_Encoding="identity")
    return status, body, proxy


async def test_a_narrow_or_late_line_delays_its_own_reader_only(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    _, port = running
    _, _, whole = await fetch(port, "/metrics?collect[]=accelerator", Accept_Encoding="identity")
    assert len(whole) > 200_000
    for fault in (Fault(bandwidth=4_000_000), Fault(drip=(20_000, 0.01)), Fault(latency=0.02, jitter=0.02)):
        slow = asyncio.create_task(page_through(port, fault))
        quick = [await fetch(port, "/metrics?collect[]=accelerator", Accept_Encoding="identity") for _ in range(3)]
        assert not slow.done(), "the others were served while it still read"
        status, body, _ = await slow
        assert (status, body) == (200, whole)
        assert {(status, body) for status, _, body in quick} == {(200, whole)}
    assert levels_of(caplog) == set()


@pytest.mark.parametrize("fault", [Fault(cut_after=5000), Fault(reset_after=5000)], ids=["cut", "reset"])
async def test_a_line_that_breaks_within_the_page_is_noticed_by_the_reader_and_logged_by_nobody(
    running: Running, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    _, port = running
    for _ in range(10):
        with pytest.raises(aiohttp.ClientError):
            await page_through(port, fault)
    status, _, body = await fetch(port, "/metrics", Accept_Encoding="identity")
    assert status == 200
    counted = samples([line for line in body.decode().splitlines() if not line.startswith("#")])
    broken = {s: v for s, v in counted.items() if s.startswith("kcloud_exporter_http_requests_total")}
    assert sum(broken.values()) == 10, "every one of them is counted"
    assert {series.split('code="')[1][:3] for series in broken} <= {"200", "499"}
    assert levels_of(caplog) == set()


async def test_a_request_that_is_falsified_at_any_byte_is_answered_or_refused_and_never_a_defect(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    _, port = running
    request = b"GET /api/v1/clusters?limit=2 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nConnection: close\r\n\r\n"

    async def asked(at: int) -> int | None:
        async with FaultProxy("127.0.0.1", port, Fault(corrupt_at=at, upstream=True), seed=at) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(request)
            try:
                head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode()
                length = int(head.lower().split("content-length: ")[1].split()[0])
                body = await asyncio.wait_for(reader.readexactly(length), 30)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None  # not a whole request: closed in time
            finally:
                writer.transport.abort()
        status = int(head.split()[1])
        assert status < 400 or json.loads(body)["error"]["code"], "one error shape, whatever was sent"
        return status

    statuses = await asyncio.gather(*(asked(at) for at in range(len(request))))
    answered = [status for status in statuses if status is not None]
    assert len(answered) > len(request) / 2
    assert [status for status in answered if status >= 500] == []
    assert {200, 400, 404} <= set(answered)
    assert levels_of(caplog) == set()


async def test_half_open_and_dripping_clients_go_and_a_good_one_is_served_all_the_while(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    _, port = running
    loris = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
    for _, writer in loris:
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-a: ")
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
    gone = asyncio.gather(*(reader.read() for reader, _ in [*loris, *idle]), return_exceptions=True)
    served = 0
    async with asyncio.timeout(30):
        while not gone.done():
            assert (await fetch(port, "/-/healthy"))[0] == 200
            served += 1
            for _, writer in loris:
                if not writer.is_closing():
                    writer.write(b"b")
            await asyncio.sleep(0.05)
    assert served > 3
    assert {answer if isinstance(answer, bytes) else b"" for answer in await gone} == {b""}, "closed, not answered"
    for _, writer in [*loris, *idle]:
        writer.transport.abort()
    assert levels_of(caplog) == set()


async def test_a_stream_over_a_line_that_breaks_loses_no_event(running: Running) -> None:
    """The reader comes back with the id of the last event that it has seen, as browsers do."""
    runtime, port = running
    seen: list[str] = []
    async with FaultProxy("127.0.0.1", port) as proxy, aiohttp.ClientSession() as session:

        async def read(events: int) -> None:
            headers = {"Last-Event-ID": seen[-1]} if seen else {}
            async with session.get(f"{proxy.url}{EVENTS}", headers=headers) as response:
                assert response.status == 200
                async for line in response.content:
                    if line.startswith(b"id:"):
                        seen.append(line[3:].strip().decode())
                        events -= 1
                    if events == 0:
                        return

        await asyncio.wait_for(read(1), 20)
        for _ in range(3):
            await proxy.refuse()
            for _ in range(2):
                await runtime.tick()
            await proxy.listen()
            await asyncio.wait_for(read(2), 20)
    numbers = [int(each.rsplit("-", 1)[-1]) for each in seen]
    assert numbers == list(range(numbers[0], numbers[0] + 7)), "none lost, none twice, in order"
