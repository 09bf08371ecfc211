"""Reports: whole days of a calendar, the numbers of the counters, unknown told as unknown, in two languages."""

from __future__ import annotations

import asyncio
import io
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import openpyxl
import pytest
from prometheus_client import CollectorRegistry
from pypdf import PdfReader

from kcloud_exporter.errors import ExportError
from kcloud_exporter.export import fonts as fonts_module
from kcloud_exporter.export.charts import apart
from kcloud_exporter.export.job import Job, make
from kcloud_exporter.export.provenance import Origin
from kcloud_exporter.export.report.asked import read_report
from kcloud_exporter.export.report.words import Words
from kcloud_exporter.history.embedded import EmbeddedHistory
from kcloud_exporter.history.place import Place
from kcloud_exporter.history.state import HistoryState
from kcloud_exporter.model import Snapshot
from tests.history.snapshots import snapshot

ORIGIN = Origin(
    "0" * 64,
    (("idle", "unattributed"),),
    ("seoul-a", "busan-a"),
    "embedded",
    (("seoul-a", "icn1"), ("busan-a", "pus1")),
    (("icn1", "Asia/Seoul"),),
)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
SEOUL = ZoneInfo("Asia/Seoul")
MIDNIGHT = datetime(2026, 11, 23, tzinfo=SEOUL).timestamp()
GAP = (MIDNIGHT + 6 * 3600, MIDNIGHT + 9 * 3600)
HOSTILE = "=1+1<b>&\x07한국어"


class TestWhichDays:
    @pytest.mark.parametrize(
        ("said", "first", "after"),
        [
            ({}, date(2026, 11, 23), date(2026, 11, 24)),
            ({"template": "daily", "start_date": "2026-11-20"}, date(2026, 11, 20), date(2026, 11, 21)),
            ({"template": "weekly"}, date(2026, 11, 16), date(2026, 11, 23)),
            ({"template": "weekly", "start_date": "2026-11-20"}, date(2026, 11, 16), date(2026, 11, 23)),
            ({"template": "monthly"}, date(2026, 10, 1), date(2026, 11, 1)),
            ({"template": "monthly", "start_date": "2024-02-29"}, date(2024, 2, 1), date(2024, 3, 1)),
            (
                {"template": "custom", "start_date": "2026-11-01", "end_date": "2026-11-10"},
                date(2026, 11, 1),
                date(2026, 11, 11),
            ),
        ],
    )
    def test_are_those_of_the_calendar_in_the_zone_of_the_tariff(
        self, said: Mapping[str, str], first: date, after: date
    ) -> None:
        asked = read_report(said, ORIGIN, NOW)
        assert (asked.zone, asked.first, asked.after) == ("Asia/Seoul", first, after)
        assert asked.start == datetime(first.year, first.month, first.day, tzinfo=SEOUL).timestamp()

    def test_a_day_has_23_or_25_hours_where_clocks_are_changed(self) -> None:
        for day, hours in (("2026-03-29", 23), ("2026-10-25", 25)):
            asked = read_report({"start_date": day, "tz": "Europe/Berlin"}, ORIGIN, NOW)
            assert asked.end - asked.start == hours * 3600

    @pytest.mark.parametrize(
        ("said", "status", "told"),
        [
            ({"template": "yearly"}, 400, "template: 'yearly'"),
            ({"format": "csv"}, 400, "format: 'csv' does not do; known: pdf, excel"),
            ({"lang": "fr"}, 400, "lang: 'fr'"),
            ({"tz": "Mars/Base"}, 400, "tz: 'Mars/Base'"),
            ({"tz": "../../etc/passwd"}, 400, "tz:"),
            ({"cluster": "nowhere"}, 404, "there is no cluster"),
            ({"start_date": "yesterday"}, 400, "start_date:"),
            ({"start_date": "2026-11-31"}, 400, "start_date:"),
            ({"start_date": "2027-01-01"}, 400, "has not come yet"),
            ({"end_date": "2026-11-01"}, 400, "belongs to template=custom"),
            ({"template": "custom"}, 400, "needs start_date and end_date"),
            ({"template": "custom", "start_date": "2026-11-02", "end_date": "2026-11-01"}, 400, "must not lie before"),
            ({"template": "custom", "start_date": "2016-11-02", "end_date": "2026-11-01"}, 413, "at most 400 days"),
        ],
    )
    def test_and_what_makes_none_is_refused(self, said: Mapping[str, str], status: int, told: str) -> None:
        with pytest.raises(ExportError) as refused:
            read_report(said, ORIGIN, NOW)
        assert refused.value.status == status
        assert told in str(refused.value)


def cycle(at: float) -> Snapshot:
    """Two clusters; of the second one nothing is known for three hours, and its site has no price and no meter."""
    age = at - MIDNIGHT + 86400
    clusters: dict[str, dict[str, dict[tuple[str, ...], float]]] = {}
    for cluster, watts in (("seoul-a", 1000.0), ("busan-a", 400.0)):
        if cluster == "busan-a" and GAP[0] < at <= GAP[1]:
            continue
        clusters[cluster] = {
            "kcloud_cluster_power_watts": {(cluster, "gpu"): 0.7 * watts, (cluster, "cpu"): 0.3 * watts},
            "kcloud_cluster_energy_joules_total": {
                (cluster, "gpu"): 0.7 * watts * age, (cluster, "cpu"): 0.3 * watts * age,
            },
            "kcloud_namespace_energy_joules_total": {
                (cluster, "ml", "gpu"): 0.4 * watts * age, (cluster, HOSTILE, "cpu"): 0.1 * watts * age,
            },
            "kcloud_namespace_cost_total": {(cluster, "ml", "KRW"): 0.4 * watts * age / 3.6e6 * 200},
            "kcloud_node_energy_joules_total": {(cluster, "n1", "gpu"): watts * age},
            "kcloud_accelerator_energy_joules_total": {
                (cluster, "n1", "GPU-1", "gpu", "nvidia", "H100"): 0.7 * watts * age,
            },
            "kcloud_accelerator_utilization_ratio": {(cluster, "n1", "GPU-1"): 0.5},
            "kcloud_cluster_completeness_ratio": {(cluster,): 1.0},
            "kcloud_energy_gap_seconds_total": {(cluster,): 10800.0 if at > GAP[1] and cluster == "busan-a" else 0.0},
        }  # fmt: skip
    fleet: dict[str, dict[tuple[str, ...], float]] = {
        "kcloud_site_it_energy_joules_total": {("icn1",): 1000.0 * age},
        "kcloud_site_facility_energy_joules_total": {("icn1", "pue2"): 1250.0 * age},
        "kcloud_site_pue_ratio": {("icn1", "pue2", "measured"): 1.25},
        "kcloud_site_electricity_price_per_kwh": {("icn1", "KRW"): 200.0},
        "kcloud_site_carbon_intensity_grams_per_kwh": {("icn1",): 424.0},
    }
    return snapshot(at, clusters, fleet)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day and a bit of history, a cycle a minute."""
    root = tmp_path_factory.mktemp("report") / "history"

    async def keep() -> None:
        history = EmbeddedHistory(root, 1e9, HistoryState(CollectorRegistry()), clock=lambda: NOW)
        for at in np.arange(MIDNIGHT - 600, MIDNIGHT + 86400 + 61, 60):
            history._queue.put(cycle(float(at)))
        await history.close()

    asyncio.run(keep())
    return root


async def report(folder: Path, **said: str) -> tuple[bytes, dict[str, Any]]:
    out = io.BytesIO()
    about = await make(Job(read_report(said, ORIGIN, NOW), Place(folder), ORIGIN, NOW), out)
    return out.getvalue(), about


def text_of(data: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)


KWH = 24 * 1.4
"""The counters of the second cluster went on while nobody looked, and their next reading tells it."""


async def test_the_numbers_of_a_day_are_those_of_the_counters(folder: Path) -> None:
    data, about = await report(folder)
    text = text_of(data)

    assert about["totals"]["energy_kwh"] == pytest.approx(KWH, rel=1e-9)
    assert "Daily energy report" in text
    assert "23 November 2026 (Mon)" in text
    assert f"{KWH:.1f} kWh" in text
    assert "1.250" in text, "PUE: facility over IT energy"
    assert f"{24 * 200:,} KRW" in text, "of the first site; the second has no price"
    assert "10.18 kg" in text, "24 kWh × 424 g"
    assert "H100" in text


async def test_what_is_unknown_is_said_and_never_counted_as_nought(folder: Path) -> None:
    data, about = await report(folder)
    text = text_of(data)

    assert about["complete"] is False
    assert about["completeness"] == {"seoul-a": 1.0, "busan-a": 0.875}
    assert "Incomplete: 93.7% of nodes and time were measured (busan-a 87.5%)" in text.replace("\n", " ")
    assert "busan-a 3:00:00 were not integrated" in text
    alone, _ = await report(folder, cluster="busan-a")
    lonely = text_of(alone)
    assert "unknown" in lonely
    assert "KRW" not in lonely.split("Clusters")[0], "no price is known"
    empty, told = await report(folder, start_date="2026-11-10")
    assert told["totals"] == {}
    assert "Nothing is known of this." in text_of(empty)
    assert "0.0%" in text_of(empty)


async def test_a_period_that_is_not_over_says_so(folder: Path) -> None:
    data, about = await report(folder, template="weekly", start_date="2026-11-23", cluster="seoul-a")
    assert "The period is not over yet" in text_of(data)
    assert about["complete"] is False


async def test_korean_is_set_in_a_font_that_is_embedded_where_there_is_one(folder: Path) -> None:
    data, _ = await report(folder, lang="ko")
    text = text_of(data)

    assert "일간 에너지 보고서" in text
    assert "2026년 11월 23일 (월)" in text
    assert "네임스페이스" in text
    programs = {
        str(font["/BaseFont"]).partition("+")[2]: len(font["/FontDescriptor"]["/FontFile2"].get_data())
        for page in PdfReader(io.BytesIO(data)).pages
        for font in (it.get_object() for it in page["/Resources"]["/Font"].values())  # type: ignore[index]
        if "Nanum" in str(font["/BaseFont"])
    }
    assert set(programs) == {"NanumBarunGothic", "NanumBarunGothicBold"}, "of the Debian package fonts-nanum"
    assert min(programs.values()) > 10_000, "the glyphs themselves are in the file"


def test_labels_of_an_axis_do_not_touch_and_little_is_not_nothing() -> None:
    face = fonts_module.fonts("ko")
    assert apart([f"11/{day} 월" for day in range(10, 17)], 240, face) == 2
    assert apart([f"11/{day} 월" for day in range(10, 17)], 500, face) == 1
    assert apart([], 100, face) == 1
    words = Words("en")
    assert [words.kwh(joules) for joules in (0.0, 1.0, 3.6e6)] == ["0.000 kWh", "< 0.001 kWh", "1.000 kWh"]
    assert [words.grams(grams) for grams in (0.0, 0.1, 12.0)] == ["0 g", "< 1 g", "12 g"]
    assert [words.money(0.001, currency) for currency in ("KRW", "EUR")] == ["< 1 KRW", "< 0.01 EUR"]
    assert [words.money(0.0, currency) for currency in ("KRW", "EUR")] == ["0 KRW", "0.00 EUR"]


async def test_without_such_a_font_korean_is_left_to_the_reader_and_the_report_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts_module, "_FOLDERS", ())
    fonts_module.fonts.cache_clear()
    korean, _ = await report(folder, lang="ko")
    english, _ = await report(folder)
    fonts_module.fonts.cache_clear()

    assert b"HYGothic-Medium" in korean
    assert "fonts-nanum" in text_of(english)


@pytest.mark.real
async def test_pages_are_sound_for_another_reader(folder: Path, tmp_path: Path) -> None:
    from tests.real.programs import require

    data, _ = await report(folder, lang="ko")
    path = tmp_path / "report.pdf"
    path.write_bytes(data)
    command = [require("pdftoppm", "pdftotext"), "-r", "40", "-png", str(path), str(tmp_path / "page")]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: ASYNC221
    assert (done.returncode, done.stderr) == (0, "")
    pages = await asyncio.to_thread(lambda: list(tmp_path.glob("page*.png")))
    assert len(pages) == len(PdfReader(io.BytesIO(data)).pages)
    said = subprocess.run([shutil.which("pdftotext") or "", str(path), "-"], capture_output=True, text=True)  # noqa: ASYNC221
    assert "일간 에너지 보고서" in said.stdout


@pytest.mark.parametrize("language", ["en", "ko"])
async def test_a_workbook_has_the_numbers_as_numbers_and_charts_of_its_own(folder: Path, language: str) -> None:
    data, _ = await report(folder, format="excel", lang=language)
    book = openpyxl.load_workbook(io.BytesIO(data))
    sheets = {sheet.title: sheet for sheet in book.worksheets}

    power = sheets["Power" if language == "en" else "전력"]
    head, *rows = power.iter_rows(values_only=True)
    total: list[Any] = [row[head.index(next(n for n in head if str(n).startswith(("Total", "합계"))))] for row in rows]
    assert len(rows) == 96
    assert sorted(set(total)) == [pytest.approx(1.0), pytest.approx(1.4)]
    energy = sheets["Energy" if language == "en" else "에너지"]
    names, *hours = list[Any](energy.iter_rows(values_only=True))
    kwh = [n for n, name in enumerate(names) if str(name).endswith("-a (kWh)")]
    assert sum(row[n] or 0.0 for row in hours for n in kwh) == pytest.approx(KWH, rel=1e-9)
    busan = names.index("busan-a (kWh)")
    assert [row[busan] for row in hours[6:9]] == [None] * 3, "unknown is an empty cell"
    charts = sum(len(getattr(sheet, "_charts")) for sheet in book.worksheets)  # noqa: B009
    assert charts >= 6
    kinds = {it.data_type for sheet in book.worksheets for row in sheet.iter_rows() for it in row}
    assert "f" not in kinds
    assert "e" not in kinds
    about = {row[0]: row[1] for row in sheets["About"].iter_rows(values_only=True)}
    assert about["config_sha256"] == "0" * 64


async def test_hostile_names_stand_in_a_report_as_text(folder: Path) -> None:
    data, _ = await report(folder)
    book, _ = await report(folder, format="excel")

    assert "=1+1<b>&\ufffd한국어"[:8] in text_of(data)
    sheet = openpyxl.load_workbook(io.BytesIO(book))["Namespaces"]
    assert "=1+1<b>&\ufffd한국어" in {row[1] for row in sheet.iter_rows(values_only=True)}
