"""Debian's OpenStack exporter in front of a simulated cloud: it says how many CPUs a hypervisor has."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.kcloud import KcloudExporter, kcloud_exporter
from tests.real.openstack import cloud, openstack_exporter
from tests.real.page import parse_page
from tests.real.programs import get, require
from tests.real.prometheus import node_exporter
from tests.real.test_libvirt import libvirt_exporter, two_vms_keep_a_cpu_busy_each
from tests.real.test_node_exporter import powercap

pytestmark = pytest.mark.real
VCPUS = 8


@pytest.fixture(scope="module")
def hypervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, KcloudExporter]]:
    """(the page of the exporter, the kcloud-exporter that reads it, libvirt's exporter and RAPL of known power)."""
    folder = tmp_path_factory.mktemp("openstack")
    sysfs = folder / "sys"
    with (
        cloud({"hyp-1": VCPUS}) as auth_url,
        openstack_exporter(auth_url, folder) as page,
        powercap(sysfs),
        # Without its CPUs, so that only the cloud tells how many there are.
        node_exporter(folder, f"--path.sysfs={sysfs}", "--collector.disable-defaults", "--collector.rapl") as server,
        libvirt_exporter(folder) as domains,
    ):
        sources = [
            {"exporter": {"vendor": "openstack", "targets": [page]}},
            *(
                {"exporter": {"vendor": vendor, "targets": [url], "labels": {"node": "hyp-1"}}}
                for vendor, url in {"node_exporter": server, "libvirt": domains}.items()
            ),
        ]
        config = {"global": {"interval": "1s", "timeout": "900ms"}, "clusters": [{"name": "lab", "sources": sources}]}
        with kcloud_exporter(config, folder) as exporter:
            yield page, exporter


def test_the_page_is_what_a_real_openstack_exporter_prints(hypervisor: tuple[str, KcloudExporter]) -> None:
    page = parse_page(get(hypervisor[0]).text)
    cpus = {dict(labels)["hypervisor_hostname"]: n for (name, labels), n in page.items() if name.endswith("cpus_total")}
    assert cpus == {"hyp-1": VCPUS}


def test_a_vm_has_its_part_of_the_cpus_that_the_cloud_tells(hypervisor: tuple[str, KcloudExporter]) -> None:
    _, exporter = hypervisor
    two_vms_keep_a_cpu_busy_each(exporter, VCPUS)


def test_as_shipped_it_cannot_start(tmp_path: Path) -> None:
    """Why it is lent the names of Python 2. When this fails, Debian has mended it: start it as it is."""
    program = require("prometheus-openstack-exporter")
    done = subprocess.run(["/usr/bin/python3", "-I", program, tmp_path], capture_output=True, text=True, timeout=60)
    assert "ModuleNotFoundError: No module named 'urlparse'" in done.stderr
