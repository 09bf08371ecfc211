"""What the operators of a table mean where one golden page would not explain them: same device, boards, stand-ins."""

from __future__ import annotations

import pytest

from kcloud_exporter.normalise.identity import pci_key
from tests.vendors.book import Book
from tests.vendors.test_tables import target

DCGM = 'DCGM_FI_DEV_POWER_USAGE{gpu="%s",UUID="GPU-%s",Hostname="n1",modelName="L4",pci_bus_id="%s"} %s\n'
SMI = 'nvidia_smi_power_draw_watts{uuid="%s"} %s\n'
SMI_INFO = 'nvidia_smi_gpu_info{uuid="%s",index="0",name="L4",driver_version="590",pci_bus_id="00000000:17:00.0"} 1\n'
POWER = "kcloud_accelerator_power_watts"
INFO = "kcloud_accelerator_info"


def on(page: str, job: str) -> str:
    return f'# scraped as: instance="n1",job="{job}"\n{page}'


class TestSameDevice:
    def test_two_exporters_of_one_uuid_are_one_device_and_the_vendors_own_wins(self) -> None:
        pages = on(DCGM % (0, "AB", "00000000:17:00.0", 300), "dcgm") + on(SMI % ("ab", 290) + SMI_INFO % "ab", "smi")
        book = Book().read(pages)
        assert book.shown(POWER) == {("n1", "GPU-AB", "gpu", "nvidia", "L4"): 300}
        assert book.shown("kcloud_node_power_watts") == {("n1", "gpu"): 300}

    def test_when_the_better_exporter_falls_silent_the_other_tells_the_same_device(self) -> None:
        both = on(DCGM % (0, "ab", "0000:17:00.0", 300), "dcgm") + on(SMI % ("ab", 290), "smi")
        book = Book().read(both, *[on(SMI % ("ab", 280), "smi")] * 5)
        assert book.shown(POWER) == {("n1", "GPU-ab", "gpu", "nvidia", "L4"): 280}

    XPUMD = 'hw_power_watts{hw_id="%s",hw_sensor_location="card",pci_bdf="%s"} %s\n'
    XPUM = 'xpum_power_watts{uuid="%s",dev_name="Max",pci_bdf="%s"} %s\n'

    def test_two_exporters_of_one_bus_address_are_one_device_whatever_they_call_it(self) -> None:
        new, old = self.XPUMD % ("a0b1", "0000:05:00.0", 410), self.XPUM % ("0100", "00000000:05:00.0", 402)
        for pages in (on(new, "new") + on(old, "old"), on(old, "old") + on(new, "new")):
            book = Book().read(pages)
            assert [(key[1], watts) for key, watts in book.shown(POWER).items()] == [("a0b1", 410)]

    def test_another_address_or_another_maker_is_another_device(self) -> None:
        book = Book().read(
            on(self.XPUMD % ("a0b1", "0000:05:00.0", 410), "new")
            + on(self.XPUM % ("0100", "0000:06:00.0", 402), "old")
            + on(DCGM % (0, "ab", "0000:05:00.0", 300), "dcgm")
        )
        assert sorted(book.shown(POWER).values()) == [300, 402, 410]

    def test_a_device_that_replaces_another_in_its_slot_is_a_new_one(self) -> None:
        book = Book().read(*[on(DCGM % (0, uuid, "0000:17:00.0", 300), "dcgm") for uuid in ("old", *["new"] * 5)])
        assert {key[1] for key in book.shown(POWER)} == {"GPU-new"}

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ("00000000:17:00.0", "0:17:00.0"),
            ("0000:17:00.0", "0:17:00.0"),
            ("17:00.0", "0:17:00.0"),
            ("0001:DB:00.1", "1:db:00.1"),
            ("mlx5_0", ""),
            ("", ""),
        ],
    )
    def test_an_address_has_many_spellings(self, text: str, key: str) -> None:
        assert pci_key(text) == key


class TestDeviceInfo:
    def test_names_that_come_after_the_numbers_are_shown(self) -> None:
        book = Book().read(on(SMI % ("ab", 290), "smi"), on(SMI % ("ab", 291) + SMI_INFO % "ab", "smi"))
        (key,) = book.shown(INFO)
        assert key == ("n1", "ab", "0", "gpu", "nvidia", "L4", "590", "00000000:17:00.0")

    def test_a_device_of_which_only_the_name_is_told_is_not_shown(self) -> None:
        assert Book().read(on(SMI_INFO % "ab", "smi")).shown(INFO) == {}


class TestBoard:
    CHIP = 'npu_chip_info_power{id="%s",model_name="310P3",pcie_bus_info="0000:01:00.0",vdie_id="%s"} %s\n'

    def chips(self, *watts: float) -> str:
        return target("".join(self.CHIP % (n, n, w) for n, w in enumerate(watts)))

    def test_the_chips_of_a_board_share_its_power(self) -> None:
        book = Book().read(self.chips(76, 76))
        assert list(book.shown(POWER).values()) == [38, 38]
        assert book.shown("kcloud_node_power_watts") == {("n1", "npu"): 76}

    def test_when_one_chip_is_lost_the_board_still_draws_what_it_draws(self) -> None:
        book = Book().read(self.chips(76, 76), *[self.chips(80)] * 5)
        assert book.shown("kcloud_node_power_watts") == {("n1", "npu"): 80}


class TestStandIn:
    LEGACY = 'kepler_node_gpu_joules_total{instance="n1",mode="%s",package="0",source="nvidia"} %s\n'

    def legacy(self, cycle: int) -> str:
        return on(self.LEGACY % ("idle", 750 * cycle) + self.LEGACY % ("dynamic", 1500 * cycle), "kepler")

    def test_it_counts_while_it_is_alone_and_steps_back_when_another_speaks(self) -> None:
        dcgm = on(DCGM % (0, "ab", "0000:17:00.0", 160), "dcgm")
        book = Book().read(self.legacy(1), self.legacy(2))
        assert book.shown("kcloud_node_power_watts") == {("n1", "gpu"): 150}
        book.read(self.legacy(3) + dcgm)
        assert book.shown("kcloud_node_power_watts") == {("n1", "gpu"): 160}
        assert {key[1] for key in book.shown(INFO)} == {"GPU-ab"}
        book.read(*[self.legacy(n) for n in range(4, 9)])
        assert book.shown("kcloud_node_power_watts") == {("n1", "gpu"): 150}


class TestEqualParts:
    ROW = 'gpu_package_power{serial_number="s",gpu_partition_id="%s",hostname="n1",namespace="%s",pod="%s"} %s\n'

    def test_parts_are_as_large_as_their_number_says_and_a_new_mode_changes_it(self) -> None:
        def page(mode: int) -> str:
            free = "".join(self.ROW % (n, "", "", 0) for n in range(1, mode))
            return target(self.ROW % (0, "a", "p", 480) + free)

        book = Book().read(page(8))
        assert book.shown("kcloud_pod_power_watts") == {("n1", "a", "p", "gpu"): 60}
        book.read(page(2))
        assert book.shown("kcloud_pod_power_watts") == {("n1", "a", "p", "gpu"): 240}
        book.read(page(1))
        assert book.shown("kcloud_pod_power_watts") == {("n1", "a", "p", "gpu"): 480}


class TestGrants:
    GRANT = 'vGPUCoreAllocated{containeridx="0",deviceuuid="GPU-ab",nodename="n1",podname="%s",podnamespace="a"} %s\n'
    USE = 'Device_utilization_desc_of_container{ctrname="c",deviceuuid="GPU-ab",podname="%s",podnamespace="a"} %s\n'

    def pods(self, *pages: str) -> dict[str, float]:
        dcgm = on(DCGM % (0, "ab", "0000:17:00.0", 100), "dcgm")
        book = Book().read(dcgm + "".join(on(page, f"hami{n}") for n, page in enumerate(pages)))
        return {key[2]: watts for key, watts in book.shown("kcloud_pod_power_watts").items()}

    def test_a_fraction_is_a_fraction_and_the_rest_is_nobodys(self) -> None:
        assert self.pods(self.GRANT % ("p", 30) + self.GRANT % ("q", 20)) == {"p": 30, "q": 20}

    def test_more_than_all_is_all(self) -> None:
        assert self.pods(self.GRANT % ("p", 90) + self.GRANT % ("q", 60)) == pytest.approx({"p": 60, "q": 40})

    def test_use_speaks_louder_than_grants(self) -> None:
        grants = self.GRANT % ("p", 30) + self.GRANT % ("q", 20)
        assert self.pods(grants, self.USE % ("p", 10) + self.USE % ("q", 30)) == pytest.approx({"p": 25, "q": 75})

    def test_a_hold_that_two_exporters_tell_is_one_although_one_of_them_names_no_container(self) -> None:
        assert self.pods(self.USE % ("p", 0) + self.USE % ("q", 0), self.GRANT % ("p", 30)) == {"p": 50, "q": 50}
        assert self.pods(self.GRANT % ("p", 30), self.USE % ("p", 0) + self.USE % ("q", 0)) == {"p": 50, "q": 50}


class TestBatchJobs:
    def test_a_job_holds_like_a_pod_in_a_namespace_that_no_cluster_can_have(self) -> None:
        labels = 'gpu="0",UUID="GPU-ab",Hostname="n1",hpc_job="4711",pod="slurmd-0",namespace="slurm"'
        book = Book().read(target(f"DCGM_FI_DEV_POWER_USAGE{{{labels}}} 90\n"))
        assert book.shown("kcloud_pod_power_watts") == {("n1", "hpc_job", "4711", "gpu"): 90}
