"""Files are opened again: their numbers are those of history, and their energies add up to the counters."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry
from pypdf import PdfReader

from kcloud_exporter.errors import ExportError
from kcloud_exporter.export.job import make
from kcloud_exporter.export.request import read_request
from kcloud_exporter.history.embedded import EmbeddedHistory
from kcloud_exporter.history.state import HistoryState
from tests.export.making import COMPONENTS, END, ORIGIN, Kept, cycle, joules, keep
from tests.history.snapshots import T0

FORMATS = ("json", "csv", "parquet", "excel", "pdf")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return keep(tmp_path_factory.mktemp("files") / "history", ("ml", "web"))


def rows_of(form: str, data: bytes) -> list[dict[str, Any]]:
    """The rows of a file as dicts; numbers as floats, unknown as None."""
    if form == "json":
        return list(json.loads(data)["data"])
    if form == "csv":
        numbers = {"power_watts", "energy_joules", "completeness_ratio", "value"}
        rows = csv.DictReader(io.StringIO(data.decode(), newline=""))
        return [{k: (float(v) if v else None) if k in numbers else v for k, v in row.items()} for row in rows]
    if form == "parquet":
        return list(pq.read_table(pa.BufferReader(data)).to_pylist())
    sheet = openpyxl.load_workbook(io.BytesIO(data), read_only=True)["Data"]
    head, *rest = sheet.iter_rows(values_only=True)
    return [dict(zip(map(str, head), row, strict=True)) for row in rest]


def provenance_of(form: str, data: bytes) -> dict[str, Any]:
    if form == "json":
        return dict(json.loads(data)["metadata"])
    if form == "parquet":
        return dict(json.loads(pq.read_metadata(pa.BufferReader(data)).metadata[b"kcloud_exporter"]))
    if form == "excel":
        sheet = openpyxl.load_workbook(io.BytesIO(data), read_only=True)["About"]
        return {str(row[0]): row[1] for row in sheet.iter_rows(values_only=True)}
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)
    return {"text": text}


def truth(start: float, end: float) -> float:
    """Joules of all clusters in a window, from the counters themselves."""
    total = 0.0
    for cluster in ("seoul-a", "busan-a"):
        total += sum(joules(cluster, n, c, end) - joules(cluster, n, c, start) for n in range(2) for c in COMPONENTS)
    return total


@pytest.mark.parametrize("form", ["json", "csv", "parquet", "excel"])
@pytest.mark.parametrize("step", ["60s", "5m", "1h"])
async def test_energies_add_up_to_the_counters_whatever_the_step_and_whatever_was_unknown_meanwhile(
    kept: Kept, form: str, step: str
) -> None:
    data, about = await kept.file("power", {"format": form, "step": step})
    rows = rows_of(form, data)

    # The counters went on in the gap, so the first reading after it tells what came in it.
    expected = truth(T0, END)
    assert sum(row["energy_joules"] or 0.0 for row in rows) == pytest.approx(expected, rel=1e-9)
    assert about["totals"]["energy_joules"] == pytest.approx(expected, rel=1e-9)
    assert {row["power_watts"] for row in rows} == {250.0}
    assert about["totals"]["rows"] == len(rows)


async def test_what_was_unknown_has_no_row_and_is_told(kept: Kept) -> None:
    data, about = await kept.file("power", {"format": "json", "step": "5m", "cluster": "busan-a"})
    rows = rows_of("json", data)

    times = sorted({row["timestamp"] for row in rows})
    assert len(times) == 9, "twelve times five minutes, less a quarter of an hour"
    assert about["completeness"] == {"busan-a": 0.75}
    assert about["complete"] is False
    whole, _ = await kept.file("power", {"format": "json", "step": "1h"})
    assert {row["cluster"]: row["completeness_ratio"] for row in rows_of("json", whole)} == {
        "seoul-a": 1.0,
        "busan-a": 0.75,
    }


@pytest.mark.parametrize(
    ("breakdown", "labels"),
    [
        ("cluster", {"cluster", "component"}),
        ("namespace", {"cluster", "namespace", "component"}),
        ("accelerator", {"cluster", "node", "uuid", "kind", "vendor", "model"}),
        ("vendor", {"cluster", "kind", "vendor"}),
        ("resource_type", {"component"}),
    ],
)
async def test_power_can_be_divided(kept: Kept, breakdown: str, labels: set[str]) -> None:
    data, _ = await kept.file("power", {"format": "json", "breakdown_by": breakdown, "step": "1h"})
    rows = rows_of("json", data)

    numbers = {"timestamp", "power_watts", "energy_joules", "completeness_ratio"}
    assert rows
    assert {frozenset(row) for row in rows} == {frozenset(numbers | labels)}
    if breakdown == "resource_type":
        assert {row["component"]: row["power_watts"] for row in rows} == dict.fromkeys(COMPONENTS, 500.0)


async def test_a_resource_type_narrows_power_and_metrics(kept: Kept) -> None:
    gpu, _ = await kept.file("power", {"resource_type": "gpus", "step": "1h"})
    npus, _ = await kept.file("metrics", {"resource_type": "npus", "metric_name": "utilization_ratio", "step": "1h"})
    devices, _ = await kept.file("metrics", {"step": "1h", "cluster": "seoul-a"})

    assert {row["component"] for row in rows_of("json", gpu)} == {"gpu"}
    assert {(row["uuid"], row["value"], row["unit"]) for row in rows_of("json", npus)} == {("NPU-1", 0.25, "ratio")}
    assert {row["metric"].removeprefix("kcloud_accelerator_") for row in rows_of("json", devices)} == {
        "power_watts", "utilization_ratio", "temperature_celsius"
    }  # fmt: skip


@pytest.mark.parametrize("form", ["json", "parquet", "excel", "pdf"])
async def test_the_provenance_is_inside_the_file(kept: Kept, form: str) -> None:
    data, about = await kept.file("power", {"format": form, "step": "5m", "cluster": "seoul-a"})
    inside = provenance_of(form, data)

    wanted = {
        "program": "kcloud-exporter", "version": about["version"], "config_sha256": "0" * 64,
        "generated_at": about["generated_at"],
    }  # fmt: skip
    if form == "pdf":
        for value in [*wanted.values(), "2026-11-24T10:00:00Z", "seoul-a"]:
            assert value.replace("\n", "") in inside["text"].replace("\n", "")
    else:
        assert {name: inside[name] for name in wanted} == wanted
        window = (
            inside["window"] if form != "excel" else {k[7:]: v for k, v in inside.items() if k.startswith("window.")}
        )
        assert (window["start"], window["end"]) == ("2026-11-24T10:00:00Z", "2026-11-24T11:00:00Z")
        assert window["step_seconds"] == 300.0


async def test_csv_is_a_header_and_rows_and_nothing_else(kept: Kept) -> None:
    data, _ = await kept.file("power", {"format": "csv", "step": "5m", "cluster": "seoul-a"})
    lines = data.decode().splitlines()

    assert lines[0] == '"timestamp","cluster","component","power_watts","energy_joules","completeness_ratio"'
    assert lines[1].startswith('"2026-11-24T10:05:00Z","seoul-a","cpu",250,')
    assert len(lines) == 1 + 12 * 3


async def test_a_window_in_which_nothing_is_known_is_an_empty_file_that_says_so(kept: Kept) -> None:
    said = {"start_time": str(T0 - 86400), "end_time": str(T0 - 80000), "step": "5m"}
    for form in FORMATS:
        data, about = await kept.file("power", {**said, "format": form})
        assert about["totals"]["rows"] == 0
        assert about["complete"] is False
        assert about["completeness"] == {"busan-a": 0.0, "seoul-a": 0.0}
        if form == "pdf":
            assert "knows nothing" in provenance_of(form, data)["text"]
        else:
            assert rows_of(form, data) == []


async def test_rows_come_in_bounded_pieces_and_are_the_same_in_one_piece(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = await kept.file("power", {"format": "json", "breakdown_by": "namespace", "step": "60s"})
    monkeypatch.setattr("kcloud_exporter.export.datasets.CELLS", 10)
    monkeypatch.setattr("kcloud_exporter.export.datasets._FIRST_PIECE", 7)
    monkeypatch.setattr("kcloud_exporter.export.datasets.BATCH", 5)
    pieces, _ = await kept.file("power", {"format": "json", "breakdown_by": "namespace", "step": "60s"})

    assert rows_of("json", pieces) == rows_of("json", whole)
    assert len(rows_of("json", whole)) == 60 * 4 + 45 * 4


class TestRefusedBeforeAnyWork:
    @pytest.mark.parametrize(
        ("dataset", "said", "status", "told"),
        [
            ("power", {"format": "xml"}, 400, "format: 'xml' does not do; known: json, csv"),
            ("power", {"breakdown_by": "rack"}, 400, "breakdown_by: 'rack'"),
            ("power", {"resource_type": "gpu", "breakdown_by": "site"}, 400, "resource_type: a site is not divided"),
            ("power", {"node": "n1"}, 400, "node: kcloud_cluster_power_watts is not kept by node"),
            ("power", {"cluster": ""}, 400, "cluster: 1 to 512 characters"),
            ("power", {"period": "1m"}, 400, "say 30d for a month"),
            ("power", {"period": "soon"}, 400, "period: 'soon' does not do"),
            ("power", {"period": "1h", "start_time": "5"}, 400, "period: give it, or start_time"),
            ("power", {"end_time": "5"}, 400, "end_time: start_time or period is needed"),
            ("power", {"start_time": "2026-11-24T00:00:00"}, 400, "with its zone"),
            ("power", {"start_time": "2026-11-31T00:00:00Z"}, 400, "start_time:"),
            ("power", {"start_time": "9", "end_time": "5"}, 400, "must lie before end_time"),
            ("power", {"step": "0s"}, 400, "step: '0s' does not do"),
            ("power", {"start_time": "2016-11-24T00:00:00Z", "step": "1s"}, 413, "at most 600000"),
            (
                "metrics",
                {"metric_name": "speed"},
                400,
                "metric_name: 'speed' is none of accelerators; known: power_watts",
            ),
            ("metrics", {"resource_type": "racks"}, 400, "resource_type: 'racks'"),
        ],
    )
    def test_and_the_answer_names_the_culprit(
        self, dataset: str, said: Mapping[str, str], status: int, told: str
    ) -> None:
        with pytest.raises(ExportError) as refused:
            read_request(dataset, said, END)
        assert refused.value.status == status
        assert told in str(refused.value)
        assert refused.value.parameter in said

    async def test_too_many_rows_for_a_format(self, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("kcloud_exporter.export.request", fromlist=["ROWS"]).ROWS, "pdf", 100)
        with pytest.raises(ExportError, match="pdf has at most 100") as refused:
            await kept.file("power", {"format": "pdf", "step": "60s"})
        assert refused.value.status == 413


@pytest.mark.parametrize(("interval", "told"), [(60.0, 0.25), (240.0, 1.0), (120.0, 0.5)])
async def test_a_cycle_speaks_for_the_time_until_the_next_one(tmp_path: Path, interval: float, told: float) -> None:
    history = EmbeddedHistory(tmp_path, 1e9, HistoryState(CollectorRegistry()), clock=lambda: END)
    for at in range(int(T0) - 240, int(END) + 240, 240):
        history._queue.put(cycle(float(at), ("ml",), gap=False))
    await history.close()
    kept = Kept(tmp_path, ("ml",))
    job = kept.job("power", {"step": "1h"})
    about = await make(replace(job, origin=replace(ORIGIN, interval=interval)), io.BytesIO())

    assert about["completeness"] == {name: pytest.approx(told, abs=0.02) for name in ("seoul-a", "busan-a")}
    assert about["complete"] is (told == 1.0)
