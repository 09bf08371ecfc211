"""The one tree of exceptions.

    KcloudError
    ├── ConfigError     the configuration is wrong: fatal at start, refused on reload
    ├── VendorError     a vendor table is wrong: fatal at start
    ├── ListenError     the address to serve on cannot be had: fatal at start
    ├── RequestError    a client asked for what is not there, or in words that mean nothing: told to it, never fatal
    ├── ExportError     a file that was asked for cannot be made: told to whoever asked, never fatal
    ├── HistoryError    a question to history has no answer: told to whoever asked, never fatal
    ├── ArtefactError   rules, dashboards or docs cannot be generated
    ├── RecordingError  a recording cannot be written, read, or replayed: told to whoever asked, never fatal
    ├── StorageError    the counters on disk cannot be read or written: fatal at start, counted at run time
    ├── SelectorError   what was asked for is written wrongly, or means no series or several
    ├── StreamError     a client asked for a stream that it cannot have: an answer to it, never fatal
    └── SourceError     a source failed this time: data, never fatal; carries one of FAILURE_REASONS

Foreign exceptions (httpx, ssl, zlib, msgspec, ...) are translated at the door of `sources/` and go no further.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

FailureReason = Literal[
    "auth",  # 401 or 403
    "bad_encoding",  # Content-Encoding that was not asked for, broken gzip, more than one gzip member
    "body_size",  # more decompressed bytes than limits.body_bytes
    "connect",  # refused, unreachable, reset while connecting
    "connect_timeout",  # no TCP connection in time
    "content_type",  # 200 with something that is no exposition (an HTML login page)
    "dns",  # the name does not resolve
    "headers",  # response headers too large or malformed
    "http_4xx",
    "http_5xx",
    "internal",  # a defect of ours; the other clusters go on
    "parse",  # malformed exposition or JSON: the whole body is discarded
    "query_error",  # the API answered status=error
    "redirect",  # never followed: credentials stay where they belong
    "series_limit",  # more series than limits.series_per_source
    "timeout",  # connected, but no complete answer in time
    "tls",  # certificate or handshake
    "truncated",  # the body ended before its end
]
FAILURE_REASONS: Final[tuple[FailureReason, ...]] = get_args(FailureReason)

RejectReason = Literal[
    "counter_reset",  # a counter fell and how far it had come is unknown: no power this cycle
    "duplicate",  # the same series twice in one answer: the first is kept
    "exceeds_node",  # pods claim more than their node's meter: scaled down
    "label_limit",  # too many labels, or a label too long
    "negative",
    "not_finite",  # NaN or ±Inf
    "out_of_bounds",  # beyond what the hardware can draw
    "pue_below_one",
    "sentinel",  # the exporter's way to say "no reading"
    "stale",  # older than max_staleness, or a clock that stands still
    "unidentified",  # no device key, or no node name
    "utf8",  # a label that is no UTF-8
]
REJECT_REASONS: Final[tuple[RejectReason, ...]] = get_args(RejectReason)


class KcloudError(Exception):
    """The root of every error that this program raises on purpose."""


class ConfigError(KcloudError):
    """The configuration is wrong. `problems` holds every mistake, each with its dotted location."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class VendorError(KcloudError):
    """A vendor table is wrong; the message names the file and the place in it."""


class ListenError(KcloudError):
    """The address to serve on cannot be had; the message says which, why, and what to do."""


class ArtefactError(KcloudError):
    """Something generated cannot be written or made; the message names the file or what is missing."""


class StorageError(KcloudError):
    """Counters could not be read or written; the message names the file and what to do."""


class RequestError(KcloudError):
    """A request has no answer. `status` is that of HTTP, `details` name the culprit; the message says what to do."""

    def __init__(self, status: int, message: str, details: Mapping[str, str] | None = None) -> None:
        self.status, self.details = status, dict(details or {})
        super().__init__(message)


HistoryReason = Literal[
    "bad_request",  # what was asked for does not exist or makes no sense
    "too_large",  # refused before work: more points than one answer may have
    "unavailable",  # the store cannot be read now
]


class HistoryError(KcloudError):
    """A question to history has no answer. `reason` says whose fault it is; the message says what to do."""

    def __init__(self, reason: HistoryReason, message: str) -> None:
        self.reason: HistoryReason = reason
        super().__init__(message)


class ExportError(KcloudError):
    """A file cannot be made. `status` is that of HTTP, `parameter` names the culprit; the message says what to do."""

    def __init__(self, status: int, message: str, parameter: str = "") -> None:
        self.status, self.parameter = status, parameter
        super().__init__(message)


class SelectorError(KcloudError):
    """A selector of a series is wrong, or means no series or several; the message says which."""

    def __init__(self, message: str, *, absent: bool = False) -> None:
        self.absent = absent
        super().__init__(message)


class StreamError(KcloudError):
    """A stream that cannot be had: the HTTP status that says so, and the parameter at fault (empty when none is)."""

    def __init__(self, status: int, message: str, parameter: str = "") -> None:
        self.status, self.parameter = status, parameter
        super().__init__(message)


class RecordingError(KcloudError):
    """A recording cannot be written, read, or replayed; the message names the file and the place in it."""


class SourceError(KcloudError):
    """One source failed this time. `reason` is a bounded label value, the message is for the log."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        self.reason: FailureReason = reason
        super().__init__(message)
