"""Direct scrape of many targets."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from kcloud_exporter.model import Failure, Labels, Outcome, Scrape
from kcloud_exporter.sources.base import FORGET_AFTER
from kcloud_exporter.sources.exporter import CONCURRENCY, ExporterSource
from kcloud_exporter.sources.exposition import ParseLimits
from tests.sources.pages import NONE
from tests.sources.servers import for_ever, serving, talking


def source_of(targets: Sequence[str], wanted: set[str] | None = None, **more: Any) -> ExporterSource:
    accepts = (lambda _: True) if wanted is None else wanted.__contains__
    return ExporterSource(cluster="c", vendor="dcgm", targets=targets, wanted=accepts, **more)


def shown(outcome: Outcome) -> list[tuple[Labels, float]]:
    assert isinstance(outcome, Scrape), outcome
    pairs = zip(outcome.rows.tolist(), outcome.values.tolist(), strict=True)
    return [(outcome.table.series(row), value) for row, value in pairs]


def reasons(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.reason if isinstance(outcome, Failure) else "" for outcome in outcomes]


async def page(_: web.Request) -> web.Response:
    return web.Response(body=b'a{b="c"} 1 1700000000123\nunwanted 2\n', headers={"Content-Type": "text/plain"})


async def test_one_target() -> None:
    async with serving(page) as url:
        source = source_of([f"{url}/metrics"], {"a"}, steady=lambda: 1700000001.0)
        outcomes = await source.collect(20.0)
        await source.close()
    (scrape,) = outcomes
    address = url.removeprefix("http://")
    assert source.names == (f"dcgm@{address}",) == (scrape.source,)
    assert shown(scrape) == [({"__name__": "a", "b": "c", "instance": address, "job": "dcgm"}, 1.0)]
    assert isinstance(scrape, Scrape)
    assert scrape.timestamps is not None
    assert scrape.timestamps.tolist() == [1700000000.123]
    assert 1700000000.0 < scrape.received_at <= 1700000001.0
    assert scrape.body_bytes == 36


async def test_the_request_is_that_of_a_prometheus() -> None:
    asked: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request)
        body = gzip.compress(b'# TYPE a counter\na_total{b="c"} 3 # {t="x"} 1\n# EOF\n')
        kind = "application/openmetrics-text; version=1.0.0; charset=utf-8"
        return web.Response(body=body, headers={"Content-Type": kind, "Content-Encoding": "gzip"})

    async with serving(handler) as url:
        source = source_of([url], target_labels={"rack": "r1", "job": "gpus"})
        outcomes = await source.collect(20.0)
        await source.close()
    assert [labels for labels, _ in shown(outcomes[0])] == [
        {"__name__": "a_total", "b": "c", "instance": url.removeprefix("http://"), "job": "gpus", "rack": "r1"}
    ]
    (request,) = asked
    assert (request.method, request.path) == ("GET", "/metrics")
    assert request.headers["Accept"].startswith("application/openmetrics-text;version=1.0.0")
    assert 0 < float(request.headers["X-Prometheus-Scrape-Timeout-Seconds"]) <= 20


async def test_names_of_targets_are_unique() -> None:
    both = ["http://h:1/metrics", "http://h:1/probe", "http://[::1]:2/metrics", "https://h/metrics"]
    source = source_of(both)
    assert source.names == ("dcgm@h:1/metrics", "dcgm@h:1/probe", "dcgm@[::1]:2", "dcgm@h:443")
    assert source_of(["http://h:1"], name="mine").names == ("mine",)
    assert source_of(["http://h:1", "http://h:2"], name="mine").names == ("mine@h:1", "mine@h:2")
    await source.close()


async def test_targets_share_a_table_and_fail_alone() -> None:
    async def broken(_: web.Request) -> web.Response:
        return web.Response(body=b"a 1\nb two\n")

    async with serving(page) as good, serving(broken) as bad, serving(page) as other:
        source = source_of([good, bad, other], {"a"})
        outcomes = await source.collect(20.0)
        await source.close()
    assert reasons(outcomes) == ["", "parse", ""]
    first, _, last = outcomes
    assert isinstance(first, Scrape)
    assert isinstance(last, Scrape)
    assert first.table is last.table
    assert {*first.rows.tolist()}.isdisjoint(last.rows.tolist())


async def test_more_hung_targets_than_slots_delay_the_others_once_only() -> None:
    async with talking(for_ever) as hung, serving(page) as good:
        source = source_of([f"{hung.url}/{n}" for n in range(CONCURRENCY + 10)] + [good], {"a"})
        assert reasons(await source.collect(2.0))[:-1] == ["timeout"] * (CONCURRENCY + 10)
        second = reasons(await source.collect(2.0))
        await asyncio.sleep(2.0)  # until the questions that nobody waited for have timed out
        third = reasons(await source.collect(2.0))
        await source.close()
    assert "timeout" not in second, "nobody waits for those that hung before"
    assert third.count("timeout") == 32 + 10, "only some that failed are asked, and all that did not"
    assert "" in second + third, "the good one had no slot at first: nobody waits for it either, and it is not lost"


async def test_a_name_look_up_that_hangs_does_not_keep_others_from_parsing() -> None:
    """Look-ups run in the loop's default executor; here all its threads are busy."""
    loop = asyncio.get_running_loop()
    held, holder = socket.socketpair()
    blocked = [loop.run_in_executor(None, held.recv, 1) for _ in range(64)]
    async with serving(page) as good:
        source = source_of([good], {"a"})
        assert reasons(await source.collect(5.0)) == [""]
        await source.close()
    holder.close()
    await asyncio.gather(*blocked)
    held.close()


async def test_a_defect_of_ours_is_a_failure_like_any_other() -> None:
    def wanted(_: str) -> bool:
        raise ZeroDivisionError

    async with serving(page) as url:
        source = ExporterSource(cluster="c", vendor="dcgm", targets=[url], wanted=wanted)
        assert reasons(await source.collect(20.0)) == ["internal"]
        await source.close()


async def test_limits_of_the_configuration_hold() -> None:
    async with serving(page) as url:
        for more, reason in (({"body_bytes": 10}, "body_size"), ({"limits": ParseLimits(series=1)}, "series_limit")):
            source = source_of([url], **more)
            assert reasons(await source.collect(20.0)) == [reason]
            await source.close()


async def test_compaction_begins_a_new_table() -> None:
    shows = [5000]

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b"".join(b'a{n="%d"} %d\n' % (n, n) for n in range(shows[0])))

    async with serving(handler) as url:
        source = source_of([f"{url}/one", f"{url}/two"])
        (before, _) = await source.collect(20.0)
        assert source.compact(NONE) is None
        shows[0] = 100
        for _ in range(FORGET_AFTER):
            await source.collect(20.0)
        found = source.compact(NONE)
        (one, two) = await source.collect(20.0)
        await source.close()
    assert isinstance(before, Scrape)
    assert isinstance(one, Scrape)
    assert isinstance(two, Scrape)
    assert found is not None
    assert found.old is before.table
    assert found.table is one.table
    assert two.table is one.table
    assert one.table is not before.table
    assert [value for _, value in shown(two)] == list(range(100))
    assert [labels["n"] for labels, _ in shown(two)] == [str(n) for n in range(100)]
