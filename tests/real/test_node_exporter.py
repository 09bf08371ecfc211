"""A real node_exporter over a made-up sysfs: RAPL zones that draw known power, and one hwmon chip."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.kcloud import KcloudExporter, kcloud_exporter
from tests.real.page import group, parse_page, select, total
from tests.real.programs import get, wait_until
from tests.real.prometheus import node_exporter

pytestmark = pytest.mark.real

CPU_WATTS, MEMORY_WATTS = 60.0, 15.0
ZONES = {
    "intel-rapl:0": ("package-0", CPU_WATTS),
    "intel-rapl:0:0": ("core", 40.0),  # lies inside the package
    "intel-rapl:0:1": ("dram", MEMORY_WATTS),
}
PERIOD = 0.02
"""Seconds between two updates of the counters."""


@dataclass(frozen=True)
class Node:
    """A node_exporter's page and the kcloud-exporter that reads it."""

    page_url: str
    exporter: KcloudExporter


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node, named by a label of its target, as service discovery would."""
    folder = tmp_path_factory.mktemp("node")
    sysfs = folder / "sys"
    flags = ["--collector.disable-defaults", "--collector.uname", "--collector.hwmon", "--collector.rapl"]
    with powercap(sysfs), node_exporter(folder, f"--path.sysfs={sysfs}", *flags) as page_url:
        target = {"vendor": "node_exporter", "targets": [page_url], "labels": {"node": "n1"}}
        config = {
            "global": {"interval": "1s", "timeout": "900ms"},
            "clusters": [{"name": "lab", "sources": [{"exporter": target}]}],
        }
        with kcloud_exporter(config, folder) as exporter:
            yield Node(page_url, exporter)


@contextlib.contextmanager
def powercap(sysfs: Path) -> Iterator[None]:
    """Write the chip, and count up the zones' microjoules while the block runs."""
    chip = sysfs / "class/hwmon/hwmon0"
    chip.mkdir(parents=True)
    (chip / "name").write_text("board\n")
    (chip / "temp1_input").write_text("41500\n")
    folders = {sysfs / "class/powercap" / zone: named for zone, named in ZONES.items()}
    for folder, (name, _) in folders.items():
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
    begin, finished = time.monotonic(), threading.Event()

    def count() -> None:
        elapsed = time.monotonic() - begin
        for folder, (_, watts) in folders.items():
            # Replaced, not rewritten: a reader must never see an empty file.
            (folder / "energy_uj.new").write_text(f"{1e9 + elapsed * watts * 1e6:.0f}\n")
            (folder / "energy_uj.new").rename(folder / "energy_uj")

    def keep_counting() -> None:
        while not finished.wait(PERIOD):
            count()

    count()
    counter = threading.Thread(target=keep_counting, name="powercap")
    counter.start()
    try:
        yield
    finally:
        finished.set()
        counter.join()


def test_the_page_is_what_a_real_node_exporter_prints(node: Node) -> None:
    page = parse_page(get(node.page_url).text)
    assert {name for name, _ in page} >= {
        "node_uname_info",
        "node_hwmon_temp_celsius",
        "node_rapl_package_joules_total",
        "node_rapl_core_joules_total",
        "node_rapl_dram_joules_total",
    }


def test_the_source_is_up_and_nothing_failed(node: Node) -> None:
    page = node.exporter.page()
    assert total(page, "kcloud_source_up", cluster="lab") == 1.0
    assert total(page, "kcloud_source_samples", cluster="lab") > 0
    assert total(page, "kcloud_source_failures_total", cluster="lab") == 0.0


def test_joule_counters_become_power_and_inner_zones_are_not_added(node: Node) -> None:
    # The counters move in steps of PERIOD and are read about once a second: a few percent of jitter.
    expected = {
        ("n1", "cpu"): pytest.approx(CPU_WATTS, rel=0.1),
        ("n1", "memory"): pytest.approx(MEMORY_WATTS, rel=0.1),
    }
    wait_until(
        lambda: group(node.exporter.page(), "kcloud_node_power_watts", "node", "component") == expected,
        f"cpu {CPU_WATTS} W and memory {MEMORY_WATTS} W",
        20.0,
        node.exporter.program,
    )


def test_hwmon_temperature_is_shown(node: Node) -> None:
    shown = select(node.exporter.page(), "kcloud_hardware_temperature_celsius", cluster="lab", node="n1")
    assert [*shown.values()] == [41.5]
