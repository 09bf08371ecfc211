"""A process that is stopped, ended and starved: what it has counted stays, and what it has not seen is told.

The long form ends it more often, and prints how long it took:

    KCLOUD_TERMS=50 pytest tests/real/test_signals.py -k storm --timeout 900 -s
    KCLOUD_CONNECTIONS=10000 pytest tests/real/test_signals.py -k connections -s
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import psutil
import pytest

from kcloud_exporter.fleet import Fleet
from tests.real.kcloud import KcloudExporter, kcloud_exporter
from tests.real.page import Page, Series, total
from tests.real.programs import answers, free_port, wait_until
from tests.real.served import serving_pages
from tests.real.test_kill import counters

pytestmark = pytest.mark.real

TERMS = int(os.environ.get("KCLOUD_TERMS", "2"))
CONNECTIONS = int(os.environ.get("KCLOUD_CONNECTIONS", "3000"))
PLACES = 512
STOPPED = 4.0
MIB = 2**20


def at(page: Page) -> float:
    """When the cycle of a page was (Unix time)."""
    return total(page, "kcloud_snapshot_timestamp_seconds")


def gpu_joules(page: Page) -> float:
    return total(page, "kcloud_cluster_energy_joules_total", cluster="seoul-a", component="gpu")


def gap(page: Page) -> float:
    return total(page, "kcloud_energy_gap_seconds_total", cluster="seoul-a")


def test_a_process_that_was_suspended_tells_a_gap_and_does_not_fill_it(fleet: Fleet, tmp_path: Path) -> None:
    config = fleet.kcloud_config("exporter", interval="1s")
    config["global"] |= {"max_staleness": "2s"}
    with kcloud_exporter(config, tmp_path) as exporter:
        wait_until(lambda: gpu_joules(exporter.page()) > 0, "joules of GPUs", 20.0, exporter.program)
        before = exporter.page()
        with exporter.program.stopped():
            time.sleep(STOPPED)
        wait_until(lambda: gap(exporter.page()) - gap(before) >= STOPPED - 1, "the gap is told", 20.0, exporter.program)
        after = exporter.page()
    watts = total(after, "kcloud_cluster_power_watts", cluster="seoul-a", component="gpu")
    assert watts == total(before, "kcloud_cluster_power_watts", cluster="seoul-a", component="gpu") > 0
    counted, elapsed, told = (
        (gpu_joules(after) - gpu_joules(before)) / watts,
        at(after) - at(before),
        gap(after) - gap(before),
    )
    assert counted <= elapsed - told + 1.0, "what nobody saw is not filled"
    assert counted + told == pytest.approx(elapsed, abs=1.0), "each second is counted or told"


def workers(exporter: KcloudExporter) -> list[psutil.Process]:
    """The processes that make files for it."""
    return [
        child
        for child in psutil.Process(exporter.program.process.pid).children(recursive=True)
        if "kcloud_exporter.export.worker" in child.cmdline()
    ]


def test_sigterm_while_a_file_is_made(fleet: Fleet, tmp_path: Path) -> None:
    """It ends in time and with 0, its worker too; whoever waits for the file gets all of it, or sees that it broke."""
    config = fleet.kcloud_config("exporter", interval="1s")
    got: list[httpx.Response | httpx.HTTPError] = []
    with kcloud_exporter(config, tmp_path) as exporter:

        def ask() -> None:
            url = f"{exporter.url}/api/v1/export/power?format=excel&breakdown_by=pod"
            try:
                got.append(httpx.get(url, trust_env=False, timeout=60))
            except httpx.HTTPError as exc:
                got.append(exc)

        wait_until(lambda: gpu_joules(exporter.page()) > 0, "joules", 20.0, exporter.program)
        seen = counters(exporter.page())
        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: bool(workers(exporter)), "a file is being made", 20.0, exporter.program)
        making = workers(exporter)
        exporter.program.process.terminate()
        assert exporter.program.process.wait(30) == 0
        asking.join(30)
        wait_until(lambda: not any(each.is_running() for each in making), "no worker is left behind", 20.0)
        assert "Traceback" not in exporter.program.tail()
    assert len(got) == 1
    if isinstance(got[0], httpx.Response) and got[0].status_code == 200:
        openpyxl.load_workbook(io.BytesIO(got[0].content)).close()
    with kcloud_exporter(config, tmp_path) as exporter:
        fallen = {key: value for key, value in counters(exporter.page()).items() if value < seen.get(key, 0.0)}
        assert not fallen


@contextlib.contextmanager
def storm(url: str) -> Iterator[list[str]]:
    """Four clients that read /metrics without a pause; what they got that was no whole page."""
    wrong: list[str] = []
    over = threading.Event()

    def read() -> None:
        with httpx.Client(trust_env=False, timeout=20) as client:
            while not over.is_set():
                try:
                    answer = client.get(f"{url}/metrics")
                except httpx.RequestError:  # between two processes nobody answers
                    time.sleep(0.02)
                    continue
                if answer.status_code == 200 and not answer.text.endswith("\n"):
                    wrong.append(answer.text[-80:])
                elif answer.status_code not in (200, 503):
                    wrong.append(str(answer.status_code))

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        yield wrong
    finally:
        over.set()
        for reader in readers:
            reader.join()


@pytest.mark.timeout(max(120, TERMS * 15))
def test_sigterms_in_a_storm_of_scrapes_lose_nothing(fleet: Fleet, tmp_path: Path) -> None:
    random.seed(TERMS)
    config, port = fleet.kcloud_config("exporter", interval="1s"), free_port()
    config["global"] |= {"max_staleness": "30s"}
    seen: dict[Series, float] = {}
    took: list[float] = []
    first: Page = {}
    with storm(f"http://127.0.0.1:{port}") as wrong:
        for _ in range(TERMS):
            with kcloud_exporter(config, tmp_path, port=port) as exporter:
                page = exporter.page()
                fallen = {key: value for key, value in counters(page).items() if value < seen.get(key, 0.0)}
                assert not fallen
                time.sleep(random.uniform(0.0, 1.5))
                seen |= counters(exporter.page())
                begun = time.monotonic()
                exporter.program.process.terminate()
                assert exporter.program.process.wait(30) == 0
                took.append(time.monotonic() - begun)
                assert "Traceback" not in exporter.program.tail()
        with kcloud_exporter(config, tmp_path, port=port) as exporter:
            wait_until(lambda: gpu_joules(exporter.page()) > gpu_joules(first), "it goes on", 20.0, exporter.program)
            page = exporter.page()
    print(f"\n{TERMS} SIGTERMs; ended within {max(took):.2f} s, half of them {sorted(took)[len(took) // 2]:.2f} s")
    assert wrong == []
    assert not {key: value for key, value in counters(page).items() if value < seen.get(key, 0.0)}


def test_a_process_that_gets_no_more_memory_loses_a_cluster_and_not_its_counters(fleet: Fleet, tmp_path: Path) -> None:
    """One exporter sends more than there is memory for. The kernel's own killer cannot be called from here, but is a
    kill -9 to the process; what can be tried is an allocation that is refused."""
    good = fleet.kcloud_config("exporter", interval="1s")
    large = b"".join(b'DCGM_FI_DEV_POWER_USAGE{gpu="%d",UUID="GPU-%d"} 1\n' % (n, n) for n in range(200_000))
    pages: dict[str, bytes] = {"/metrics": large[: large.index(b"\n") + 1]}
    with serving_pages(pages) as url:
        extra: dict[str, Any] = {"exporter": {"vendor": "dcgm", "targets": [f"{url}/metrics"], "name": "large"}}
        config = good | {"clusters": [*good["clusters"], {"name": "large", "sources": [extra]}]}
        with kcloud_exporter(config, tmp_path) as exporter:
            wait_until(lambda: gpu_joules(exporter.page()) > 0, "joules", 20.0, exporter.program)
            seen = counters(exporter.page())
            process = psutil.Process(exporter.program.process.pid)
            limit = process.memory_info().vms + 4 * MIB
            process.rlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            pages["/metrics"] = large

            def starved() -> bool:
                if exporter.program.process.poll() is not None:
                    return True
                try:
                    return total(exporter.page(), "kcloud_source_failures_total", cluster="large") > 0
                except (httpx.HTTPError, AssertionError):
                    return False

            wait_until(starved, "the allocation is refused", 40.0, exporter.program)
            alive = exporter.program.process.poll() is None
            if alive:
                process.rlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                pages["/metrics"] = b""
                now = at(exporter.page())
                wait_until(lambda: at(exporter.page()) > now + 2, "cycles go on", 20.0, exporter.program)
                page = exporter.page()
    if not alive:
        pages["/metrics"] = b""
        with kcloud_exporter(good, tmp_path) as exporter:
            page = exporter.page()
    assert not {key: value for key, value in counters(page).items() if value < seen.get(key, 0.0)}


def test_thousands_of_connections_are_turned_away_and_counted(fleet: Fleet, tmp_path: Path) -> None:
    """Many more than there are places for, and none of them says anything; after the time for a head all is well."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(CONNECTIONS + 512, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    many = min(CONNECTIONS, max(soft, wanted) - 512)
    assert many > 2 * PLACES, "enough to tell"
    dropped = "kcloud_exporter_http_connections_dropped_total"
    with kcloud_exporter(fleet.kcloud_config("exporter", interval="1s"), tmp_path) as exporter:
        process = psutil.Process(exporter.program.process.pid)
        before, most, turned_away = process.num_fds(), 0, 0
        address = ("127.0.0.1", int(exporter.url.rsplit(":", 1)[1]))
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(many)]
            most = process.num_fds()
            for each in held:
                # Turned away at once (503), or let in and closed (nothing) when no request has come in time.
                with contextlib.suppress(ConnectionResetError):
                    turned_away += each.recv(12) == b"HTTP/1.1 503"
        wait_until(lambda: answers(f"{exporter.url}/-/healthy"), "it answers again", 30.0, exporter.program)
        page = exporter.page()
        print(f"\n{many} connections: {turned_away} turned away; descriptors {before}, at the most {most}")
        assert (
            total(page, dropped, reason="limit") == turned_away >= many - PLACES - total(page, dropped, reason="head")
        )
        # The loop accepts up to 256 at a time, and closes those that it turns away a moment later.
        assert most <= before + PLACES + 2 * 256, "descriptors are bounded by the places"
        assert process.num_fds() <= before + 64
        assert "Traceback" not in exporter.program.tail()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
