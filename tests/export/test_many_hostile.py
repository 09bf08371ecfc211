"""5,000 hostile sets of labels, through the running program into every format, the JSON API and the page."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio
from pypdf import PdfReader

from kcloud_exporter import app
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.export.safe import cell, csv_text
from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.model import Keys, Table
from tests.export.test_hostile import FORMULA, HOSTILE
from tests.history.test_running import OPTIONS
from tests.real.page import parse_page, select

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETS = 5_000
FAMILY = "kcloud_pod_power_watts"
_PIECES = [text[:60] for text in (*HOSTILE, "\u2028", "\x85", "{{7*7}}", "${x}", "%0d%0a", "]]>", "<!--", "\\", "|cmd")]
NODES = ("=1+1", "<b>&\x07", "서울\u202e", "a\r\nX-Evil: 1")
"""Few, so that a PDF, which holds less than 5,000 rows, can be had of each."""


def hostile_labels() -> list[tuple[str, str, str]]:
    """(node, namespace, pod), no two of them equal: what strangers write, alone and in pairs, in any place."""
    dice, found = random.Random(20), dict[tuple[str, str, str], None]()
    while len(found) < SETS:
        namespace, pod = ("".join(dice.choice(_PIECES) for _ in range(dice.randint(1, 2))) for _ in range(2))
        found[dice.choice(NODES), namespace, pod] = None
    return list(found)


LABELS = hostile_labels()
WATTS = {labels: float(n) for n, labels in enumerate(LABELS, 1)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running program, whose newest snapshot has such pods, each with a watt more than the last."""
    folder: Path = tmp_path_factory.mktemp("hostile")
    async with Fleet(FleetSpec(frozen=True)) as fleet:
        config = parse_config(fleet.kcloud_config("exporter", interval="60s"), {})
        async with app.running(config, lambda: config, OPTIONS, folder) as (runtime, port):
            snapshot = runtime.store.current
            assert snapshot is not None
            cluster = snapshot.clusters["seoul-a"]
            keys = Keys([("seoul-a", *labels, "gpu") for labels in LABELS])
            tables = {**cluster.tables, FAMILY: Table(keys, np.arange(1.0, SETS + 1))}
            clusters = {**snapshot.clusters, "seoul-a": replace(cluster, tables=tables)}
            changed = replace(snapshot, cycle=snapshot.cycle + 1, timestamp=snapshot.timestamp + 1, clusters=clusters)
            runtime.store.publish(changed)
            runtime.pages.render(changed)
            await asyncio.sleep(0.5)
            base = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=100) as it:
                yield it


async def file(client: httpx.AsyncClient, form: str, **more: str) -> bytes:
    """A file of all pods of the cluster."""
    now = time.time()
    window = {"start_time": f"{now - 900:.0f}", "end_time": f"{now + 900:.0f}", "step": "30m"}
    said = {"format": form, "breakdown_by": "pod", "cluster": "seoul-a", **window, **more}
    answer = await client.get("/api/v1/export/power", params=said)
    assert answer.status_code == 200, answer.text[:500]
    assert "x-evil" not in answer.headers
    return answer.content


async def test_json_and_parquet_hold_every_name_as_it_is(client: httpx.AsyncClient) -> None:
    rows = json.loads(await file(client, "json"))["data"]
    table = pq.read_table(pa.BufferReader(await file(client, "parquet"))).to_pylist()
    for told in (rows, table):
        found = {(row["node"], row["namespace"], row["pod"]): row["power_watts"] for row in told}
        assert {key: found.get(key) for key in LABELS} == WATTS


async def test_csv_and_sheets_hold_no_formula(client: httpx.AsyncClient) -> None:
    text = (await file(client, "csv")).decode()
    head, *lines = csv.reader(io.StringIO(text, newline=""))
    at = [head.index(name) for name in ("node", "namespace", "pod", "power_watts")]
    found = {(line[at[0]], line[at[1]], line[at[2]]): float(line[at[3]]) for line in lines if line[at[3]]}
    assert not [name for key in found for name in key if name.startswith(FORMULA)]
    assert {key: found.get(tuple(map(csv_text, key))) for key in LABELS} == WATTS  # type: ignore[arg-type]

    book = openpyxl.load_workbook(io.BytesIO(await file(client, "excel")), read_only=True)
    kinds: set[str] = set()
    names: dict[str, list[str]] = defaultdict(list)
    first, *rows = book["Data"].iter_rows()
    columns = [str(it.value) for it in first]
    for row in rows:
        kinds |= {it.data_type for it in row}
        for name, it in zip(columns, row, strict=True):
            names[name].append(str(it.value or ""))
    watts = sum(map(float, filter(None, names["power_watts"])))
    assert kinds <= {"s", "n", "d"}, "no f, no e"
    assert watts >= sum(WATTS.values())
    assert {_as_xml(cell(name)) for _, _, name in LABELS} <= set(names["pod"])


def _as_xml(text: str) -> str:
    """XML takes every line break for one."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("node", NODES, ids=range(len(NODES)))
async def test_pdfs_hold_every_row_and_nothing_that_acts(client: httpx.AsyncClient, node: str) -> None:
    reader = PdfReader(io.BytesIO(await file(client, "pdf", node=node)))
    mine = [watts for (where, _, _), watts in WATTS.items() if where == node]
    assert len(mine) > 1000
    text = "".join(page.extract_text() for page in reader.pages)
    assert [watts for watts in mine if f"{watts:,.2f}" not in text] == []
    assert not [page for page in reader.pages if "/Annots" in page or "/AA" in page]
    root = reader.root_object
    assert [name for name in ("/OpenAction", "/AA", "/AcroForm", "/Names") if name in root] == []


async def test_the_api_and_the_page_tell_them_too(client: httpx.AsyncClient) -> None:
    page = parse_page((await client.get("/metrics", params={"cluster": "seoul-a"})).text)
    told = {
        tuple(dict(labels)[n] for n in ("node", "namespace", "pod")): v
        for (_, labels), v in select(page, FAMILY).items()
    }
    assert told == WATTS
    answer = await client.get("/api/v1/infrastructure/pods", params={"cluster": "seoul-a", "limit": "10000"})
    assert answer.status_code == 200
    rows = {(r["node"], r["namespace"], r["pod"]): r["power_watts"] for r in answer.json()["data"]}
    assert {key: rows.get(key) for key in LABELS} == WATTS
    for path, said in (
        ("monitoring/power/breakdown", {"breakdown_by": "namespace", "limit": "10000"}),
        ("infrastructure/pods/summary", {}),
        ("clusters/seoul-a/topology", {}),
        ("monitoring/power", {}),
    ):
        answer = await client.get(f"/api/v1/{path}", params=said)
        assert answer.status_code == 200, path
        json.loads(answer.content)
