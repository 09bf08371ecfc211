"""Every exporter counts double in its own way. Adding rows up is wrong by a known factor; the books are right.

And they are right because of what the table declares: with another declaration they are wrong by the same factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from kcloud_exporter.vendors.mapping import VendorIndex
from tests.vendors.book import VENDORS, Book, samples
from tests.vendors.test_golden import changed

TARGET = '# scraped as: instance="n1",job="j"\n'


@dataclass(frozen=True)
class Case:
    """A page whose true power is known, and one line of the table declared otherwise."""

    page: str
    watts: float
    naive_factor: float
    vendor: str
    quantity: str
    mutation: dict[str, object]

    def mutated(self) -> VendorIndex:
        series = VENDORS.tables[self.vendor].series
        (at, *_) = (at for at, rule in enumerate(series) if rule.to == self.quantity)
        return changed(self.vendor, at, **self.mutation)


def rows(name: str, labels: list[str], watts: float) -> str:
    return "".join(f"{name}{{{row}}} {watts}\n" for row in labels)


GPU = 'gpu="0",UUID="GPU-1",modelName="H100",Hostname="n1"'
NPU = 'arch="rngd",device="npu0",uuid="U",hostname="n1",label="rms"'
AMD = ("amd_gpu_package_power", "amd_gpu_average_package_power", "amd_gpu_power_usage")
GAUDI = 'UUID="01P0",Serial="AN",id="0"'
CASES = {
    "dcgm-7-mig-instances": Case(
        rows(
            "DCGM_FI_DEV_POWER_USAGE",
            [f'{GPU},GPU_I_PROFILE="1g.10gb",GPU_I_ID="{n}",namespace="a",pod="p{n}"' for n in range(7, 14)],
            420,
        ),
        420,
        7,
        "dcgm",
        "accelerator_power_watts",
        {"rows": "partitioned", "parts": ["GPU_I_ID"]},
    ),
    "dcgm-4-time-slices": Case(
        rows("DCGM_FI_DEV_POWER_USAGE", [f'{GPU},vgpu="{n}",namespace="a",pod="p{n}"' for n in range(4)], 310),
        310,
        4,
        "dcgm",
        "accelerator_power_watts",
        {"rows": "partitioned", "parts": ["vgpu"]},
    ),
    "furiosa-device-and-2-pods": Case(
        rows(
            "furiosa_npu_hw_power",
            [
                f'{NPU},core="0-7"',
                f'{NPU},core="0-3",namespace="a",pod="p"',
                f'{NPU},core="4-7",namespace="a",pod="q"',
            ],
            97,
        ),
        97,
        3,
        "furiosa",
        "accelerator_power_watts",
        {"rows": "partitioned", "parts": ["core"]},
    ),
    "kepler-zones-inside-each-other": Case(
        "".join(
            f'kepler_node_cpu_watts{{node_name="n1",path="{zone}",zone="{zone}"}} {watts}\n'
            for zone, watts in (("psys", 300), ("package", 200), ("core", 150), ("dram", 50))
        ),
        300,
        700 / 300,
        "kepler",
        "node_wall_power_watts",
        {"where": {}},
    ),
    "kepler-power-control-with-subsystems-and-2-supplies": Case(
        "".join(
            f'kepler_platform_watts{{node_name="n1",source_id="{number}",source_type="{kind}"}} {watts}\n'
            for number, kind, watts in (
                ("0", "PowerControl", 500),
                ("1", "PowerControl", 180),
                ("PS1", "PowerSupply", 245),
                ("PS2", "PowerSupply", 235),
            )
        ),
        500,
        1160 / 500,
        "kepler",
        "node_wall_power_watts",
        {
            "from": ["kepler_platform_watts"],
            "where": {},
            "rows": "partitioned",
            "parts": ["source_id"],
            "meter": "redfish",
        },
    ),
    "ipmi-dcmi-and-sensor-and-2-supplies": Case(
        "ipmi_dcmi_power_consumption_watts 588\n"
        'ipmi_power_watts{id="40",name="PS1 Input Power"} 312\n'
        'ipmi_power_watts{id="41",name="PS2 Input Power"} 276\n'
        'ipmi_power_watts{id="42",name="Pwr Consumption"} 588\n',
        588,
        3,
        "ipmi",
        "node_wall_power_watts",
        {
            "from": ["ipmi_dcmi_power_consumption_watts", "ipmi_power_watts"],
            "rows": "partitioned",
            "parts": ["name"],
        },
    ),
    "ipmi-sensor-and-2-supplies": Case(
        'ipmi_power_watts{id="40",name="PS1 Input Power"} 312\n'
        'ipmi_power_watts{id="41",name="PS2 Input Power"} 276\n'
        'ipmi_power_watts{id="42",name="Pwr Consumption"} 588\n',
        588,
        2,
        "ipmi",
        "node_wall_power_watts",
        {"from": ["ipmi_power_watts"], "rows": "partitioned", "parts": ["name"]},
    ),
    "amd-three-views-of-one-power": Case(
        "".join(f'{name}{{serial_number="s",gpu_partition_id="0",hostname="n1"}} 400\n' for name in AMD),
        400,
        3,
        "amd",
        "accelerator_power_watts",
        {"rows": "partitioned", "parts": ["gpu_partition_id"]},
    ),
    "ascend-a-cards-power-on-each-of-its-2-chips": Case(
        "".join(
            f'npu_chip_info_power{{id="{n}",model_name="310P3",pcie_bus_info="0000:01:00.0",vdie_id="{n}"}} 76\n'
            for n in range(2)
        ),
        76,
        2,
        "ascend",
        "accelerator_power_watts",
        {"rows": "exclusive", "parts": []},
    ),
    "gaudi-milliwatts-under-two-names": Case(
        f"habanalabs_power_mW{{{GAUDI}}} 391000\naccelerator_power_usage_watts{{{GAUDI}}} 391000\n",
        391,
        2000,
        "gaudi",
        "accelerator_power_watts",
        {"rows": "partitioned", "parts": ["UUID"], "unit": "W", "high": 1e6},
    ),
    "xpumd-card-package-and-2-tiles": Case(
        "".join(
            f'hw_power_watts{{hw_id="a",pci_bdf="0000:05:00.0",com_intel_subdevice_id="{tile}",'
            f'hw_sensor_location="{location}"}} {watts}\n'
            for tile, location, watts in (
                ("", "card", 500),
                ("", "package", 440),
                ("0", "package", 220),
                ("1", "package", 220),
            )
        ),
        500,
        1380 / 500,
        "intel_xpumd",
        "accelerator_power_watts",
        {"where": {}, "rows": "partitioned", "parts": ["com_intel_subdevice_id", "hw_sensor_location"]},
    ),
    "xpum-2-gpus-and-their-card": Case(
        rows("xpum_power_watts", ['uuid="a"', 'uuid="b"', 'uuid="a",card="a+b"'], 30),
        60,
        1.5,
        "intel_xpum",
        "accelerator_power_watts",
        {"where": {}, "rows": "partitioned", "parts": ["card"]},
    ),
    "idrac-the-server-its-parts-and-2-supplies": Case(
        'idrac_power_control_consumed_watts{id="PowerControl",name="System Power Control"} 500\n'
        'idrac_power_control_consumed_watts{id="1",name="CPU Sub-system Power"} 180\n'
        'idrac_power_supply_input_watts{id="PSU.Slot.1"} 255\nidrac_power_supply_input_watts{id="PSU.Slot.2"} 245\n',
        500,
        1180 / 500,
        "idrac",
        "node_wall_power_watts",
        {
            "from": ["idrac_power_control_consumed_watts", "idrac_power_supply_input_watts"],
            "rows": "partitioned",
            "parts": ["id"],
        },
    ),
    "cray-a-node-holds-its-domains": Case(
        "".join(
            f'ceems_cray_pm_counters_power_watts{{hostname="n1",domain="{domain}"}} {watts}\n'
            for domain, watts in (("node", 873), ("cpu", 83), ("memory", 41), ("accel0", 99))
        ),
        873,
        1096 / 873,
        "ceems",
        "node_wall_power_watts",
        {"from": ["ceems_cray_pm_counters_power_watts"], "where": {}, "rows": "partitioned", "parts": ["domain"]},
    ),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def total(vendors: VendorIndex, page: str) -> float:
    """Power of all nodes, as the page shows it."""
    return math.fsum(Book(vendors).read(TARGET + page).shown("kcloud_node_power_watts").values())


@cases
def test_adding_rows_up_is_wrong_by_a_known_factor_and_the_books_are_right(case: Case) -> None:
    naive = math.fsum(value for _, _, value in samples(TARGET + case.page))
    assert naive / case.watts == pytest.approx(case.naive_factor)
    assert total(VENDORS, case.page) / case.watts == pytest.approx(1.0, abs=1e-12)


@cases
def test_with_another_declaration_the_books_are_wrong_by_that_factor(case: Case) -> None:
    assert total(case.mutated(), case.page) / case.watts == pytest.approx(case.naive_factor)


@cases
def test_pods_and_what_belongs_to_nobody_are_the_node(case: Case) -> None:
    book = Book().read(TARGET + case.page)
    pods = book.shown("kcloud_pod_power_watts").values()
    rest = book.shown("kcloud_node_unattributed_power_watts").values()
    assert math.fsum([*pods, *rest]) == pytest.approx(case.watts, abs=1e-9)
