"""The desk: few files at a time, none for a client that has gone, and defects that stay at home."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from kcloud_exporter.errors import ExportError
from kcloud_exporter.export.desk import Desk
from kcloud_exporter.export.job import Job
from kcloud_exporter.export.request import Request
from tests.export.making import Kept, keep

SAID = {"format": "csv", "breakdown_by": "namespace", "step": "60s"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return keep(tmp_path_factory.mktemp("desk") / "history", ("ml", "web"))


def order(kept: Kept) -> Any:
    async def job() -> Job:
        return kept.job("power", SAID)

    return job


def workers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "kcloud_exporter.export.worker" in " ".join(p.cmdline())]


async def test_a_file_from_a_process_of_its_own_is_the_same_as_from_this_one(kept: Kept) -> None:
    expected, about = await kept.file("power", SAID)
    async with Desk().order(order(kept)) as file:
        data = b"".join([chunk async for chunk in file.chunks])

    assert data == expected
    assert {k: v for k, v in about.items() if k not in ("generated_at", "totals")} == {
        k: v for k, v in file.about.items() if k != "generated_at"
    }
    assert workers() == []


async def test_who_comes_when_all_places_are_taken_is_sent_away_and_who_waits_gets_a_turn(kept: Kept) -> None:
    desk = Desk(at_once=1, waiting=1)
    async with desk.order(order(kept)):
        waiting = asyncio.create_task(_whole(desk, kept))
        await asyncio.sleep(0.05)
        with pytest.raises(ExportError, match="too many files") as refused:
            async with desk.order(order(kept)):
                pass
        assert refused.value.status == 429
        assert not waiting.done()
    assert (await waiting).startswith(b'"timestamp"')


async def _whole(desk: Desk, kept: Kept) -> bytes:
    async with desk.order(order(kept)) as file:
        return b"".join([chunk async for chunk in file.chunks])


async def test_the_process_ends_with_the_one_who_ordered_whether_he_reads_or_waits(kept: Kept) -> None:
    desk = Desk(at_once=1, waiting=1)
    async with desk.order(order(kept)) as file:
        assert workers()
        await anext(file.chunks)
        gone = asyncio.create_task(_gone(desk, kept))
        with pytest.raises(ConnectionResetError):
            await gone
    assert workers() == []
    assert await _whole(desk, kept), "all places are free again"


async def _gone(desk: Desk, kept: Kept) -> None:
    async with desk.order(order(kept), lambda: True):
        pass


async def test_what_a_worker_refuses_is_told_and_a_defect_is_not(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    async def too_much() -> Job:
        job = kept.job("power", SAID)
        assert isinstance(job.request, Request)
        return replace(job, request=replace(job.request, format="pdf", points=10**6, step=1e-3))

    async def broken() -> Job:
        job = kept.job("power", SAID)
        assert isinstance(job.request, Request)
        return replace(job, request=replace(job.request, breakdown="secret"))

    for job, status, told in ((too_much, 413, "pdf has at most"), (broken, 500, "a defect of the exporter")):
        with pytest.raises(ExportError, match=told) as refused:
            async with Desk().order(job):
                pass
        assert refused.value.status == status
        assert "secret" not in str(refused.value)
    assert "a file could not be made" in caplog.text


async def test_a_folder_that_is_not_there_is_an_empty_history(kept: Kept, tmp_path: Path) -> None:
    async def elsewhere() -> Job:
        job = kept.job("power", SAID)
        return replace(job, place=replace(job.place, folder=tmp_path / "nothing"))

    async with Desk().order(elsewhere) as file:
        data = b"".join([chunk async for chunk in file.chunks])
    assert data.count(b"\n") == 1
