"""schemathesis asks the running program everything that its OpenAPI document allows, and much that it does not.

No answer is a server error; status, media type, headers and body of each are what the document says; what the document
does not allow is refused. `KCLOUD_TEST_QUESTIONS=200` asks more of each operation, and other things with
`KCLOUD_TEST_SEED`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.api.program import whole_program
from tests.real.page import parse_page, select

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTIONS = int(os.environ.get("KCLOUD_TEST_QUESTIONS", "0"))
SEED = os.environ.get("KCLOUD_TEST_SEED", "1")
ENDLESS = "/api/v1/monitoring/events/power"
"""A stream of events never ends, and so has no answer to compare; tests/stream has a client that reads it."""
FILES = "/api/v1/export/(power|metrics|report)$"
"""Each of these answers takes a process of its own."""
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance"
)
"""Not among them: that all is accepted which the document allows. Some of it is nonsense in a way that no schema tells:
a period beside the times that it would follow from, a duration of nothing, an end before its beginning."""


class Served:
    """The running program, its document, and ids of what it knows."""

    def __init__(self, port: int, document: dict[str, Any], parts: dict[str, Any]) -> None:
        self.url, self.document, self.parts = f"http://127.0.0.1:{port}", document, parts


async def fetch(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200, await response.text()
        return await response.json()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder: Path = tmp_path_factory.mktemp("program")
    async with whole_program(folder, ticks=3, pause=0.3) as (_, _, port):
        api = f"http://127.0.0.1:{port}/api/v1"
        parts: dict[str, Any] = {"cluster_name": "seoul-a", "node_name": "gpu-2"}
        for kind in ("gpu", "npu"):
            parts[f"{kind}_id"] = (await fetch(f"{api}/accelerators/{kind}s?limit=1"))["data"][0]["uuid"]
        pod = (await fetch(f"{api}/infrastructure/pods?cluster=seoul-a&limit=1"))["data"][0]
        container = (await fetch(f"{api}/infrastructure/containers?limit=1"))["data"][0]
        parts |= {"namespace": pod["namespace"], "pod_name": pod["pod"], "container_id": container["container_id"]}
        parts["vm_id"] = (await fetch(f"{api}/infrastructure/vms?limit=1"))["data"][0]["vm"]
        yield Served(port, await fetch(f"{api}/openapi.json"), parts)


async def asked(served: Served, folder: Path, *arguments: str) -> str:
    """Run it to its end, and return what it says. Whatever it finds stands in the failure."""
    lines = [f'"path.{name}" = {json.dumps(value)}' for name, value in served.parts.items()]
    await asyncio.to_thread((folder / "schemathesis.toml").write_text, "[parameters]\n" + "\n".join(lines) + "\n")
    command = [
        *(sys.executable, "-c", "import schemathesis.cli; schemathesis.cli.schemathesis()", "--no-color", "run"),
        f"{served.url}/api/v1/openapi.json",
        *("--checks", CHECKS, "--seed", SEED, "--continue-on-failure", "--no-shrink", "--suppress-health-check=all"),
        *("--request-timeout=60", "--warnings=off", *arguments),
        *(("--generation-database=none",) if "KCLOUD_TEST_SEED" in os.environ else ("--generation-deterministic",)),
    ]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said[-8000:]
    print(said[said.rfind("Test cases:") :])
    return said


@pytest.mark.timeout(120 + 60 * QUESTIONS)
async def test_every_answer_is_what_the_document_says(served: Served, tmp_path: Path) -> None:
    said = await asked(
        served,
        tmp_path,
        *("--exclude-path", ENDLESS, "--exclude-path-regex", FILES),
        *("--phases=examples,coverage,fuzzing", "--max-examples", str(QUESTIONS or 3)),
    )
    paths = {path for path in served.document["paths"] if path != ENDLESS and not re.search(FILES, path)}
    assert f"Tested: {len(paths)}" in said, said[-2000:]
    await everything_was_answered(served, paths)


@pytest.mark.timeout(120 + 60 * QUESTIONS)
async def test_every_file_is_what_the_document_says(served: Served, tmp_path: Path) -> None:
    phases = "examples,coverage,fuzzing" if QUESTIONS else "examples,fuzzing"
    said = await asked(
        served, tmp_path, "--include-path-regex", FILES, f"--phases={phases}", "--max-examples", str(QUESTIONS or 4)
    )
    assert "Tested: 3" in said, said[-2000:]
    await everything_was_answered(served, {path for path in served.document["paths"] if re.search(FILES, path)})


async def everything_was_answered(served: Served, paths: set[str]) -> None:
    """A tool that only ever hears 404 would find no fault: each operation has answered 200, and none with a 5xx."""
    async with aiohttp.ClientSession() as session, session.get(f"{served.url}/metrics") as response:
        page = parse_page(await response.text())
    rows = [dict(labels) for _, labels in select(page, "kcloud_exporter_http_requests_total")]
    assert paths - {row["route"] for row in rows if row["code"] == "200"} == set()
    assert [row for row in rows if row["code"].startswith("5")] == []
