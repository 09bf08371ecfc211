"""What a source may answer instead of a page: name → (the answer, the reason that must be shown)."""

from __future__ import annotations

import gzip
from typing import Final

from aiohttp import web

from tests.faults.clusters import Answer, answering, page_of

GOOD: Final = page_of("x")
MANY: Final = b"".join(b"a%d 1\n" % n for n in range(20_000))
BOMB: Final = gzip.compress(bytes(64 << 20), 9)
MEMBERS: Final = gzip.compress(b"a 1\n") * 20_000


async def endless(request: web.Request) -> web.StreamResponse:
    """Chunks without end."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    while True:
        await response.write(b"# " + b"x" * 65_000 + b"\n")


async def redirect(_: web.Request) -> web.StreamResponse:
    """Somewhere else."""
    raise web.HTTPFound("http://127.0.0.1:9/stolen")


FAILING: Final[dict[str, tuple[Answer, str]]] = {
    "redirect": (redirect, "redirect"),
    "status-500": (answering(GOOD, 500), "http_5xx"),
    "status-503": (answering(GOOD, 503, Retry_After="3600"), "http_5xx"),
    "status-429": (answering(GOOD, 429), "http_4xx"),
    "status-404": (answering(GOOD, 404), "http_4xx"),
    "status-401": (answering(b"", 401), "auth"),
    "login-page": (answering(b"<html>please log in</html>", Content_Type="text/html"), "content_type"),
    "html-as-text": (answering(b"<html>please log in</html>"), "parse"),
    "gzip-bomb": (answering(BOMB, Content_Encoding="gzip"), "body_size"),
    "gzip-members": (answering(MEMBERS, Content_Encoding="gzip"), "bad_encoding"),
    "gzip-in-name-only": (answering(GOOD, Content_Encoding="gzip"), "bad_encoding"),
    "gzip-cut": (answering(gzip.compress(GOOD)[:-9], Content_Encoding="gzip"), "truncated"),
    "brotli": (answering(GOOD, Content_Encoding="br"), "bad_encoding"),
    "zstd": (answering(GOOD, Content_Encoding="zstd"), "bad_encoding"),
    "large-header": (answering(GOOD, X_Large="x" * 1_000_000), "headers"),
    "endless": (endless, "body_size"),
    "one-bad-line-last": (answering(MANY + b"oops\n"), "parse"),
    "carriage-return": (answering(GOOD.replace(b"\n", b"\r\n")), "parse"),
    "decimal-comma": (answering(GOOD + b"a 1,5\n"), "parse"),
    "arabic-digit": (answering(GOOD + "a ١\n".encode()), "parse"),
    "label-twice": (answering(GOOD + b'a{b="1",b="2"} 1\n'), "parse"),
    "open-quote": (answering(GOOD + b'a{b="c} 1\n'), "parse"),
    "no-eof": (answering(GOOD, Content_Type="application/openmetrics-text; version=1.0.0"), "parse"),
    "too-many-series": (answering(b"".join(b"DCGM_FI_X%d 1\n" % n for n in range(5000))), "series_limit"),
}
_ROW: Final = 'DCGM_FI_DEV_POWER_USAGE{gpu="7",UUID="GPU-x",Hostname="%s-n1"}'
_FIRST: Final = 'gpu="0",UUID="GPU-%s-0",device="nvidia0",modelName="NVIDIA H100",Hostname="%s-n1"'
REJECTING: Final[dict[str, tuple[str, str]]] = {
    "twice": (f"DCGM_FI_DEV_POWER_USAGE{{{_FIRST}}} 5", "duplicate"),
    "not-a-number": (f"{_ROW} NaN", "not_finite"),
    "infinite": (f"{_ROW} +Inf", "not_finite"),
    "negative": (f"{_ROW} -40", "negative"),
    "sentinel": (f"{_ROW} 9223372036854775794", "sentinel"),
    "implausible": (f"{_ROW} 1e6", "out_of_bounds"),
    "milliwatts": (f"{_ROW} 250000", "out_of_bounds"),
    "nobody": ('DCGM_FI_DEV_POWER_USAGE{Hostname="%s-n1"} 5', "unidentified"),
    "long-label": (_ROW.replace("GPU-x", "x" * 100_000) + " 5", "label_limit"),
    "many-labels": (_ROW.replace("}", "".join(f',l{n}="1"' for n in range(400)) + "}") + " 5", "label_limit"),
    "no-utf8": (_ROW.replace("GPU-x", "GPU-\udcff") + " 5", "utf8"),
}
"""What is added to a good page: it costs the samples concerned and nothing else. `%s` is the cluster."""
