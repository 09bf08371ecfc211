"""The live page's files: all of them in the package, cached by their content, and nothing from anywhere else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from kcloud_exporter.stream.page import FOLDER, POLICY
from tests.stream.ground import streaming
from tests.web.program import fetch

FILES = sorted(path.name for path in FOLDER.iterdir())


def path_of(name: str) -> str:
    return "/live" if name == "live.html" else f"/live/{name}"


async def test_every_file_is_served_and_not_sent_twice() -> None:
    async with streaming() as server:
        for name in FILES:
            status, headers, body = await fetch(server.port, path_of(name))
            assert (status, body) == (200, (FOLDER / name).read_bytes())
            assert headers["Content-Security-Policy"] == POLICY
            assert headers["Cache-Control"] == "no-cache"
            assert headers["X-Content-Type-Options"] == "nosniff"
            etag = {key.lower(): value for key, value in headers.items()}["etag"]
            for tag in (etag, f"W/{etag}", f'"x", {etag}', "*"):
                again, _, body = await fetch(server.port, path_of(name), If_None_Match=tag)
                assert (again, body) == (304, b""), tag
            assert (await fetch(server.port, path_of(name), If_None_Match='"other"'))[0] == 200


async def test_nothing_but_the_files_is_served() -> None:
    async with streaming() as server:
        for path in (
            "/live/",
            "/live/..%2fpage.py",
            "/live/../page.py",
            "/live/live.html",
            "/live/%00",
            "/live/main.js/x",
        ):
            assert (await fetch(server.port, path))[0] == 404, path
        assert (await fetch(server.port, "/live?cluster=c1"))[0] == 400


def test_the_package_holds_the_files() -> None:
    data = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "stream/browser/*" in data["package-data"]["kcloud_exporter"]
    assert {"live.html", "live.css", "main.js", "icon.svg"} <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_holds_nothing_inline_and_nothing_from_another_host(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert set(re.findall(r"https?://[^\"' )]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    if name.endswith(".html"):
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", text)
        named = re.findall(r'(?:src|href)="live/([^"]+)"', text)
        assert set(named) <= set(FILES)
    for imported in re.findall(r'from "\./([^"]+)"', text):
        assert imported in FILES
