"""Coverage: what of a page would be understood, by which table, and what not; in code and from the command line."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from kcloud_exporter.cli import main
from kcloud_exporter.config.load import load_config
from kcloud_exporter.coverage.examine import Coverage, Family, examine
from kcloud_exporter.coverage.report import report
from kcloud_exporter.errors import SourceError
from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.runtime import Runtime
from tests.vendors.book import FIXTURES, VENDORS, fixtures
from tests.vendors.test_tables import TABLE

CONFIG = "clusters: [{name: a, sources: [{exporter: {vendor: acme, targets: ['http://127.0.0.1:9']}}]}]\n"
TARGET = {"instance": "h:1", "job": "j"}


def seen(page: str) -> Coverage:
    return examine(page.encode(), VENDORS, target=TARGET)


def only(page: str) -> Family:
    (family,) = seen(page).families
    return family


class TestExamine:
    @pytest.mark.parametrize("vendor", sorted({*fixtures()} - {"prometheus"}))  # it reads what a scrape adds
    def test_of_every_fixture_all_that_its_table_names_is_understood(self, vendor: str) -> None:
        coverage = seen((FIXTURES / vendor / "input.prom").read_text(encoding="utf-8"))
        names = {f.name for f in coverage.families if any(u.vendor == vendor and u.samples for u in f.uses)}
        assert names == set(VENDORS.names(vendor))

    def test_it_tells_samples_things_and_what_a_condition_leaves_alone(self) -> None:
        row = 'kepler_node_cpu_watts{node_name="n%s",path="%s",zone="%s"} 10\n'
        family = only("".join(row % (n, z, z) for n in (1, 2) for z in ("package", "core", "dram")))
        told = {use.to: (use.samples, use.left, len(use.things)) for use in family.uses}
        assert family.samples == 6
        assert told == {
            "node_cpu_power_watts": (2, 4, 2),
            "node_memory_power_watts": (2, 4, 2),
            "node_wall_power_watts": (0, 6, 0),
        }

    def test_it_tells_nodes_devices_and_holders(self) -> None:
        coverage = seen((FIXTURES / "gaudi" / "input.prom").read_text(encoding="utf-8"))
        assert coverage.holders == {"ml-team/gaudi-ft-0", "serving/vllm-hpu-0"}
        assert len(coverage.devices) == 4
        assert coverage.nodes == {"h:1"}

    def test_a_value_that_the_unit_makes_absurd_is_told(self) -> None:
        row = 'rbln_npu_power{name="rbln0",uuid="u",hostname="n1"} %s\n'
        assert [use.refused for use in only(row % 64.8).uses] == [0]
        assert [use.refused for use in only(row % 64_800_000).uses] == [1]
        assert [use.refused for use in only(row % 0).uses] == [0], "0 is missing, not wrong"

    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("rbln_npu_powr", "rbln_npu_power"),
            ("DCGM_FI_DEV_POWER_USAGES", "DCGM_FI_DEV_POWER_USAGE"),
            ("gpuop_gpu_package_power", "gpu_package_power"),
            ("http_requests_total", ""),
            ("my_up", ""),
        ],
    )
    def test_a_name_that_is_nearly_known_or_only_has_a_prefix_is_told(self, name: str, near: str) -> None:
        assert only(f"{name} 1\n").near == near

    def test_a_histogram_is_one_family_and_the_exporters_own_process_is_no_business_of_ours(self) -> None:
        coverage = seen(
            "# TYPE lat_seconds histogram\n"
            'lat_seconds_bucket{le="1"} 1\nlat_seconds_bucket{le="+Inf"} 1\nlat_seconds_sum 1\nlat_seconds_count 1\n'
            "go_goroutines 7\nprocess_start_time_seconds 1\n"
        )
        assert [(f.name, f.samples, f.own) for f in coverage.families] == [
            ("go_goroutines", 1, True),
            ("lat_seconds", 4, False),
            ("process_start_time_seconds", 1, True),
        ]
        assert [f.name for f in coverage.unknown] == ["lat_seconds"]

    def test_what_is_no_exposition_is_refused(self) -> None:
        with pytest.raises(SourceError):
            seen("<html>sign in</html>\n")


def test_the_report_shows_the_known_first_and_cuts_a_long_rest() -> None:
    page = 'rbln_npu_power{name="rbln0",uuid="u",hostname="n1"} 64.8\n' + "".join(f"x{n:02d} 1\n" for n in range(30))
    cut = report("page", seen(page), everything=False)
    assert cut.startswith("page: 1 of 31 families understood by rebellions\n  nodes: 1: n1\n  devices: 1: u\n")
    assert "rbln_npu_power  1        rebellions  accelerator_power_watts (W)  1 device\n" in cut
    assert cut.index("rbln_npu_power") < cut.index("not understood:") < cut.index("x00")
    assert "... and 10 more: --all shows them" in cut
    assert "x29: 1 sample\n" in report("page", seen(page), everything=True)


class TestCommand:
    def test_the_list_names_every_table_and_what_it_tells(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["vendors"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines[1:]] == sorted(VENDORS.tables)
        (tpu,) = (line for line in lines if line.startswith("google_tpu"))
        assert "no power" in tpu
        assert "tpu power" not in tpu

    def test_a_table_is_shown_as_it_is_written(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["vendors", "--show", "gaudi"]) == 0
        assert "habanalabs_power_mW" in capsys.readouterr().out
        assert main(["vendors", "--show", "gaudy"]) == 2
        assert "'gaudy' is no vendor table; known: amd, " in capsys.readouterr().err

    def test_tables_of_ones_own_are_marked_and_used(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "acme.yaml").write_text(TABLE)
        page = tmp_path / "page.prom"
        page.write_text('acme_watts{host="n1",uuid="a"} 50\nacme_mood{host="n1"} 3\n')
        assert main(["vendors", "--vendors.dir", str(tmp_path)]) == 0
        assert f"[{tmp_path / 'acme.yaml'}]" in capsys.readouterr().out
        assert main(["vendors", str(page)]) == 1
        assert main(["vendors", "--vendors.dir", str(tmp_path), str(page)]) == 0
        assert "acme_watts" in capsys.readouterr().out

    def test_the_folder_of_a_configuration_is_used(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "tables").mkdir()
        (tmp_path / "tables" / "acme.yaml").write_text(TABLE)
        config = tmp_path / "c.yaml"
        config.write_text(CONFIG + "vendors_dir: tables\n")
        assert main(["check", "--config.file", str(config)]) == 0
        assert main(["vendors", "--config.file", str(config), "--show", "acme"]) == 0
        assert "an exporter of which nobody has heard" in capsys.readouterr().out

    def test_a_wrong_table_is_told_with_file_and_place(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "acme.yaml").write_text(TABLE.replace("unit: W", "unit: horsepower"))
        config = tmp_path / "c.yaml"
        config.write_text(CONFIG + "vendors_dir: .\n")
        for arguments in (["vendors", "--vendors.dir", str(tmp_path)], ["check", "--config.file", str(config)]):
            (tmp_path / "page.prom").write_text("up 1\n")
            assert main(arguments) == 2
            assert "acme.yaml: series.0 (acme_watts): unit: 'horsepower' is unknown" in capsys.readouterr().err

    def test_standard_input_is_a_page(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        page = (FIXTURES / "dcgm" / "input.prom").read_bytes()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(page)))
        assert main(["vendors", "-"]) == 0
        assert "understood by dcgm" in capsys.readouterr().out

    def test_a_page_that_is_not_there_or_says_nothing_known_is_exit_1(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        page = tmp_path / "page.prom"
        page.write_text("# a page with nothing on it\n")
        for name in (str(page), str(tmp_path / "nowhere"), "http://127.0.0.1:9/metrics", str(tmp_path)):
            assert main(["vendors", name]) == 1
        assert "0 of 0 families understood" in capsys.readouterr().out

    async def test_a_url_is_read_as_a_source_reads_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        async with Fleet(FleetSpec(frozen=True)) as fleet:
            urls = [
                url
                for cluster in fleet.kcloud_config()["clusters"]
                for source in cluster["sources"]
                for url in source.get("exporter", {}).get("targets", ())
            ]
            assert await asyncio.to_thread(main, ["vendors", *urls[:3]]) == 0
        out = capsys.readouterr().out
        assert all(url in out for url in urls[:3])


async def test_a_reload_takes_in_tables_that_have_changed_and_refuses_wrong_ones(tmp_path: Path) -> None:
    table, file = tmp_path / "tables" / "acme.yaml", tmp_path / "c.yaml"
    table.parent.mkdir()
    table.write_text(TABLE)
    file.write_text(CONFIG + "vendors_dir: tables\n")
    runtime = Runtime(load_config(file), lambda: load_config(file))
    try:
        first = runtime.pipeline.clusters["a"]
        assert await runtime.reload() == []
        assert runtime.pipeline.clusters["a"] is first
        table.write_text(TABLE.replace("unit: W", "unit: mW"))
        assert await runtime.reload() == []
        second = runtime.pipeline.clusters["a"]
        assert second is not first
        table.write_text(TABLE.replace("unit: W", "unit: horsepower"))
        (problem,) = await runtime.reload()
        assert problem.startswith("vendors_dir: acme.yaml: series.0 (acme_watts): unit: 'horsepower' is unknown")
        assert runtime.pipeline.clusters["a"] is second
    finally:
        await runtime.close()
