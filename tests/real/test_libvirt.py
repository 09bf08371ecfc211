"""Debian's libvirt exporter on libvirt's test driver: its domains keep one CPU busy each, by the driver's own clock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.kcloud import KcloudExporter, kcloud_exporter
from tests.real.page import group, parse_page, select, total
from tests.real.programs import answers, free_port, get, require, start, wait_until
from tests.real.prometheus import node_exporter
from tests.real.test_node_exporter import CPU_WATTS, powercap

pytestmark = pytest.mark.real
DOMAIN = """<domain type="test"><name>{name}</name><uuid>{uuid}</uuid>{metadata}
<memory>2097152</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>"""
NOVA = """<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
<nova:name>web-1</nova:name><nova:flavor name="m1.small"/>
<nova:owner><nova:user uuid="aa">alice</nova:user><nova:project uuid="0cbd49cb">demo</nova:project></nova:owner>
</nova:instance></metadata>"""
UUID = "2ce4c5b3-2866-4972-93ce-77a2ea46a7f{}"


@contextlib.contextmanager
def libvirt_exporter(folder: Path) -> Iterator[str]:
    """The exporter over two domains, of which Nova has told the name of one; yields the URL of its page."""
    host = folder / "node.xml"
    host.write_text(
        "<node>"
        + DOMAIN.format(name="instance-00000001", uuid=UUID.format(1), metadata=NOVA)
        + DOMAIN.format(name="instance-00000002", uuid=UUID.format(2), metadata="")
        + "</node>"
    )
    program, port = require("prometheus-libvirt-exporter"), free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    flags = [f"--libvirt.uri=test://{host}", "--libvirt.export-nova-metadata"]
    arguments = [program, *flags, f"--web.listen-address=127.0.0.1:{port}"]
    with start("libvirt-exporter", arguments, folder, lambda: answers(url)):
        yield url


def two_vms_keep_a_cpu_busy_each(exporter: KcloudExporter, cpus: int) -> None:
    """The domains of `libvirt_exporter` have their part of so many CPUs' power, and the node the rest."""
    each = pytest.approx(CPU_WATTS / cpus, rel=0.15)
    expected = {("hyp-1", "demo", "web-1", "cpu"): each, ("hyp-1", "", "instance-00000002", "cpu"): each}
    wait_until(
        lambda: group(exporter.page(), "kcloud_vm_power_watts", "node", "project", "vm", "component") == expected,
        f"two VMs keep one of {cpus} CPUs busy each",
        20.0,
        exporter.program,
    )
    page = exporter.page()
    held = total(page, "kcloud_vm_power_watts") + total(page, "kcloud_node_unattributed_power_watts", component="cpu")
    assert held == pytest.approx(total(page, "kcloud_node_power_watts", component="cpu"))


@pytest.fixture(scope="module")
def hypervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, KcloudExporter]]:
    """(libvirt exporter's page, page of a node_exporter with known RAPL power, the kcloud-exporter that reads both)."""
    folder = tmp_path_factory.mktemp("libvirt")
    sysfs = folder / "sys"
    flags = ["--collector.disable-defaults", "--collector.cpu", "--collector.rapl"]
    with (
        powercap(sysfs),
        node_exporter(folder, f"--path.sysfs={sysfs}", *flags) as server,
        libvirt_exporter(folder) as domains,
    ):
        targets = {"node_exporter": server, "libvirt": domains}
        sources = [
            {"exporter": {"vendor": vendor, "targets": [url], "labels": {"node": "hyp-1"}}}
            for vendor, url in targets.items()
        ]
        config = {
            "global": {"interval": "1s", "timeout": "900ms"},
            "clusters": [{"name": "lab", "sources": sources}],
        }
        with kcloud_exporter(config, folder) as exporter:
            yield domains, server, exporter


def test_the_page_is_what_a_real_libvirt_exporter_prints(hypervisor: tuple[str, str, KcloudExporter]) -> None:
    page = parse_page(get(hypervisor[0]).text)
    (series,) = select(page, "libvirt_domain_info_cpu_time_seconds_total", uuid=UUID.format(1))
    assert dict(series[1]) | {"flavor": ""} == {
        "domain": "instance-00000001",
        "flavor": "",
        "name": "web-1",
        "project_name": "demo",
        "uuid": UUID.format(1),
    }


def test_vms_have_their_part_of_the_cpus_time_and_nothing_is_lost(
    hypervisor: tuple[str, str, KcloudExporter],
) -> None:
    _, server, exporter = hypervisor
    cpus = len(
        {dict(labels)["cpu"] for name, labels in parse_page(get(server).text) if name == "node_cpu_seconds_total"}
    )
    two_vms_keep_a_cpu_busy_each(exporter, max(cpus, 2))
