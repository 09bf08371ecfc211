"""The web server over real sockets: pages, narrowing, errors."""

from __future__ import annotations

from gzip import decompress as unpack

import pytest

from kcloud_exporter.errors import ListenError
from kcloud_exporter.web.server import build_app, start_site
from tests.web.program import PAGE, Program, fetch, serving


class TestMetrics:
    @pytest.mark.parametrize(
        ("accept", "openmetrics"),
        [
            ("", False),
            ("*/*", False),
            ("text/plain", False),
            ("application/openmetrics-text", True),
            ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
            ("application/openmetrics-text;q=0.2,text/plain;q=0.8", False),
            ("application/openmetrics-text;q=0", False),
            ("application/openmetrics-text;q=0.5,*/*", False),
            ("application/openmetrics-text,text/*;q=0.9,*/*", True),
        ],
    )
    async def test_the_format_follows_accept(self, program: Program, accept: str, openmetrics: bool) -> None:
        async with serving(program.deps()) as port:
            status, headers, body = await fetch(port, "/metrics", Accept=accept, Accept_Encoding="identity")

        assert (status, body) == (200, PAGE)
        assert program.asked[0][0] == openmetrics
        expected = "application/openmetrics-text; version=1.0.0" if openmetrics else "text/plain; version=0.0.4"
        assert headers["Content-Type"] == f"{expected}; charset=utf-8"
        assert "Content-Encoding" not in headers

    async def test_gzip_when_asked(self, program: Program) -> None:
        async with serving(program.deps()) as port:
            _, headers, body = await fetch(port, "/metrics", Accept_Encoding="gzip;q=0.5")

        assert headers["Content-Encoding"] == "gzip"
        assert unpack(body) == PAGE
        assert headers["Vary"] == "Accept, Accept-Encoding"

    async def test_narrowing_is_handed_on(self, program: Program) -> None:
        async with serving(program.deps()) as port:
            await fetch(port, "/metrics?collect[]=node&collect[]=cluster&cluster=c2")

        assert program.asked == [(False, frozenset({"node", "cluster"}), frozenset({"c2"}))]

    @pytest.mark.parametrize(
        ("query", "code", "word"), [("collect[]=nodes", 400, "nodes"), ("cluster=zz", 404, "zz"), ("foo=1", 400, "foo")]
    )
    async def test_what_is_unknown_is_named(self, program: Program, query: str, code: int, word: str) -> None:
        async with serving(program.deps()) as port:
            status, headers, body = await fetch(port, f"/metrics?{query}")

        assert status == code
        assert headers["Content-Type"].startswith("application/json")
        assert word in body.decode()
        assert program.asked == []

    async def test_before_the_first_snapshot(self, program: Program) -> None:
        program.ready = False
        async with serving(program.deps()) as port:
            assert (await fetch(port, "/metrics"))[0] == 503
            assert (await fetch(port, "/-/ready"))[0] == 503
            assert (await fetch(port, "/-/healthy"))[0] == 200


class TestPages:
    async def test_landing_page_shows_sources_and_escapes_them(self, program: Program) -> None:
        async with serving(program.deps()) as port:
            status, headers, body = await fetch(port, "/")

        assert status == 200
        assert b"dcgm@h:1" in body
        assert b"&lt;b&gt;x" in body
        assert b"<b>x" not in body
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Server" not in headers

    async def test_reload_only_with_the_lifecycle_flag(self, program: Program) -> None:
        async with serving(program.deps()) as port:
            assert (await fetch(port, "/-/reload", "POST"))[0] == 403
        async with serving(program.deps(lifecycle=True)) as port:
            status, _, body = await fetch(port, "/-/reload", "POST")
            assert status == 500
            assert b"this key is needed" in body
            program.problems = []
            assert (await fetch(port, "/-/reload", "POST"))[0] == 200
            assert (await fetch(port, "/-/reload"))[0] == 405

    async def test_a_clients_path_is_no_label(self, program: Program) -> None:
        async with serving(program.deps()) as port:
            for number in range(5):
                assert (await fetch(port, f"/nope/{number}"))[0] == 404
            assert (await fetch(port, "/metrics", "DELETE"))[0] == 405

        assert set(program.observed) == {("unknown", "GET", 404), ("unknown", "DELETE", 405)}

    async def test_head_tells_the_length_and_sends_nothing(self, program: Program) -> None:
        async with serving(program.deps()) as port:
            for path in ("/", "/metrics"):
                status, headers, body = await fetch(port, path, "HEAD", Accept_Encoding="identity")
                assert (status, body) == (200, b"")
                assert int(headers["Content-Length"]) > 0

    async def test_a_taken_address_is_told(self, program: Program) -> None:
        async with serving(program.deps()) as port:
            with pytest.raises(ListenError, match=r"--web\.listen-address"):
                await start_site(build_app(program.deps()), "127.0.0.1", port, None)
