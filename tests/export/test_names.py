"""Names of files and what else a header carries: no word of a fleet or a client gets out of its place."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.clusters import answering, config_of, page_of, served
from tests.faults.whole import product

EVIL = 'x"; filename="evil.html'
BREAKS = "\r\nSet-Cookie: session=stolen\r\n\r\n<script>"
DISPOSITION = re.compile(r'attachment; filename="kcloud-[a-z]+-[0-9TZ-]+\.(json|csv|parquet|xlsx|pdf)"')


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A program whose clusters, sites and labels have names that break out of headers, where nothing forbids it."""
    async with served({"x": answering(page_of("x"))}) as url:
        data: dict[str, Any] = config_of({EVIL: f"{url}/x", f"c{BREAKS}": f"{url}/x", "é\u2028": f"{url}/x"})
        for cluster in data["clusters"]:
            cluster |= {"site": f"s{BREAKS}", "labels": {"region": BREAKS}}
        async with (
            product(data, tmp_path) as (_, port),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as found,
        ):
            yield found


async def test_no_name_ends_a_header_or_begins_another(client: httpx.AsyncClient) -> None:
    asked = [{"format": form} for form in ("json", "csv", "parquet", "excel", "pdf")]
    asked += [{"format": "json", "cluster": cluster} for cluster in (EVIL, f"c{BREAKS}", "é\u2028")]
    for each in asked:
        answer = await client.get("/api/v1/export/power", params=each | {"period": "5m", "step": "60s"})
        assert answer.status_code == 200, answer.text
        assert DISPOSITION.fullmatch(answer.headers["Content-Disposition"])
        assert "Set-Cookie" not in answer.headers
        assert len(answer.headers.get_list("X-Kcloud-Provenance")) == 1
        json.loads(answer.headers["X-Kcloud-Provenance"])
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_no_word_of_a_client_comes_back_in_a_header(client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/export/power", "/api/v1/export/report", "/metrics", "/api/v1/clusters", "/"):
        for name in ("cluster", "format", "template", "start_time", f"x{BREAKS}"):
            answer = await client.get(path, params={name: f"a{BREAKS}"})
            assert answer.status_code < 500
            assert not [value for value in answer.headers.values() if "stolen" in value or "script" in value]
            assert "Set-Cookie" not in answer.headers
