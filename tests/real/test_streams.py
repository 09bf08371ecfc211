"""Streams of the real process: what they tell is what /metrics tells, and they end when it does."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import aiohttp
import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import kcloud_exporter
from tests.real.page import total

pytestmark = pytest.mark.real
EVENTS, SOCKET = "/api/v1/monitoring/events/power", "/api/v1/monitoring/stream/power"


async def test_streams_tell_the_ledger_and_end_with_the_process(fleet: Fleet, tmp_path: Path) -> None:
    config = fleet.kcloud_config("exporter") | {
        "global": {"interval": "3s", "timeout": "2900ms", "max_staleness": "60s"}
    }
    with kcloud_exporter(config, tmp_path) as exporter:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{exporter.url}{EVENTS}?cluster=seoul-a&resource_type=gpus&threshold_watts=1") as events,
            session.ws_connect(f"{exporter.url}{SOCKET}?cluster=seoul-a&resource_type=gpus") as socket,
        ):
            told = b""
            async with asyncio.timeout(40):  # on a busy machine the first cycles may miss sources
                while (said := await socket.receive_json())["metadata"]["completeness_ratio"] < 1:
                    pass
                page = await asyncio.to_thread(exporter.page)
                while b"threshold_exceeded" not in told:
                    told += await events.content.readany()
            watts = total(page, "kcloud_cluster_power_watts", cluster="seoul-a", component="gpu")
            assert said["data"]["total_power_watts"] == pytest.approx(watts, rel=1e-3)
            assert total(page, "kcloud_exporter_stream_clients") == 2

            begun = time.monotonic()
            exporter.program.process.terminate()
            async with asyncio.timeout(10):
                rest = told + await events.content.read()
                while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass
            assert rest.endswith(b"come back\n\n"), "a word at the end, so that clients return soon"
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
            assert await asyncio.to_thread(exporter.program.process.wait, 20) == 0
            assert time.monotonic() - begun < 20
        ids = [json.loads(line[6:])["id"] for line in rest.decode().splitlines() if line.startswith("data: ")]
        assert len(set(ids)) == len(ids)
