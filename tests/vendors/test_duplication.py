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
