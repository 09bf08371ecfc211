"""What a table may say, and what its operators mean where a golden page alone would not explain itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kcloud_exporter.errors import VendorError
from kcloud_exporter.vendors.loading import load_table, load_vendors
from tests.vendors.book import VENDORS, Book

TABLE = """\
vendor: acme
exporter: an exporter of which nobody has heard
kind: npu
node: [host]
device: {uuid: [uuid]}
series:
  - {to: accelerator_power_watts, from: [acme_watts], unit: W}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "acme.yaml"
    path.write_text(text)
    return path


def target(page: str, instance: str = "n1") -> str:
    return f'# scraped as: instance="{instance}",job="j"\n{page}'


class TestMistakes:
    def test_the_table_itself_is_right(self, tmp_path: Path) -> None:
        assert load_table(written(tmp_path, TABLE)).vendor == "acme"

    @pytest.mark.parametrize(
        ("right", "wrong", "place", "says"),
        [
            ("unit: W", "unit: W, colour: red", "series.0.colour (acme_watts)", "unknown key; known: to, from, unit,"),
            ("kind: npu", "kind: npu\nflavour: mint", "flavour", "unknown key; known: vendor, exporter, kind,"),
            ("to: accelerator_power_watts", "to: accelerator_mood", "series.0", "is no quantity"),
            ("unit: W", "unit: horsepower", "series.0", "is unknown"),
            ("unit: W", "unit: W, rows: doubled", "series.0.rows", "Input should be"),
            ("unit: W", "unit: W, rows: partitioned", "series.0", "needs parts"),
            ("from: [acme_watts]", "from: []", "series.0.from", "at least 1"),
            ("to: accelerator_power_watts", "to: node_wall_power_watts", "series.0", "meter: say which"),
            ("to: accelerator_power_watts", "to: hardware_power_watts", "series.0", "sensor: name it"),
            ("to: accelerator_power_watts", "to: pod_cpu_power_watts", "", "needs pod:"),
            (
                "to: accelerator_power_watts, from: [acme_watts], unit: W",
                "to: accelerator_engine_active_ratio, from: [acme_watts], unit: ratio",
                "",
                "needs partition:",
            ),
            ("kind: npu", "kinds: npu", "kinds", "Did you mean kind?"),
            ("{uuid: [uuid]}", "{uid: [uuid]}", "device.uid", "Did you mean uuid?"),
            ("{uuid: [uuid]}", "{index: [i]}", "device.uuid", "is needed and missing"),
            ("{uuid: [uuid]}", "{uuid: uuid}", "device.uuid", "valid list, not 'uuid'"),
            ("to: accelerator_power_watts", "to: accelerator_power_watt", "series.0", "mean accelerator_power_watts?"),
            ("unit: W", "unit: MiB", "series.0 (acme_watts)", "known: W, mW, uW, kW"),
            ("unit: W", "unit: J", "series.0", "'J' is no unit of accelerator_power_watts"),
            ("unit: W", "unit: W, counter: true", "series.0", "a counter of accelerator_power_watts; known: J, mJ"),
            ("unit: W", "unit: W, factor: -1.0", "series.0", "not positive"),
            ("unit: W", "unit: W, low: 5.0, high: 1.0", "series.0", "is above high"),
            ("unit: W", 'unit: W, where: {a: "~(b"}', "series.0", "where.a: '~(b' is no regular expression"),
            ("unit: W", "unit: W, rows: board", "series.0", "needs parts"),
            ("series:", "partition: {id: [p], size: equal, whole: 7}\nseries:", "partition", "equal has no whole"),
            ("series:", "owners: [{pod: pod}]\nseries:", "owners.0", "give namespace:"),
            ("series:", "prefixes: []\nseries:", "prefixes", "at least 1"),
            ("device: {uuid: [uuid]}\n", "", "", "needs kind: and device:"),
            ("node: [host]\n", "", "", "needs node:"),
            ("unit: W", "unit: W, needs: accelerator_memory_total_bytes", "series.0", "cannot depend"),
            ("unit: W", "unit: W, every: {mode: [idle]}", "series.0", "every: only for"),
        ],
    )
    def test_a_mistake_names_the_file_and_the_place(
        self, tmp_path: Path, right: str, wrong: str, place: str, says: str
    ) -> None:
        assert right in TABLE
        with pytest.raises(VendorError, match=rf"(?m)^acme\.yaml: {re.escape(place)}.*{re.escape(says)}"):
            load_table(written(tmp_path, TABLE.replace(right, wrong)))

    def test_text_that_is_no_yaml_names_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(VendorError, match=r"^acme\.yaml: "):
            load_table(written(tmp_path, "series: ["))

    @pytest.mark.parametrize("text", ["", "- a\n- b\n", "42\n"])
    def test_a_file_that_is_no_table_is_told(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(VendorError, match=r"^acme\.yaml: is no mapping"):
            load_table(written(tmp_path, text))

    def test_a_file_that_cannot_be_read_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "acme.yaml").write_bytes(b"vendor: \xff\n")
        (tmp_path / "folder.yaml").mkdir()
        for name in ("acme", "folder"):
            with pytest.raises(VendorError, match=rf"^{name}\.yaml: cannot be read"):
                load_table(tmp_path / f"{name}.yaml")

    def test_every_mistake_is_told_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(VendorError) as caught:
            load_table(written(tmp_path, TABLE.replace("unit: W", "unit: W, colour: red") + "flavour: mint\n"))
        assert len(str(caught.value).splitlines()) == 2


class TestFolders:
    def test_a_table_of_the_same_name_replaces_the_one_of_the_package(self, tmp_path: Path) -> None:
        written(tmp_path, TABLE.replace("vendor: acme", "vendor: dcgm"))
        vendors = load_vendors(tmp_path)
        assert vendors.names("dcgm") == ["acme_watts"]
        assert vendors.rules("DCGM_FI_DEV_POWER_USAGE") == []
        assert vendors.tables.keys() == VENDORS.tables.keys()

    def test_the_mistakes_of_all_files_are_told_together(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(TABLE.replace("unit: W", "unit: horsepower"))
        (tmp_path / "b.yml").write_text(TABLE.replace("kind: npu", "kind: cpu"))
        with pytest.raises(VendorError) as caught:
            load_vendors(tmp_path)
        assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["a.yaml", "b.yml"]

    def test_one_name_in_two_files_is_a_mistake(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(TABLE)
        (tmp_path / "b.yaml").write_text(TABLE)
        with pytest.raises(VendorError, match=r"b\.yaml: vendor: 'acme' stands in a\.yaml already"):
            load_vendors(tmp_path)

    def test_a_folder_that_is_not_there_is_a_mistake(self, tmp_path: Path) -> None:
        with pytest.raises(VendorError, match="there is no such folder"):
            load_vendors(tmp_path / "nowhere")


class TestIpmiNames:
    @pytest.mark.parametrize(
        ("names", "meter"),
        [
            (
                (
                    "PS1 Input Power|PSU2 Input Power|PS1 Pwr In|PSU1_PIN|PSU2_Power_IN|PSU 1 AC Input|PSU1 AC In Pwr|"
                    "Power Supply 1 Input Power"
                ),
                "psu_input",
            ),
            ("Pwr Consumption|Power Meter|System Power|Total_Power|Sys Power|SYS_POWER|Server Power", "sensor"),
            (
                (
                    "PSU1 Power Out|PS1 Output Power|PSU1_POUT|CPU Power|CPU_Power|Memory_Power|FAN_Power|GPU_Power|"
                    "DIMM Power|Total_Power_Out"
                ),
                None,
            ),
        ],
    )
    def test_only_the_name_tells_a_server_from_a_supply_and_a_part(self, names: str, meter: str | None) -> None:
        for name in names.split("|"):
            page = target(f'ipmi_power_watts{{id="1",name="{name}"}} 300\n')
            book = Book().read(page)
            assert book.shown("kcloud_hardware_power_watts") == {("n1", name): 300}
            assert book.shown("kcloud_node_wall_power_watts") == ({("n1",): 300} if meter else {}), name
            found = {r.meter for r in VENDORS.tables["ipmi"].series if r.meter and r.matches({"name": name})}
            assert found - {"dcmi"} == ({meter} if meter else set())


class TestWorst:
    XID = 'DCGM_FI_DEV_XID_ERRORS{gpu="0",UUID="GPU-1",Hostname="n1"} %s\n'
    REMAP = 'DCGM_FI_DEV_ROW_REMAP_FAILURE{gpu="0",UUID="GPU-1",Hostname="n1"} %s\n'

    @pytest.mark.parametrize(
        ("xid", "remap", "healthy"), [(0, 0, 1), (31, 0, 1), (79, 0, 0), (48, 0, 0), (95, 1, 0), (0, 1, 0)]
    )
    def test_one_bad_verdict_is_enough_whichever_series_it_comes_from(self, xid: int, remap: int, healthy: int) -> None:
        book = Book().read(target(self.XID % xid + self.REMAP % remap))
        assert book.shown("kcloud_accelerator_healthy") == {("n1", "GPU-1"): healthy}

    def test_a_sentinel_is_no_verdict(self) -> None:
        assert Book().read(target(self.XID % 2147483632)).shown("kcloud_accelerator_healthy") == {}


class TestNeeds:
    DEVICE = 'rbln_npu_%s{name="rbln0",uuid="u",hostname="n1"} %s\n'

    def page(self, **values: float) -> str:
        return target("".join(self.DEVICE % item for item in values.items()))

    def test_a_device_that_reads_zero_in_everything_shows_nothing(self) -> None:
        book = Book().read(self.page(power=0, temperature=0, memory_used=0, memory_total=0, utilization=0, health=0))
        assert [name for name in book.tables if name.startswith("kcloud_accelerator") and book.shown(name)] == []

    def test_a_device_that_reports_its_own_fault_is_believed(self) -> None:
        book = Book().read(self.page(power=0, memory_total=0, health=1))
        assert book.shown("kcloud_accelerator_healthy") == {("n1", "u"): 0}

    def test_memory_in_gib_is_no_memory_in_bytes(self) -> None:
        book = Book().read(self.page(power=58.5, memory_used=12, memory_total=15.7))
        assert book.shown("kcloud_accelerator_power_watts") != {}
        assert book.shown("kcloud_accelerator_memory_used_bytes") == {}
        assert book.shown("kcloud_accelerator_memory_total_bytes") == {}


class TestEvery:
    NODE = 'kepler_node_package_joules_total{instance="w1",mode="%s",package="%s",source="rapl-sysfs"} %s\n'

    def cpu(self, *cycles: list[tuple[str, str, float]]) -> dict[tuple[str, ...], float]:
        book = Book()
        for rows in cycles:
            book.read(target("".join(self.NODE % row for row in rows), "10.0.0.1:9102"))
        return book.shown("kcloud_node_power_watts")

    def test_dynamic_alone_is_no_total(self) -> None:
        assert self.cpu([("dynamic", "0", 0)], [("dynamic", "0", 600)]) == {}

    def test_dynamic_and_idle_are(self) -> None:
        first = [("dynamic", "0", 0.0), ("idle", "0", 0.0)]
        assert self.cpu(first, [("dynamic", "0", 600), ("idle", "0", 900)]) == {("w1", "cpu"): 100}

    def test_a_socket_without_its_idle_part_leaves_the_node_without_a_total(self) -> None:
        rows = [("dynamic", "0", 0.0), ("idle", "0", 0.0), ("dynamic", "1", 0.0)]
        assert self.cpu(rows, [(mode, socket, 600.0) for mode, socket, _ in rows]) == {}


class TestCounters:
    RAPL = 'node_rapl_package_joules_total{index="%s",path="%s"} %s\n'

    def test_a_node_is_unknown_while_one_of_its_sockets_is(self) -> None:
        before = self.RAPL % (0, "a", 0) + self.RAPL % (1, "b", 262000)
        after = self.RAPL % (0, "a", 1500) + self.RAPL % (1, "b", 10)
        again = self.RAPL % (0, "a", 3000) + self.RAPL % (1, "b", 1210)
        book = Book().read(target(before), target(after))
        assert book.shown("kcloud_node_power_watts") == {}
        assert book.read(target(again)).shown("kcloud_node_power_watts") == {("n1", "cpu"): 180}


class TestTargetNode:
    NODE = 'kepler_node_package_joules_total{instance="w1",mode="%s",package="0",source="rapl-sysfs"} %s\n'
    POD = (
        'kepler_container_package_joules_total{container_id="c",container_name="c",container_namespace="a",'
        'mode="dynamic",pod_name="p",source="rapl-sysfs"} %s\n'
    )

    def test_containers_run_on_the_node_that_their_targets_node_rows_name(self) -> None:
        def page(factor: float) -> str:
            node = self.NODE % ("dynamic", 600 * factor) + self.NODE % ("idle", 900 * factor)
            return target(self.POD % (300 * factor) + node, "10.244.3.9:9102")

        book = Book().read(page(1), page(2))
        assert book.shown("kcloud_pod_power_watts") == {("w1", "a", "p", "cpu"): 20}
        assert book.shown("kcloud_node_power_watts") == {("w1", "cpu"): 100}


def test_series_by_the_hundred_thousand_are_read_directly_and_asked_of_no_prometheus() -> None:
    vendors = load_vendors()
    assert "node_cpu_seconds_total" in vendors.names("node_exporter")
    assert set(vendors.names()) - set(vendors.asked()) == {"node_cpu_seconds_total"}
