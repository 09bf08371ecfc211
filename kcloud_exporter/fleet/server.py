"""The fleet over real HTTP: one loopback address per server, the exporters' usual ports, a control server."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from kcloud_exporter.errors import KcloudError
from kcloud_exporter.fleet import configs
from kcloud_exporter.fleet.configs import ExporterEndpoint, Method
from kcloud_exporter.fleet.control import control_app
from kcloud_exporter.fleet.demo import build_world
from kcloud_exporter.fleet.exposition import OPENMETRICS, TEXT, to_openmetrics
from kcloud_exporter.fleet.faults import GARBAGE, FaultBoard, cut_off, drip, hang_up, without_devices
from kcloud_exporter.fleet.pages import PORTS, Place, places, render
from kcloud_exporter.fleet.spec import FleetSpec
from kcloud_exporter.fleet.truth import truth
from kcloud_exporter.fleet.world import World
from kcloud_exporter.listening import accept_no_more

# One fleet owns 127.<octet>.0.0/16 for as long as it holds this port on its first address.
_CLAIM_PORT: Final = 28299
_OCTETS: Final = range(32, 232)
_BACKLOG: Final = 128
_PATHS: Final = ("/metrics", "/ipmi", "/snmp")
_THREAD_FROM_BYTES: Final = 256 * 1024
_BURST_SECONDS: Final = 0.03


class Fleet:
    """`async with Fleet(spec) as fleet:` serves every exporter of a world until the block is left.

    Raises KcloudError on entering when the loopback network has no room (it needs Linux, where all of 127/8
    is local).
    """

    def __init__(
        self, spec: FleetSpec | None = None, *, control_port: int = 0, clock: Callable[[], float] = time.time
    ) -> None:
        self.spec, self.clock = spec or FleetSpec(), clock
        self.control_url = ""
        self.exporters: tuple[ExporterEndpoint, ...] = ()
        self._control_port = control_port
        self._world: World | None = None
        self._by_socket: dict[tuple[str, int], Place] = {}
        self._board: FaultBoard | None = None
        self._closing = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            octet = stack.enter_context(_claim())
            self._world = build_world(self.spec, self.clock(), octet)
            self._board = FaultBoard(places(self._world))
            runner = web.ServerRunner(
                web.Server(self._answer, handler_cancellation=True),
                shutdown_timeout=1.0,
            )
            await runner.setup()
            listening: list[socket.socket] = []
            stack.push_async_callback(_close, runner, listening)
            stack.callback(self._board.close)
            exporters = []
            for place in places(self._world):
                sock = _listen(place.address, PORTS[place.vendor])
                address, port = sock.getsockname()
                listening.append(sock)
                await web.SockSite(runner, sock, backlog=_BACKLOG).start()
                self._by_socket[address, port] = place
                url = f"http://{address}:{port}/metrics"
                exporters.append(ExporterEndpoint(place.cluster, place.node, place.vendor, url))
            self.exporters = tuple(exporters)
            await self._start_control(stack, self._board)
            self._closing = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closing.aclose()

    async def _start_control(self, stack: contextlib.AsyncExitStack, board: FaultBoard) -> None:
        runner = web.AppRunner(control_app(self.exporters, board, self.truth), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        sock = _listen("127.0.0.1", self._control_port, exact=self._control_port != 0)
        stack.push_async_callback(_close, runner, [sock])
        await web.SockSite(runner, sock).start()
        self.control_url = f"http://127.0.0.1:{sock.getsockname()[1]}"

    @property
    def world(self) -> World:
        """What is simulated. Raises RuntimeError before the fleet has started."""
        if self._world is None:
            raise RuntimeError("the fleet has not started: use `async with Fleet(spec) as fleet:`")
        return self._world

    def truth(self, at: float | None = None) -> dict[str, Any]:
        """What a perfect ledger says at a time (Unix seconds), by default now."""
        return truth(self.world, self.clock() if at is None else at)

    def kcloud_config(
        self,
        method: Method = "exporter",
        prometheus_urls: Mapping[str, str] | None = None,
        interval: str = "5s",
    ) -> dict[str, Any]:
        """The configuration of a kcloud-exporter that reads this fleet, as the YAML file would hold it."""
        return configs.kcloud_config(
            self.world, self.exporters, method=method, prometheus_urls=prometheus_urls, interval=interval
        )

    def prometheus_config(self, cluster: str, scrape_interval: str = "1s") -> dict[str, Any]:
        """The `prometheus.yml` of one cluster's Prometheus, as a dict."""
        return configs.prometheus_config(self.world, self.exporters, cluster, scrape_interval)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        board = self._board
        place = self._by_socket.get(_local_address(request))
        if place is None or board is None or request.path not in _PATHS:
            return web.Response(status=404, text="Not found; the metrics are at /metrics\n")
        if board.current(place) == "hang":
            await board.wait_while_hanging(place)
        fault = board.current(place)
        if fault in ("down", "hang"):
            hang_up(request)
            return web.Response()
        if fault == "http500":
            return web.Response(status=500, text="An error has occurred while serving metrics\n")
        sampled_at = self.clock()
        # Requests come in bursts. Each is stamped before the first page of the burst is made, so that a sample is
        # as old as its request, and not as its place in the queue.
        await asyncio.sleep(_BURST_SECONDS)
        page = render(self.world, place, sampled_at)
        if fault == "empty":
            page = without_devices(page)
        openmetrics = request.query.get("format") == "openmetrics"
        body = (to_openmetrics(page) if openmetrics else page).encode()
        if fault == "garbage":
            body = GARBAGE
        headers = {"Content-Type": OPENMETRICS if openmetrics else TEXT}
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = await _compress(body)
        if fault == "slow":
            return await drip(request, web.StreamResponse(headers=headers), body)
        if fault == "truncate":
            return await cut_off(request, web.StreamResponse(headers=headers), body)
        return web.Response(body=body, headers=headers)


async def _close(runner: web.ServerRunner | web.AppRunner, listening: list[socket.socket]) -> None:
    """Stop listening, then close what is open."""
    await accept_no_more(listening)
    await runner.cleanup()


async def _compress(body: bytes) -> bytes:
    if len(body) < _THREAD_FROM_BYTES:
        return gzip.compress(body, 1)
    return await asyncio.to_thread(gzip.compress, body, 1)


def _local_address(request: web.BaseRequest) -> tuple[str, int]:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return (name[0], name[1]) if name else ("", 0)


@contextlib.contextmanager
def _claim() -> Iterator[int]:
    """Hold a network 127.<octet>.0.0/16 that no other fleet holds."""
    for octet in _OCTETS:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.bind((f"127.{octet}.0.1", _CLAIM_PORT))
        except OSError as exc:
            sock.close()
            if exc.errno == errno.EADDRINUSE:
                continue
            raise KcloudError(f"fleet: 127.{octet}.0.1 cannot be used ({exc.strerror}); it needs Linux") from exc
        with sock:
            yield octet
        return
    raise KcloudError(f"fleet: {len(_OCTETS)} other fleets run on this machine")


def _listen(address: str, port: int, *, exact: bool = False) -> socket.socket:
    """A bound socket at `port`, or at any free one when that is taken and `exact` does not insist."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # two sockets may bind the same port before either listens: only listen decides
        sock.bind((address, port))
        sock.listen(_BACKLOG)
    except OSError as exc:
        sock.close()
        if exc.errno == errno.EADDRINUSE and not exact:
            return _listen(address, 0, exact=True)
        raise KcloudError(f"fleet: cannot listen on {address}:{port} ({exc.strerror})") from exc
    sock.setblocking(False)
    return sock


async def run_fleet(
    spec: FleetSpec | None = None, *, control_port: int = 0, write: Callable[[str], object] | None = None
) -> None:
    """Serve a fleet until cancelled; the URLs go to `write` (standard output) once it serves."""
    write = write or sys.stdout.write
    async with Fleet(spec, control_port=control_port) as fleet:
        lines = [f"{each.cluster:<9} {each.node:<10} {each.vendor:<18} {each.url}" for each in fleet.exporters]
        write("\n".join([*lines, f"control: {fleet.control_url}/  (truth, exporters, fault)", ""]))
        await asyncio.Event().wait()
