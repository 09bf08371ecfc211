"""Every page is a valid exposition in its exporter's own manner, with the traps of the real one."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from kcloud_exporter.fleet import FleetSpec, build_world, places, render
from kcloud_exporter.fleet.dcgm import dcgm_page
from kcloud_exporter.fleet.exposition import go_float, to_openmetrics
from kcloud_exporter.fleet.pages import RENDERERS, Place
from kcloud_exporter.fleet.truth import truth
from kcloud_exporter.fleet.world import World
from tests.fleet.conftest import AT, DEMO, START, ReadPage, samples

MIXED = build_world(FleetSpec(size="mixed"), START, octet=98)
every_page = pytest.mark.parametrize(
    ("world", "place"),
    [pytest.param(it, p, id=f"{p.cluster}-{p.node}-{p.vendor}") for it in (DEMO, MIXED) for p in places(it)],
)


@every_page
def test_a_page_parses_and_no_series_stands_twice(world: World, place: Place) -> None:
    found = samples(render(world, place, AT))
    assert found
    twice = [s for s, n in Counter((name, frozenset(labels.items())) for name, labels, _ in found).items() if n > 1]
    assert twice == []


@every_page
def test_a_page_says_the_same_as_openmetrics(world: World, place: Place) -> None:
    page = render(world, place, AT)
    families = list(openmetrics_families(to_openmetrics(page)))  # type: ignore[no-untyped-call]
    assert to_openmetrics(page).endswith("\n# EOF\n")
    assert sum(len(family.samples) for family in families) == len(samples(page))
    assert all(s.name == f"{f.name}_total" for f in families if f.type == "counter" for s in f.samples)


def test_the_demo_and_the_mixed_world_have_every_kind_of_exporter(world: World) -> None:
    mixed = build_world(FleetSpec(size="mixed"), START)
    assert {place.vendor for it in (world, mixed) for place in places(it)} == set(RENDERERS)


def test_the_same_spec_gives_the_same_pages_and_another_seed_does_not() -> None:
    def pages(seed: int) -> list[str]:
        world = build_world(FleetSpec(seed=seed), START)
        return [render(world, place, AT) for place in places(world)]

    assert pages(7) == pages(7)
    assert pages(7) != pages(8)


class TestDcgm:
    """dcgm-exporter: what is printed, and how often."""

    POWER = "DCGM_FI_DEV_POWER_USAGE"

    def test_prints_numbers_as_c_does(self, world: World) -> None:
        page = render(world, Place("seoul-a", "gpu-1", "dcgm", ""), AT)
        device = world.node("seoul-a", "gpu-1").accelerators[0]
        labels = (
            f'{{gpu="0",UUID="{device.uuid}",pci_bus_id="00000000:17:00.0",device="nvidia0",'
            'modelName="NVIDIA H100 80GB HBM3",Hostname="gpu-1",DCGM_FI_DRIVER_VERSION="570.124.06",'
            'container="trainer",namespace="ml-team",pod="llama-pretrain-0"}'
        )
        assert f"{self.POWER}{labels} {device.power.at(AT) / 1000:.6f}\n" in page
        assert f"DCGM_FI_DEV_GPU_UTIL{labels} {round(device.load.at(AT) / 100)}\n" in page

    def test_an_idle_device_has_no_pod_label(self, world: World, read: ReadPage) -> None:
        idle = world.node("seoul-a", "gpu-1").accelerators[3]
        (row,) = [x for n, x, _ in read("seoul-a", "gpu-1", "dcgm") if n == self.POWER and x["UUID"] == idle.uuid]
        assert not {"pod", "namespace", "container"} & row.keys()

    def test_a_mig_device_prints_its_whole_power_on_every_instance(self, world: World, read: ReadPage) -> None:
        device = world.node("seoul-a", "mig-1").accelerators[0]
        page = [(n, x, v) for n, x, v in read("seoul-a", "mig-1", "dcgm") if x["UUID"] == device.uuid]
        rows = [(x["GPU_I_PROFILE"], x.get("pod"), v) for n, x, v in page if n == self.POWER]
        watts = device.power.at(AT) / 1000
        embed, rerank = (part.pod.name for part in device.parts if part.pod)
        assert rows == [("3g.40gb", embed, watts), ("1g.10gb", rerank, watts), ("1g.10gb", None, watts)]
        assert not {n for n, _, _ in page} & {"DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_DEV_GPU_UTIL"}

    def test_the_memory_of_mig_instances_does_add_up(self, world: World, read: ReadPage) -> None:
        device = world.node("seoul-a", "mig-1").accelerators[0]
        used = [
            v for n, x, v in read("seoul-a", "mig-1", "dcgm") if n == "DCGM_FI_DEV_FB_USED" and x["UUID"] == device.uuid
        ]
        assert len(set(used)) == 3
        assert sum(used) < device.memory_mib

    def test_a_time_sliced_device_prints_a_copy_per_pod(self, world: World, read: ReadPage) -> None:
        device = world.node("seoul-a", "gpu-2").accelerators[0]
        page = read("seoul-a", "gpu-2", "dcgm")
        rows = [(x["pod"], x["vgpu"], v) for n, x, v in page if n == self.POWER and x["UUID"] == device.uuid]
        watts = device.power.at(AT) / 1000
        assert rows == [(f"notebook-{who}-0", str(n), watts) for n, who in enumerate("abc")]

    def test_the_layouts_differ_as_the_versions_did(self, read: ReadPage) -> None:
        def labels(cluster: str, node: str, name: str) -> set[str]:
            return set().union(*(x for n, x, _ in read(cluster, node, "dcgm") if n == name))

        assert {"Hostname", "pci_bus_id"} <= labels("seoul-a", "gpu-1", self.POWER)
        assert "hostname" in labels("seoul-a", "gpu-2", self.POWER)
        old = labels("busan-a", "gpu-1", self.POWER)
        assert "Hostname" in old
        assert "pci_bus_id" not in old
        oldest = labels("busan-a", "mix-1", "dcgm_power_usage")
        assert {"uuid", "pod_name", "pod_namespace", "container_name"} <= oldest

    def test_the_old_layout_leaks_the_blank_of_a_missing_value(self, read: ReadPage) -> None:
        leaked = [v for n, _, v in read("busan-a", "gpu-1", "dcgm") if n == "DCGM_FI_DEV_MEMORY_TEMP"]
        assert leaked == [9.223372036854776e18] * 3


class TestKepler:
    """Kepler, new and old."""

    def test_nested_zones_are_printed_beside_the_outer_ones(self, world: World, read: ReadPage) -> None:
        watts = {x["zone"]: v for n, x, v in read("seoul-a", "gpu-1", "kepler") if n == "kepler_node_cpu_watts"}
        node = world.node("seoul-a", "gpu-1")
        assert set(watts) == {"package", "core", "uncore", "dram"}
        assert watts["package"] == node.cpu.at(AT) / 1000
        assert watts["dram"] == node.memory.at(AT) / 1000
        assert watts["core"] + watts["uncore"] < watts["package"]

    @pytest.mark.parametrize("zone", ["package", "dram"])
    def test_running_pods_stay_below_the_active_power_of_their_node(self, zone: str, read: ReadPage) -> None:
        page = [(n, x, v) for n, x, v in read("seoul-a", "gpu-2", "kepler") if x.get("zone") == zone]
        pods = sum(v for n, x, v in page if n == "kepler_pod_cpu_watts" and x["state"] == "running")
        (active,) = [v for n, _, v in page if n == "kepler_node_cpu_active_watts"]
        assert 0 < pods < active

    def test_a_pod_that_has_ended_is_still_on_the_page(self, read: ReadPage) -> None:
        ended = [x for n, x, _ in read("seoul-a", "gpu-1", "kepler") if x.get("state") == "terminated"]
        assert {x["pod_name"] for x in ended} == {"nightly-report-29384710-x2lqv"}

    def test_one_node_prints_its_gpus_a_second_time(self, world: World, read: ReadPage) -> None:
        seen = {x["gpu_uuid"]: v for n, x, v in read("seoul-a", "gpu-2", "kepler") if n == "kepler_node_gpu_watts"}
        assert seen == {d.uuid: d.power.at(AT) / 1000 for d in world.node("seoul-a", "gpu-2").accelerators}

    def test_old_kepler_has_joules_only_by_mode_and_socket(self, world: World, read: ReadPage) -> None:
        page = read("seoul-b", "npu-1", "kepler_legacy")
        rows = [(x, v) for n, x, v in page if n == "kepler_node_package_joules_total"]
        node = world.node("seoul-b", "npu-1")
        assert {(x["mode"], x["package"], x["instance"]) for x, _ in rows} == {
            (mode, socket, "npu-1") for mode in ("dynamic", "idle") for socket in "01"
        }
        assert math.isclose(sum(v for _, v in rows), node.cpu.integral(AT) / 1000, rel_tol=1e-12)
        assert not [n for n, _, _ in page if n.endswith("_watts")]

    def test_old_kepler_containers_split_the_dynamic_energy_and_share_the_idle(self, read: ReadPage) -> None:
        page = read("seoul-b", "npu-1", "kepler_legacy")

        def joules(name: str, mode: str) -> float:
            return sum(v for n, x, v in page if n == name and x["mode"] == mode)

        node, pods = "kepler_node_package_joules_total", "kepler_container_package_joules_total"
        assert math.isclose(joules(pods, "dynamic"), joules(node, "dynamic"), rel_tol=1e-9)
        assert math.isclose(joules(pods, "idle"), joules(node, "idle"), rel_tol=1e-3)
        assert {"system_processes", "kernel_processes", "furiosa-llm-0"} <= {
            x["pod_name"] for n, x, _ in page if n == pods
        }


class TestNpu:
    """Furiosa and Rebellions."""

    POWER = "furiosa_npu_hw_power"

    def rows(self, world: World, read: ReadPage, index: int) -> list[tuple[str, str | None, float]]:
        uuid = world.node("seoul-b", "npu-1").accelerators[index].uuid
        page = read("seoul-b", "npu-1", "furiosa")
        return sorted((x["core"], x.get("pod"), v) for n, x, v in page if n == self.POWER and x["uuid"] == uuid)

    def test_a_partitioned_device_prints_itself_and_a_copy_per_pod(self, world: World, read: ReadPage) -> None:
        one, two = (world.node("seoul-b", "npu-1").accelerators[i].power.at(AT) / 1000 for i in (0, 1))
        assert self.rows(world, read, 0) == [("0-3", "furiosa-llm-0", one), ("0-7", None, one)]
        assert self.rows(world, read, 1) == [
            ("0-3", "furiosa-llm-1", two), ("0-7", None, two), ("4-7", "furiosa-llm-2", two)
        ]  # fmt: skip

    def test_a_device_of_one_pod_and_an_idle_one_print_a_single_row(self, world: World, read: ReadPage) -> None:
        assert [(core, pod) for core, pod, _ in self.rows(world, read, 2)] == [("0-7", "furiosa-llm-3")]
        assert [(core, pod) for core, pod, _ in self.rows(world, read, 3)] == [("0-7", None)]

    def test_cores_outside_a_partition_belong_to_nobody_and_do_nothing(self, world: World, read: ReadPage) -> None:
        uuid = world.node("seoul-b", "npu-1").accelerators[0].uuid
        page = read("seoul-b", "npu-1", "furiosa")
        cores = {
            x["core"]: (x.get("pod"), v > 0)
            for n, x, v in page
            if n == "furiosa_npu_core_utilization" and x["uuid"] == uuid
        }
        assert cores == {str(c): ("furiosa-llm-0", True) if c < 4 else (None, False) for c in range(8)}

    def test_rebellions_has_old_names_on_one_node_and_new_ones_on_another(self, read: ReadPage) -> None:
        def names(node: str) -> set[str]:
            return {n for n, _, _ in read("seoul-b", node, "rebellions")}

        assert "RBLN_DEVICE_STATUS:CARD_POWER" in names("npu-2")
        assert "rbln_npu_power" in names("npu-3")
        assert not names("npu-2") & names("npu-3")

    def test_an_idle_rebellions_device_has_empty_pod_labels(self, read: ReadPage) -> None:
        page = read("seoul-b", "npu-2", "rebellions")
        idle = [x for n, x, _ in page if n.endswith("CARD_POWER") and x["name"] == "rbln2"]
        assert [(x["pod"], x["namespace"], x["container"]) for x in idle] == [("", "", "")]


class TestServers:
    """IPMI, node_exporter, kube-state-metrics and the PDU."""

    def test_ipmi_sensors_overlap_with_dcmi(self, world: World, read: ReadPage) -> None:
        page = read("seoul-a", "gpu-1", "ipmi")
        wall = truth(world, AT)["clusters"]["seoul-a"]["nodes"]["gpu-1"]["wall_watts"]
        assert [v for n, _, v in page if n == "ipmi_dcmi_power_consumption_watts"] == [wall]
        sensors = {x["name"]: v for n, x, v in page if n == "ipmi_power_watts"}
        both = sensors["PSU1 Input Power"] + sensors["PSU2 Input Power"]
        assert 0 < both - wall < wall / 20
        assert 0 < sensors["Pwr Consumption"] - wall < wall / 20
        assert [x["name"] for n, x, v in page if n == "ipmi_temperature_celsius" and math.isnan(v)] == ["CPU2 Temp"]

    def test_the_bmc_does_not_know_the_name_of_its_node(self, read: ReadPage) -> None:
        page = read("seoul-a", "gpu-1", "ipmi")
        assert not [x for _, x, _ in page if "gpu-1" in x.values() or "instance" in x]

    def test_rapl_zones_overlap(self, world: World, read: ReadPage) -> None:
        page = read("busan-a", "mix-1", "node_exporter")
        node = world.node("busan-a", "mix-1")

        def joules(zone: str) -> float:
            return sum(v for n, _, v in page if n == f"node_rapl_{zone}_joules_total")

        assert math.isclose(joules("package"), node.cpu.integral(AT) / 1000, abs_tol=1e-5)
        assert math.isclose(joules("dram"), node.memory.integral(AT) / 1000, abs_tol=1e-5)
        assert 0 < joules("core") < joules("package")
        assert joules("psys") > joules("package") + joules("dram")

    def test_a_node_without_whole_server_meter_has_nothing_that_could_pass_for_one(self, world: World) -> None:
        node = world.node("busan-a", "npu-1")
        page = render(world, Place("busan-a", "npu-1", "node_exporter", ""), AT)
        assert node.wall is None
        assert "ipmi" not in node.exporters
        assert "psys" not in page
        assert "power_average" not in page

    def test_every_node_is_known_with_its_address(self, world: World, read: ReadPage) -> None:
        for cluster in world.clusters:
            page = read(cluster.name, cluster.state_node, "kube_state_metrics")
            known = {x["node"]: x["internal_ip"] for n, x, _ in page if n == "kube_node_info"}
            assert known == {node.name: node.address for node in cluster.nodes}

    def test_every_address_belongs_to_one_server(self, world: World) -> None:
        nodes = [node for cluster in world.clusters for node in cluster.nodes]
        addresses = [a for n in nodes for a in (n.address, n.bmc_address)] + [s.pdu_address for s in world.sites]
        assert len(set(addresses)) == len(addresses)

    def test_every_pod_of_the_world_is_running(self, world: World, read: ReadPage) -> None:
        page = read("seoul-a", "cp-1", "kube_state_metrics")
        running = {
            (x["namespace"], x["pod"])
            for n, x, v in page
            if n == "kube_pod_status_phase" and x["phase"] == "Running" and v == 1
        }
        pods = {(pod.namespace, pod.name) for node in world.cluster("seoul-a").nodes for pod in node.pods}
        assert pods < running
        assert ("batch", "nightly-report-29384710-x2lqv") not in running

    def test_the_pdu_counts_hundredths_of_a_kilowatt(self, world: World, read: ReadPage) -> None:
        power = [v for n, _, v in read("seoul-a", "pdu-icn1", "pdu") if n == "rPDU2DeviceStatusPower"]
        assert [v * 10 for v in power] == [truth(world, AT)["sites"]["icn1"]["facility_watts"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (1, "1"), (-2.5, "-2.5"), (64.8, "64.8"), (183422.518, "183422.518"), (123456, "123456"),
        (1_000_000, "1e+06"), (1234567.5, "1.2345675e+06"), (16877882368, "1.6877882368e+10"),
        (0.0001, "0.0001"), (0.00001, "1e-05"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"),
    ],
)  # fmt: skip
def test_go_floats(value: float, text: str) -> None:
    assert go_float(value) == text


def test_a_large_page_has_ten_samples_per_device_and_only_its_values_change() -> None:
    page, later = dcgm_page(5, 8), dcgm_page(5, 8, step=1)
    found, again = samples(page), samples(later)
    assert len(found) == 5 * 8 * 10
    assert [(n, x) for n, x, _ in found] == [(n, x) for n, x, _ in again]
    assert [v for _, _, v in found] != [v for _, _, v in again]
    assert sum("pod" not in x for n, x, _ in found if n == "DCGM_FI_DEV_POWER_USAGE") == 10


class TestVllm:
    """A model server: counters of tokens, and nothing that tells whose they are."""

    def test_the_counter_is_the_integral_of_what_is_generated(self, world: World) -> None:
        pod = world.node("seoul-b", "npu-1").pods[0]
        assert pod.tokens is not None
        for at in (START, AT, AT + 1000.0):
            page = render(world, Place("seoul-b", pod.name, "vllm", ""), at)
            ((_, labels, made),) = [s for s in samples(page) if s[0] == "vllm:generation_tokens_total"]
            assert made == int(pod.tokens.integral(at))
            assert labels == {"engine": "0", "model_name": "furiosa-ai/Llama-3.1-8B"}

    def test_numbers_are_floats_with_an_exponent_from_a_million_on(self, world: World) -> None:
        pod = world.node("seoul-b", "npu-1").pods[0]
        place = Place("seoul-b", pod.name, "vllm", "")
        assert render(world, place, START).splitlines()[-1].endswith(" 0.0")
        assert render(world, place, START + 1_000_000).splitlines()[-1].endswith("e+08")

    def test_the_truth_knows_the_same_counts(self, world: World) -> None:
        for cluster, seen in truth(world, AT)["clusters"].items():
            for server in seen["work_units"]:
                page = samples(render(world, Place(cluster, server["pod"], "vllm", ""), AT))
                assert sorted(value for _, _, value in page) == sorted(server["units"].values())
                assert min(server["units"].values()) > 0
