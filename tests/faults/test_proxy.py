"""The proxy does what it says: without a fault it changes nothing, with one it does that one, and notes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.faults.proxy import Fault, FaultProxy

SAID = bytes(range(256)) * 400


@contextlib.asynccontextmanager
async def echo_after_one_byte(said: bytes = SAID) -> AsyncIterator[int]:
    """Says its piece when it has been asked, and closes when the other does."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            asked = await reader.read(1)
            if asked:
                writer.write(asked + said)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def heard(fault: Fault, seed: int = 0) -> tuple[bytes, bool, FaultProxy]:
    """What a client gets, and whether its connection was reset."""
    async with echo_after_one_byte() as port, FaultProxy("127.0.0.1", port, fault, seed) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"?")
        got, reset = bytearray(), False
        try:
            async with asyncio.timeout(10):
                while data := await reader.read(1 << 16):
                    got += data
        except ConnectionResetError:
            reset = True
        writer.transport.abort()
    return bytes(got), reset, proxy


async def test_without_a_fault_every_byte_comes_through() -> None:
    got, reset, proxy = await heard(Fault())
    assert got == b"?" + SAID
    assert not reset
    assert proxy.injected == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(latency=0.01, jitter=0.02),
        Fault(bandwidth=10_000_000),
        Fault(drip=(20_000, 0.01)),
    ],
    ids=["latency", "bandwidth", "drip"],
)
async def test_what_is_late_or_slow_comes_whole(fault: Fault, request: pytest.FixtureRequest) -> None:
    got, _, proxy = await heard(fault)
    assert got == b"?" + SAID
    assert proxy.kinds == {request.node.callspec.id}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(Fault(cut_after=1000), "cut"), (Fault(half_close_after=1000), "half_close")],
)
async def test_a_cut_is_at_the_byte_that_was_asked_for(fault: Fault, kind: str) -> None:
    got, reset, proxy = await heard(fault)
    assert got == (b"?" + SAID)[:1000]
    assert not reset
    assert [(each.kind, each.byte) for each in proxy.injected] == [(kind, 1000)]


async def test_a_reset_is_a_reset() -> None:
    got, reset, proxy = await heard(Fault(reset_after=1000))
    assert reset
    assert len(got) <= 1000
    assert proxy.kinds == {"reset"}


async def test_one_byte_is_falsified_and_the_same_seed_does_it_again() -> None:
    one, _, proxy = await heard(Fault(corrupt_at=5000), seed=3)
    again, _, _ = await heard(Fault(corrupt_at=5000), seed=3)
    assert [at for at, (a, b) in enumerate(zip(one, b"?" + SAID, strict=True)) if a != b] == [5000]
    assert one == again
    assert proxy.kinds == {"corrupt"}


async def test_a_black_hole_takes_everything_and_says_nothing() -> None:
    async with echo_after_one_byte() as port, FaultProxy("127.0.0.1", port, Fault(black_hole=True)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)
        writer.transport.abort()
    assert proxy.kinds == {"black_hole"}


async def test_who_refuses_refuses_and_comes_back_at_the_same_port() -> None:
    async with echo_after_one_byte() as port, FaultProxy("127.0.0.1", port) as proxy:
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        await proxy.listen()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"?")
        assert await reader.read(1) == b"?"
        writer.transport.abort()
