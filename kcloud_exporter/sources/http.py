"""HTTP: one request in, bytes or one of the closed list of reasons out. Nothing of httpx goes further.

Never followed: redirects, proxies of the environment, cookies. Bounded: time to connect, time in total, bytes on
the wire, bytes after decompression.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx
from isal import isal_zlib

from kcloud_exporter import __version__
from kcloud_exporter.errors import FailureReason, SourceError
from kcloud_exporter.sources.access import Access, authorization, hidden, tls_context, tls_stamp

CONNECT_SECONDS: Final = 3.0
_OK: Final = frozenset({200})
_GZIP: Final = 16 + 15
_STEP = 1 << 20
_BROKEN: Final[type[Exception]] = isal_zlib.error  # type: ignore[assignment]  # the stub declares an instance


@dataclass(frozen=True, slots=True)
class Fetched:
    """One complete answer, not yet decompressed (see `decoded`).

    `is_framed` tells that the answer itself says where it ends; without it a cut answer looks like a whole one.
    `age` is for how many seconds the request has been out on an open connection: as in Prometheus, a sample is as
    old as its request. When the answer came in says less, for this loop may have been busy with other answers.
    """

    status: int
    raw: bytes
    encoding: str
    content_type: str
    is_framed: bool
    sent_at: float = 0.0
    """When the request went out, in seconds on the steady clock of the connection."""


class _Sent:
    """When a request went out, told by the HTTP library's trace; waiting for a connection does not count."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self.at = steady()

    async def trace(self, event: str, _: object) -> None:
        """Called by httpcore at each step of a request."""
        if event.endswith("send_request_headers.started"):
            self.at = self._steady()


class Connection:
    """Owns the connections to the endpoints of one source: pool, TLS context, credentials."""

    def __init__(
        self,
        access: Access | None,
        *,
        connections: int,
        body_bytes: int,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access, self._connections, self.body_bytes = access, connections, body_bytes
        self._steady = steady
        self._client: httpx.AsyncClient | None = None
        self._stamp: tuple[int, ...] = ()

    async def fetch(
        self,
        method: str,
        url: str,
        timeout_seconds: float,
        *,
        headers: Mapping[str, str],
        data: Mapping[str, str] | None = None,
        content: bytes | None = None,
        accept: frozenset[int] = _OK,
    ) -> Fetched:
        """Send one request and read the whole answer within `timeout_seconds`.

        Raises SourceError, also for a status that is not in `accept` and for an HTML page.
        """
        tls = None if self._access is None else self._access.tls
        try:
            async with asyncio.timeout(max(timeout_seconds, 0.0)):
                client, sent = await self._current_client(), _Sent(self._steady)
                request = client.build_request(
                    method,
                    url,
                    headers={**headers, "Accept-Encoding": "gzip", **authorization(self._access)},
                    data=None if data is None else dict(data),
                    content=content,
                    timeout=httpx.Timeout(None, connect=min(CONNECT_SECONDS, 0.8 * max(timeout_seconds, 0.0))),
                    extensions={
                        "trace": sent.trace,
                        **({} if tls is None or tls.server_name is None else {"sni_hostname": tls.server_name}),
                    },
                )
                response = await client.send(request, stream=True)
                try:
                    return replace(await self._read(response, accept), sent_at=sent.at)
                finally:
                    await response.aclose()
        except SourceError:
            raise
        except Exception as exc:
            raise translate(exc) from exc

    def hide(self, text: str, url: str = "") -> str:
        """What an endpoint said, without the credentials that it was told."""
        return hidden(text, self._access, url)

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _current_client(self) -> httpx.AsyncClient:
        tls = None if self._access is None else self._access.tls
        stamp = tls_stamp(tls)
        if self._client is None or stamp != self._stamp:
            before, self._client, self._stamp = self._client, self._open(tls_context(tls)), stamp
            if before is not None:
                await before.aclose()
        return self._client

    def _open(self, context: ssl.SSLContext) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=context,
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            limits=httpx.Limits(max_connections=self._connections, max_keepalive_connections=self._connections),
            headers={"User-Agent": f"kcloud-exporter/{__version__}"},
        )

    async def _read(self, response: httpx.Response, accept: frozenset[int]) -> Fetched:
        status, headers = response.status_code, response.headers
        if status not in accept:
            raise status_error(status)
        content_type = headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml"):
            raise SourceError("content_type", f"the answer is a {content_type[:40]} page")
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip"):
            raise SourceError("bad_encoding", f"Content-Encoding {encoding[:40]!r} was not asked for")
        announced = headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced) > self.body_bytes:
            raise SourceError("body_size", f"{announced} bytes, the limit is {self.body_bytes}")
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > self.body_bytes:
                raise SourceError("body_size", f"more than {self.body_bytes} bytes")
            chunks.append(chunk)
        is_framed = bool(announced) or "chunked" in headers.get("transfer-encoding", "").lower()
        return Fetched(status, b"".join(chunks), encoding, content_type, is_framed)


def status_error(status: int) -> SourceError:
    """The reason that a status which is no success stands for."""
    reason: FailureReason
    if status in (401, 403):
        reason = "auth"
    elif 300 <= status < 400:
        reason = "redirect"
    elif 400 <= status < 500:
        reason = "http_4xx"
    elif status >= 500:
        reason = "http_5xx"
    else:
        reason = "content_type"
    return SourceError(reason, f"HTTP status {status}")


def decoded(fetched: Fetched, body_bytes: int) -> bytes:
    """The bytes of an answer. CPU-bound: call it off the event loop. Raises SourceError."""
    return b"".join(Decoding(fetched, body_bytes))


class Decoding:
    """The bytes of an answer, some at a time, so that a large one is never there as a whole. Raises SourceError.

    `size` is how many have come. Exactly one gzip member is accepted: thousands of small ones are a way to keep a
    reader busy.
    """

    def __init__(self, fetched: Fetched, body_bytes: int) -> None:
        self._fetched, self._body_bytes = fetched, body_bytes
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        fetched = self._fetched
        if fetched.encoding != "gzip":
            if not fetched.is_framed and fetched.raw and not fetched.raw.endswith((b"\n", b"}")):
                raise SourceError("truncated", "the answer does not say where it ends, and ends within a line")
            self.size = len(fetched.raw)
            yield fetched.raw
            return
        for piece in _unzipped(fetched.raw):
            self.size += len(piece)
            if self.size > self._body_bytes:
                raise SourceError("body_size", f"more than {self._body_bytes} bytes when decompressed")
            yield piece


def _unzipped(raw: bytes) -> Iterator[bytes]:
    """Decompress in steps of bounded size. Slices of the input keep what is left over of each step small."""
    if not b"\x1f\x8b".startswith(raw[:2]):
        raise SourceError("bad_encoding", "Content-Encoding says gzip, the bytes do not")
    stream = isal_zlib.decompressobj(_GZIP)
    try:
        for at in range(0, len(raw), 1 << 16):
            if stream.eof:
                raise SourceError("bad_encoding", "more than one gzip member")
            pending = raw[at : at + (1 << 16)]
            while pending:
                piece = stream.decompress(pending, _STEP)
                pending = stream.unconsumed_tail
                if piece:
                    yield piece
                elif pending:
                    raise SourceError("bad_encoding", "broken gzip")
        # A full output buffer may leave output behind although no input is left.
        while not stream.eof and (piece := stream.decompress(b"", _STEP)):
            yield piece
    except _BROKEN as exc:
        raise SourceError("bad_encoding", f"broken gzip: {exc}") from None
    if stream.unused_data:
        raise SourceError("bad_encoding", "more than one gzip member")
    if not stream.eof:
        raise SourceError("truncated", "the gzip stream ended before its end")


def translate(exc: BaseException) -> SourceError:
    """The reason that an exception of httpx, ssl or the socket stands for."""
    return SourceError(_reason(exc), f"{type(exc).__name__}: {exc}"[:500])


def _reason(exc: BaseException) -> FailureReason:
    causes = list(_causes(exc))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "dns"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "tls"
    match exc:
        case httpx.ConnectTimeout():
            return "connect_timeout"
        case httpx.TimeoutException() | TimeoutError():
            return "timeout"
        case httpx.ProtocolError():
            return "truncated" if "peer closed" in str(exc) or "Server disconnected" in str(exc) else "headers"
        case httpx.ReadError() | httpx.WriteError() | httpx.CloseError():
            return "truncated"
        case httpx.ConnectError() | httpx.UnsupportedProtocol() | httpx.InvalidURL() | OSError():
            return "connect"
    return "internal"


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        exc = exc.__cause__ or exc.__context__


def clock() -> float:
    """Seconds on a clock that never steps: for deadlines and durations."""
    return time.perf_counter()
