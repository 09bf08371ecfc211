"""Exports of the running program over HTTP, while the simulated fleet runs; and from the command line."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import openapi_spec_validator
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pypdf import PdfReader

from kcloud_exporter import app
from kcloud_exporter.cli import main
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.export.request import PARAMETERS
from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.runtime import Runtime
from tests.export.making import keep
from tests.history.snapshots import T0
from tests.history.test_running import OPTIONS

BASE = "/api/v1/export"


class Server:
    """A running exporter with some cycles behind it."""

    def __init__(self, runtime: Runtime, port: int) -> None:
        self.runtime = runtime
        self._first: dict[tuple[str, ...], float] = {}
        self._last: dict[tuple[str, ...], float] = {}
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}{BASE}", trust_env=False, timeout=60)

    def joules(self) -> float:
        """How far the energy counters of all clusters have come since each was first read."""
        return sum(value - self._first[key] for key, value in self._last.items())

    def look(self) -> None:
        """Read the counters of the newest snapshot."""
        snapshot = self.runtime.store.current
        assert snapshot is not None
        for cluster in snapshot.clusters.values():
            table = cluster.tables["kcloud_cluster_energy_joules_total"]
            self._last |= dict(zip(table.keys.rows, table.values.tolist(), strict=True))
        self._first = {**self._last, **self._first}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Fleet(FleetSpec(frozen=True)) as fleet:
        config = parse_config(fleet.kcloud_config("exporter", interval="60s"), {})
        async with app.running(config, lambda: config, OPTIONS, tmp_path) as (runtime, port):
            it = Server(runtime, port)
            it.look()
            for _ in range(3):
                await asyncio.sleep(0.3)
                await runtime.tick()
                it.look()
            async with asyncio.timeout(60):  # history takes cycles in on a thread of its own, as slow as the machine
                while (await in_json(it)) != pytest.approx(it.joules(), rel=1e-9):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            yield it
            await it.client.aclose()


async def in_json(server: Server) -> float:
    """Joules of all rows of the last minutes."""
    answer = await server.client.get("/power", params={"format": "json", "period": "5m", "step": "60s"})
    return sum(row["energy_joules"] or 0 for row in answer.json()["data"])


async def test_every_format_tells_the_joules_of_the_counters_while_the_program_runs(server: Server) -> None:
    found = {}
    for form in ("json", "csv", "parquet", "excel", "pdf"):
        answer = await server.client.get("/power", params={"format": form, "period": "5m", "step": "60s"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="kcloud-power-')
        about = json.loads(answer.headers["X-Kcloud-Provenance"])
        assert len(about["config_sha256"]) == 64
        assert set(about["completeness"]) == {"seoul-a", "seoul-b", "busan-a"}
        data = answer.content
        if form == "json":
            found[form] = sum(row["energy_joules"] or 0 for row in answer.json()["data"])
        elif form == "csv":
            rows = csv.DictReader(io.StringIO(answer.text, newline=""))
            found[form] = sum(float(row["energy_joules"] or 0) for row in rows)
        elif form == "parquet":
            found[form] = sum(pq.read_table(pa.BufferReader(data))["energy_joules"].drop_null().to_pylist())
        elif form == "excel":
            sheet = openpyxl.load_workbook(io.BytesIO(data), read_only=True)["Data"]
            found[form] = sum(row[4] or 0 for row in sheet.iter_rows(min_row=2, values_only=True))
        else:
            text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)
            assert f"{server.joules() / 3.6e6:,.3f} kWh" in text
    assert server.joules() > 0
    assert set(found) == {"json", "csv", "parquet", "excel"}
    assert all(value == pytest.approx(server.joules(), rel=1e-9) for value in found.values())


REFUSED = (
    ("/power?format=doc", 400, "format"),
    ("/power?cluster=nowhere", 404, "there is no cluster"),
    ("/power?start_time=2016-01-01T00:00:00Z&step=1s", 413, "at most 600000"),
    ("/power?colour=red", 400, "unknown parameter 'colour'"),
    ("/power?step=1m&step=2m", 400, "given more than once"),
    ("/metrics?metric_name=x", 400, "metric_name"),
    ("/..%2f..%2fetc%2fpasswd", 404, "no such page"),
)


async def test_what_cannot_be_made_is_refused_in_the_common_shape_and_what_can_be_is_listed(server: Server) -> None:
    for query, status, told in REFUSED:
        answer = await server.client.get(query)
        assert (answer.status_code, query) == (status, query)
        assert told in answer.json()["error"]["message"]

    document = (await server.client.get("/../openapi.json")).json()
    openapi_spec_validator.validate(document)
    paths = [path for path in document["paths"] if path.startswith(BASE)]
    assert paths == [f"{BASE}/{name}" for name in ("formats", "metrics", "power", "report", "templates")]
    for path in paths[1:4]:
        names = {parameter["name"] for parameter in document["paths"][path]["get"]["parameters"]}
        assert names == PARAMETERS[path.rpartition("/")[2]], "what is told is what is taken"
    templates = (await server.client.get("/templates")).json()["data"]
    assert [row["template"] for row in templates] == ["daily", "weekly", "monthly", "custom"]
    formats = (await server.client.get("/formats")).json()["data"]
    assert [row["format"] for row in formats] == ["json", "csv", "parquet", "excel", "pdf"]
    assert all(row["max_rows"] > 0 for row in formats)


async def test_a_report_of_today_tells_the_joules_of_the_counters(server: Server) -> None:
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    answer = await server.client.get("/report", params={"start_date": today, "tz": "UTC"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/pdf"
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(answer.content)).pages)
    assert f"{server.joules() / 3.6e6:,.3f} kWh" in text
    assert "The period is not over yet" in text


async def test_cycles_go_on_while_files_are_made(server: Server) -> None:
    asked = [server.client.get("/power", params={"format": "excel", "breakdown_by": "pod"}) for _ in range(3)]
    making = asyncio.ensure_future(asyncio.gather(*asked))
    before = server.runtime.store.current
    await server.runtime.tick()
    assert server.runtime.store.current is not before
    assert not making.done(), "they take longer than a cycle"
    assert {answer.status_code for answer in await making} == {200}


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    source = {"exporter": {"vendor": "dcgm", "targets": ["http://127.0.0.1:1/metrics"]}}
    config = {"clusters": [{"name": name, "sources": [source]} for name in ("seoul-a", "busan-a")]}
    path = tmp_path / "kcloud.yaml"
    path.write_text(yaml.safe_dump(config))
    keep(tmp_path / "data" / "history", ("ml", "web"))
    return path


def run(config_file: Path, *arguments: str) -> int:
    storage = str(config_file.parent / "data")
    window = ("--start", str(T0), "--end", str(T0 + 3600))
    return main(["export", *arguments, *window, "--config.file", str(config_file), "--storage.path", storage])


def test_the_command_line_writes_the_file_and_beside_a_csv_its_provenance(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = config_file.parent / "power.csv"

    assert run(config_file, "power", "--output", str(target), "--step", "5m") == 0
    assert target.read_text().startswith('"timestamp","cluster"')
    beside = json.loads((config_file.parent / "power.csv.provenance.json").read_text())
    assert beside["totals"]["rows"] == 12 * 3 + 9 * 3
    assert "63 rows" in capsys.readouterr().err
    assert [path.name for path in config_file.parent.iterdir() if path.name.startswith(".")] == []


def test_the_suffix_tells_the_format(config_file: Path) -> None:
    for suffix, magic in ((".xlsx", b"PK"), (".pdf", b"%PDF"), (".parquet", b"PAR1"), (".json", b"{")):
        target = config_file.parent / f"power{suffix}"
        assert run(config_file, "power", "-o", str(target)) == 0
        assert target.read_bytes().startswith(magic)


def test_mistakes_on_the_command_line_are_told_and_leave_no_file(
    config_file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "x.csv"
    assert run(config_file, "power", "-o", str(target), "--step", "never") == 1
    assert "step: 'never' does not do" in capsys.readouterr().err
    assert run(config_file, "power", "-o", str(tmp_path / "no" / "folder.csv")) == 1
    assert "No such file" in capsys.readouterr().err
    assert (
        main(["export", "power", "-o", str(target), "--config.file", str(config_file), "--storage.path", "/nowhere"])
        == 1
    )
    assert "give the folder of the server" in capsys.readouterr().err
    assert not target.exists()
