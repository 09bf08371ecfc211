"""The fleet over real HTTP: addresses, formats, control server, faults."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from kcloud_exporter.errors import KcloudError
from kcloud_exporter.fleet import Fleet, FleetSpec, run_fleet
from kcloud_exporter.fleet.faults import FaultBoard
from kcloud_exporter.fleet.pages import PORTS, Place
from tests.fleet.conftest import samples

FROZEN = FleetSpec(frozen=True)


@pytest_asyncio.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with Fleet(FROZEN) as running:
        yield running


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20, trust_env=False) as open_client:
        yield open_client


def url_of(fleet: Fleet, cluster: str, node: str, vendor: str) -> str:
    (url,) = [e.url for e in fleet.exporters if (e.cluster, e.node, e.vendor) == (cluster, node, vendor)]
    return url


async def break_it(
    client: httpx.AsyncClient, fleet: Fleet, match: str, fault: str, seconds: float | None = None
) -> int:
    answer = await client.post(f"{fleet.control_url}/fault", json={"match": match, "fault": fault, "seconds": seconds})
    assert answer.status_code == 200
    matched = answer.json()["matched"]
    assert isinstance(matched, int)
    return matched


async def test_every_exporter_answers(fleet: Fleet, client: httpx.AsyncClient) -> None:
    for exporter in fleet.exporters:
        answer = await client.get(exporter.url)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers["content-encoding"] == "gzip"
        assert samples(answer.text)


@pytest.mark.parametrize("turns", range(4))
async def test_a_connection_that_arrives_at_the_end_is_closed(turns: int) -> None:
    clients = []
    async with Fleet(FROZEN) as fleet:
        for url in [*(e.url for e in fleet.exporters), fleet.control_url]:
            clients.append(socket.socket())
            clients[-1].setblocking(False)
            parts = urlsplit(url)
            with contextlib.suppress(BlockingIOError):
                clients[-1].connect((parts.hostname, parts.port))
        for _ in range(turns):  # the event loop has taken some of the steps of accepting
            await asyncio.sleep(0)
    for client in clients:
        client.setblocking(True)
        client.settimeout(5)
        with client, contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


async def test_plain_and_openmetrics_on_request(fleet: Fleet, client: httpx.AsyncClient) -> None:
    url = url_of(fleet, "seoul-a", "gpu-1", "kepler")
    plain = await client.get(url, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    other = await client.get(url, params={"format": "openmetrics"})
    assert other.headers["content-type"].startswith("application/openmetrics-text")
    assert other.text.endswith("# EOF\n")
    assert (await client.get(url.replace("/metrics", "/nothing"))).status_code == 404


async def test_every_server_has_its_own_loopback_address(fleet: Fleet) -> None:
    hosts: dict[str, set[tuple[str, str]]] = {}
    for exporter in fleet.exporters:
        host = urlsplit(exporter.url).hostname
        assert host is not None
        assert ip_address(host).is_loopback
        hosts.setdefault(host, set()).add((exporter.cluster, exporter.node))
    assert all(len(servers) == 1 for servers in hosts.values())
    (bmc,) = {urlsplit(url_of(fleet, "seoul-a", "gpu-1", "ipmi")).hostname}
    assert bmc != urlsplit(url_of(fleet, "seoul-a", "gpu-1", "dcgm")).hostname


async def test_exporters_listen_where_they_usually_do_unless_that_is_taken(fleet: Fleet) -> None:
    wildcard_taken = {vendor for vendor in PORTS if not _free(PORTS[vendor])}
    for exporter in fleet.exporters:
        if exporter.vendor not in wildcard_taken:
            assert urlsplit(exporter.url).port == PORTS[exporter.vendor]


def _free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.231.0.99", port))
            probe.listen()
        except OSError:
            return False
    return True


async def test_a_page_agrees_with_the_truth(fleet: Fleet, client: httpx.AsyncClient) -> None:
    page = samples((await client.get(url_of(fleet, "seoul-a", "gpu-1", "dcgm"))).text)
    devices = (await client.get(f"{fleet.control_url}/truth")).json()["clusters"]["seoul-a"]["accelerators"]
    powers = {labels["UUID"]: value for name, labels, value in page if name == "DCGM_FI_DEV_POWER_USAGE"}
    assert powers == {uuid: d["power_watts"] for uuid, d in devices.items() if d["node"] == "gpu-1"}


async def test_the_control_server(fleet: Fleet, client: httpx.AsyncClient) -> None:
    index = (await client.get(f"{fleet.control_url}/")).text
    assert all(exporter.url in index for exporter in fleet.exporters)
    listed = (await client.get(f"{fleet.control_url}/exporters")).json()
    assert [each["url"] for each in listed] == [exporter.url for exporter in fleet.exporters]
    past = (await client.get(f"{fleet.control_url}/truth", params={"at": "1800000000"})).json()
    assert past == fleet.truth(1_800_000_000)
    assert (await client.get(f"{fleet.control_url}/truth", params={"at": "noon"})).status_code == 400


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "unexpected end"),
        (b'{"match": "x", "fault": "explode"}', "explode"),
        (b'{"match": "x", "fault": "down", "seconds": -1}', "seconds"),
        (b'{"match": 1, "fault": "down"}', "match"),
        (b'{"march": "x", "fault": "down"}', "expected"),
    ],
)
async def test_a_wrong_fault_is_refused(body: bytes, said: str, fleet: Fleet, client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{fleet.control_url}/fault", content=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


class TestFaults:
    """What a client sees of each fault, and that it ends."""

    WHERE = ("seoul-a", "gpu-1", "dcgm")
    MATCH = "seoul-a/gpu-1/dcgm"

    async def test_down_closes_without_an_answer(self, fleet: Fleet, client: httpx.AsyncClient) -> None:
        assert await break_it(client, fleet, self.MATCH, "down") == 1
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(url_of(fleet, *self.WHERE))
        assert (await client.get(url_of(fleet, "seoul-a", "gpu-1", "kepler"))).status_code == 200
        assert await break_it(client, fleet, self.MATCH, "clear") == 1
        assert (await client.get(url_of(fleet, *self.WHERE))).status_code == 200

    async def test_hang_answers_only_when_it_is_cleared(self, fleet: Fleet, client: httpx.AsyncClient) -> None:
        await break_it(client, fleet, self.MATCH, "hang")
        waiting = asyncio.create_task(client.get(url_of(fleet, *self.WHERE)))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        await break_it(client, fleet, self.MATCH, "clear")
        assert (await waiting).status_code == 200

    async def test_a_hanging_request_does_not_hold_the_fleet_up(self, client: httpx.AsyncClient) -> None:
        async with Fleet(FROZEN) as fleet:
            await break_it(client, fleet, self.MATCH, "hang")
            waiting = asyncio.create_task(client.get(url_of(fleet, *self.WHERE)))
            await asyncio.wait({waiting}, timeout=0.2)
        with pytest.raises(httpx.TransportError):
            await waiting

    async def test_slow_delivers_in_the_end(self, fleet: Fleet, client: httpx.AsyncClient) -> None:
        url = url_of(fleet, *self.WHERE)
        await break_it(client, fleet, self.MATCH, "slow")
        async with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
            pieces = [piece async for piece in answer.aiter_raw()]
        assert len(pieces) > 5
        assert samples(b"".join(pieces).decode())

    async def test_http500(self, fleet: Fleet, client: httpx.AsyncClient) -> None:
        await break_it(client, fleet, self.MATCH, "http500")
        assert (await client.get(url_of(fleet, *self.WHERE))).status_code == 500

    async def test_garbage_is_no_exposition(self, fleet: Fleet, client: httpx.AsyncClient) -> None:
        await break_it(client, fleet, self.MATCH, "garbage")
        answer = await client.get(url_of(fleet, *self.WHERE))
        assert answer.status_code == 200
        with pytest.raises(ValueError, match=r".*"):
            samples(answer.content.decode(errors="replace"))

    async def test_truncate_breaks_its_promise(self, fleet: Fleet, client: httpx.AsyncClient) -> None:
        await break_it(client, fleet, self.MATCH, "truncate")
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message"):
            await client.get(url_of(fleet, *self.WHERE))

    async def test_empty_keeps_the_process_but_no_device(self, fleet: Fleet, client: httpx.AsyncClient) -> None:
        await break_it(client, fleet, "seoul-b/npu-1", "empty")
        names = {n for n, _, _ in samples((await client.get(url_of(fleet, "seoul-b", "npu-1", "furiosa"))).text)}
        assert names
        assert all(name.startswith(("go_", "process_")) for name in names)

    async def test_a_match_is_text_or_an_expression(self, fleet: Fleet, client: httpx.AsyncClient) -> None:
        assert await break_it(client, fleet, "busan-a", "down") == sum(e.cluster == "busan-a" for e in fleet.exporters)
        assert await break_it(client, fleet, "^seoul-.*/ipmi$", "down") == 7
        assert await break_it(client, fleet, "([", "down") == 0
        assert await break_it(client, fleet, "", "clear") == len(fleet.exporters)

    async def test_a_fault_ends_by_itself(self) -> None:
        now = 100.0
        place = Place("a", "n", "dcgm", "127.0.0.1")
        board = FaultBoard([place], clock=lambda: now)
        board.set("a/n", "down", 30)
        assert board.current(place) == "down"
        now = 131.0
        assert board.current(place) is None


async def test_two_fleets_run_at_once(client: httpx.AsyncClient) -> None:
    async with Fleet(FROZEN) as first, Fleet(FleetSpec(seed=8, frozen=True)) as second:
        urls = {e.url for e in first.exporters} | {e.url for e in second.exporters}
        assert len(urls) == len(first.exporters) + len(second.exporters)
        pages = [(await client.get(url_of(f, "seoul-a", "gpu-1", "dcgm"))).text for f in (first, second)]
        assert pages[0] != pages[1]


async def test_a_fleet_gives_its_addresses_back(client: httpx.AsyncClient) -> None:
    async with Fleet(FROZEN) as first:
        before = first.exporters
    async with Fleet(FROZEN) as second:
        assert (await client.get(second.exporters[0].url)).status_code == 200
    with pytest.raises(httpx.ConnectError):
        await client.get(before[0].url)


async def test_a_taken_control_port_is_said_and_leaves_nothing_behind(fleet: Fleet) -> None:
    port = urlsplit(fleet.control_url).port
    assert port is not None
    with pytest.raises(KcloudError, match=str(port)):
        async with Fleet(FROZEN, control_port=port):
            pass


async def test_a_fleet_that_has_not_started_has_no_world() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        Fleet(FROZEN).truth()


async def test_counters_run_from_the_start_that_was_asked_for(client: httpx.AsyncClient) -> None:
    async with Fleet(FleetSpec(frozen=True, start=1_000_000_000)) as fleet:
        page = samples((await client.get(url_of(fleet, "seoul-a", "gpu-1", "dcgm"))).text)
        power = {x["UUID"]: v for n, x, v in page if n == "DCGM_FI_DEV_POWER_USAGE"}
        energy = {x["UUID"]: v for n, x, v in page if n == "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"}
        ages = [energy[uuid] / 1000 / power[uuid] for uuid in power]
        assert all(math.isclose(age, ages[0], rel_tol=1e-6) for age in ages)
        assert ages[0] > 5e8


async def test_run_fleet_says_where_everything_is_and_serves_until_cancelled(client: httpx.AsyncClient) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    serving = asyncio.create_task(run_fleet(FROZEN, write=said.put_nowait))
    lines = (await said.get()).splitlines()
    control = lines[-1].split()[1]
    listed = (await client.get(f"{control}exporters")).json()
    assert [line.split()[-1] for line in lines[:-1]] == [each["url"] for each in listed]
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
