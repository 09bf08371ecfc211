"""The fleet knows its truth: what the page says of it must be that, and whatever goes missing, watts are conserved.

Everything is read back from the text of the page, not from internals.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from kcloud_exporter.derive.inputs import inputs_of
from kcloud_exporter.derive.ledger import Policy, balance
from kcloud_exporter.derive.tables import ClusterTables
from kcloud_exporter.exposition.renderer import Renderer, families_of
from kcloud_exporter.fleet import FleetSpec, build_world, places, render, truth
from kcloud_exporter.fleet.pages import Place, node_label
from kcloud_exporter.fleet.world import World
from kcloud_exporter.model import ClusterSnapshot, Scrape, SeriesTable, Snapshot
from kcloud_exporter.normalise.engine import ClusterEngine
from kcloud_exporter.sources.exposition import ParseLimits, SeriesIndex, parse_text
from kcloud_exporter.vendors.loading import load_vendors
from kcloud_exporter.vendors.quantities import METERS

BEGIN = 1_800_000_000.0
VENDORS = load_vendors()
Samples = dict[tuple[str, ...], float]
Page = dict[str, Samples]


class Books:
    """All clusters of a world, from pages to the text of /metrics, one engine per cluster."""

    def __init__(self, world: World, *, idle: Policy = "unattributed", overhead: Policy = "unattributed") -> None:
        self._world, self._idle, self._overhead = world, idle, overhead
        self._engines = {c.name: self._engine(c) for c in world.clusters}
        self._tables = {c.name: ClusterTables(c.name) for c in world.clusters}
        self._indexes: dict[Place, SeriesIndex] = {}
        self._series: dict[tuple[str, str], SeriesTable] = {}

    @staticmethod
    def _engine(cluster: Any) -> ClusterEngine:
        return ClusterEngine(
            VENDORS, aliases=cluster.aliases, pattern=None, meters=METERS, max_staleness=45.0, forget_after=3600.0
        )

    def cycle(self, at: float, answers: Callable[[Place], bool] = lambda _: True) -> Page:
        """One cycle in which some exporters answer; returns the page, read back by prometheus_client."""
        snapshots = {}
        for cluster in self._world.clusters:
            scrapes = [
                self._scrape(place, at)
                for place in places(self._world)
                if place.cluster == cluster.name and place.vendor != "pdu" and answers(place)
            ]
            engine = self._engines[cluster.name]
            engine.ingest(scrapes, at)
            readings = engine.readings(at)
            ledger = balance(inputs_of(readings), idle=self._idle, overhead=self._overhead)
            tables = self._tables[cluster.name].build(readings, ledger)
            snapshots[cluster.name] = ClusterSnapshot(cluster.name, cluster.site, tables)
        return read(Snapshot(at, 0, snapshots, {}))

    def _scrape(self, place: Place, at: float) -> Scrape:
        table = self._series.setdefault((place.cluster, place.vendor), SeriesTable())
        index = self._indexes.get(place)
        if index is None:
            labels = {"instance": f"{place.address}:1", "job": place.vendor}
            labels |= node_label(self._world, place.cluster, place.node, place.vendor) if place.vendor != "pdu" else {}
            index = self._indexes[place] = SeriesIndex(
                table, frozenset(VENDORS.names()).__contains__, labels, ParseLimits()
            )
        parsed = parse_text(render(self._world, place, at).encode(), index, openmetrics=False)
        return Scrape(
            place.cluster,
            f"{place.vendor}@{place.address}",
            table,
            parsed.rows,
            parsed.values,
            parsed.timestamps,
            at,
            0.0,
        )


def read(snapshot: Snapshot) -> Page:
    """Family → label values (in the order of the catalogue) → value, from the rendered text."""
    lines: list[bytes] = []
    labels: dict[str, tuple[str, ...]] = {}
    for section in Renderer().sections(snapshot):
        lines += section.parts.values()
    for family in families_of(snapshot):
        labels[family.name] = family.labels
    page: Page = defaultdict(dict)
    for found in text_string_to_metric_families(b"".join(lines).decode()):
        for sample in found.samples:
            key = tuple(sample.labels[name] for name in labels[sample.name])
            assert key not in page[sample.name], f"duplicate {sample.name}{key}"
            page[sample.name][key] = sample.value
    return page


def summed(samples: Samples, *at: int) -> dict[tuple[str, ...], float]:
    groups: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for key, value in samples.items():
        groups[tuple(key[i] for i in at)].append(value)
    return {key: math.fsum(values) for key, values in groups.items()}


def agree(left: dict[Any, float], right: dict[Any, float], tolerance: float = 1e-9) -> None:
    for key in left.keys() | right.keys():
        a, b = left.get(key, 0.0), right.get(key, 0.0)
        assert a == pytest.approx(b, rel=tolerance, abs=1e-6), key


def conserved(page: Page) -> None:
    node = page["kcloud_node_power_watts"]
    pods = summed({**page["kcloud_pod_power_watts"], **page["kcloud_vm_power_watts"]}, 0, 1, 4)
    rest = page["kcloud_node_unattributed_power_watts"]
    assert node.keys() == rest.keys()
    agree({key: pods.get(key, 0.0) + rest[key] for key in node}, node)
    assert pods.keys() <= node.keys()
    agree(summed(node, 0, 2), page["kcloud_cluster_power_watts"])
    agree(summed(page["kcloud_pod_power_watts"], 0, 2, 4), page["kcloud_namespace_power_watts"])
    devices = summed(page["kcloud_accelerator_power_watts"], 0, 1, 3)
    agree(devices, {key: watts for key, watts in node.items() if key[2] in ("gpu", "npu", "tpu")})
    assert all(watts >= -1e-9 for watts in rest.values())
    for key, wall in page["kcloud_node_wall_power_watts"].items():
        parts = math.fsum(w for k, w in node.items() if k[:2] == key and k[2] != "other")
        assert summed(node, 0, 1)[key] == pytest.approx(max(wall, parts), rel=1e-9)
    assert all(ratio <= 1 + 1e-9 for ratio in summed(page["kcloud_accelerator_allocation_ratio"], 0, 1, 2).values())


def flatten(expected: dict[str, Any]) -> dict[str, dict[Any, float]]:
    """The fleet's truth in the shape of the page's keys."""
    flat: dict[str, dict[Any, float]] = defaultdict(dict)
    for name, cluster in expected["clusters"].items():
        for component, watts in cluster["power_watts"].items():
            flat["cluster"][name, component] = watts
        for node, its in cluster["nodes"].items():
            for component, watts in its["power_watts"].items():
                flat["node"][name, node, component] = watts
            for component, watts in its["unattributed_watts"].items():
                flat["unattributed"][name, node, component] = watts
        for uuid, its in cluster["accelerators"].items():
            if its["power_watts"] is not None:
                flat["device"][name, its["node"], uuid] = its["power_watts"]
        for pod in cluster["pods"]:
            for component, watts in pod["power_watts"].items():
                flat["pod"][name, pod["node"], pod["namespace"], pod["pod"], component] = watts
        for vm in cluster["vms"]:
            for component, watts in vm["power_watts"].items():
                flat["vm"][name, vm["node"], vm["project"], vm["vm"], component] = watts
        for namespace, its in cluster["namespaces"].items():
            for component, watts in its.items():
                flat["namespace"][name, namespace, component] = watts
    return flat


@pytest.mark.parametrize("size", ["demo", "mixed"])
@pytest.mark.parametrize("seed", [7, 8, 21])
def test_the_page_is_the_truth_at_every_level(seed: int, size: Literal["demo", "mixed"]) -> None:
    world = build_world(FleetSpec(seed=seed, size=size, frozen=True), start=BEGIN)
    books = Books(world)
    books.cycle(BEGIN + 100)
    page = books.cycle(BEGIN + 115)
    expected = flatten(truth(world, BEGIN + 115))

    agree(page["kcloud_cluster_power_watts"], expected["cluster"], 1e-6)
    agree(page["kcloud_node_power_watts"], expected["node"], 1e-6)
    agree(page["kcloud_node_unattributed_power_watts"], expected["unattributed"], 1e-6)
    agree(page["kcloud_pod_power_watts"], expected["pod"], 1e-6)
    agree(page["kcloud_vm_power_watts"], expected["vm"], 1e-6)
    agree(page["kcloud_namespace_power_watts"], expected["namespace"], 1e-6)
    agree(summed(page["kcloud_accelerator_power_watts"], 0, 1, 2), expected["device"], 1e-6)
    assert set(page["kcloud_cluster_completeness_ratio"].values()) == {1.0}
    conserved(page)


@pytest.mark.parametrize(("idle", "overhead"), [("proportional", "unattributed"), ("proportional", "proportional")])
@pytest.mark.parametrize("size", ["demo", "mixed"])
def test_policies_conserve_the_fleet(size: Literal["demo", "mixed"], idle: Policy, overhead: Policy) -> None:
    world = build_world(FleetSpec(size=size, frozen=True), start=BEGIN)
    books = Books(world, idle=idle, overhead=overhead)
    books.cycle(BEGIN + 100)
    conserved(books.cycle(BEGIN + 115))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10_000), gone=st.sets(st.integers(0, 54), max_size=30), cycles=st.integers(1, 6))
def test_watts_are_conserved_whatever_goes_missing(seed: int, gone: set[int], cycles: int) -> None:
    world = build_world(FleetSpec(seed=seed), start=BEGIN)
    numbered = {place: at for at, place in enumerate(places(world))}
    books = Books(world)
    books.cycle(BEGIN + 100)
    conserved(books.cycle(BEGIN + 115))
    for cycle in range(cycles):
        page = books.cycle(BEGIN + 130 + 15 * cycle, lambda place: numbered[place] not in gone)
        conserved(page)
        assert all(0 <= ratio <= 1 for ratio in page["kcloud_cluster_completeness_ratio"].values())


@pytest.mark.parametrize("vendor", ["dcgm", "kepler", "ipmi", "furiosa", "kepler_legacy", "rebellions"])
def test_a_vendor_that_falls_silent_is_told_by_completeness_and_never_read_as_zero(vendor: str) -> None:
    world = build_world(FleetSpec(frozen=True), start=BEGIN)
    books = Books(world)
    books.cycle(BEGIN + 100)
    whole = books.cycle(BEGIN + 115)
    page: Page = {}
    for cycle in range(5):
        page = books.cycle(BEGIN + 130 + 15 * cycle, lambda place: place.vendor != vendor)
    conserved(page)
    hit = {place.cluster for place in places(world) if place.vendor == vendor}
    for (cluster,), ratio in page["kcloud_cluster_completeness_ratio"].items():
        walls = [{key for key in of["kcloud_node_wall_power_watts"] if key[0] == cluster} for of in (whole, page)]
        # Where another whole-server meter takes over from IPMI nothing is lost.
        replaced = vendor == "ipmi" and walls[0] == walls[1]
        assert (ratio < 1) == (cluster in hit and not replaced), cluster
    for family in ("kcloud_node_power_watts", "kcloud_accelerator_power_watts", "kcloud_pod_power_watts"):
        appeared = _zero(page[family]) - _zero(whole[family])
        # RAPL psys, the last resort among the whole-server meters, does not hold the accelerators: its node shows a
        # negative residual, and `other` is then nothing by definition.
        appeared = {k for k in appeared if k[2] != "other" or page["kcloud_node_power_residual_watts"][k[:2]] >= 0}
        assert not appeared, f"{family} turned to zero: {appeared}"


class TestMixed:
    """Devices of seven makers, pods and VMs, two meters per server: one family set, and every watt counts once."""

    WORLD = build_world(FleetSpec(size="mixed", frozen=True), start=BEGIN)

    def books(self) -> tuple[Books, Page]:
        books = Books(self.WORLD)
        books.cycle(BEGIN + 100)
        return books, books.cycle(BEGIN + 115)

    def test_every_maker_stands_in_the_same_families(self) -> None:
        _, page = self.books()
        makers = {key[5]: key[4] for key in page["kcloud_accelerator_info"]}
        assert makers == {
            **dict.fromkeys(("nvidia", "amd"), "gpu"),
            **dict.fromkeys(("intel", "huawei", "furiosa", "rebellions"), "npu"),
            "google": "tpu",
        }
        for family in ("power_watts", "utilization_ratio", "memory_used_bytes", "memory_total_bytes"):
            told = {key[1] for key in page[f"kcloud_accelerator_{family}"]}
            # Nobody tells a TPU's power, and the Furiosa release of the fleet no memory.
            silent = {"tpu-1"} if family == "power_watts" else {"furiosa-1"} if "memory" in family else set()
            assert told == {node.name for node in self.WORLD.clusters[0].nodes} - silent, family
        holders = {key[1] for key in page["kcloud_accelerator_allocation_ratio"]}
        assert holders == {node.name for node in self.WORLD.clusters[0].nodes}

    def test_it_shows_the_families_of_the_demo(self) -> None:
        _, page = self.books()
        books = Books(build_world(FleetSpec(frozen=True), start=BEGIN))
        books.cycle(BEGIN + 100)
        demo = books.cycle(BEGIN + 115)
        # Of all exporters of both worlds only Gaudi's prints the limit of a device without being told to.
        assert page.keys() - demo.keys() == {"kcloud_accelerator_power_limit_watts"}
        # Nobody holds a device here and leaves it idle.
        assert demo.keys() - page.keys() == {"kcloud_accelerator_idle_power_watts"}

    def test_a_vm_has_its_part_of_the_processors_and_all_of_the_devices_that_were_handed_to_it(self) -> None:
        _, page = self.books()
        watts = page["kcloud_vm_power_watts"]
        told: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for _, node, project, vm, component in watts:
            told[node, project, vm].add(component)
        assert told == {
            ("hyp-1", "shop", "web-1"): {"cpu"},
            ("hyp-1", "media", "render-1"): {"cpu", "gpu"},
            ("hyp-1", "media", "chat-1"): {"cpu", "npu"},
            ("hyp-2", "finance", "ledger-db"): {"cpu", "memory"},
            ("hyp-2", "media", "tune-1"): {"cpu", "memory", "npu"},
            ("hyp-2", "shop", "rank-1"): {"cpu", "memory", "npu"},
        }
        (gpu,) = self.WORLD.node("mixed-a", "render-1").accelerators
        assert watts["mixed-a", "hyp-1", "media", "render-1", "gpu"] == gpu.power.at(BEGIN + 115) / 1000

    @pytest.mark.parametrize(
        ("hypervisor", "guest", "pod"),
        [("hyp-1", "worker-1", ("ml-team", "guest-train-0")), ("hyp-2", "worker-2", ("serving", "guest-batch-0"))],
    )
    def test_a_vm_that_is_a_node_is_not_counted_beside_its_pods(
        self, hypervisor: str, guest: str, pod: tuple[str, str]
    ) -> None:
        _, page = self.books()
        inside = self.WORLD.node("mixed-a", guest)
        (device,) = inside.accelerators
        assert page["kcloud_pod_power_watts"]["mixed-a", hypervisor, *pod, device.kind] == (
            device.power.at(BEGIN + 115) / 1000
        )
        for family, samples in page.items():
            assert not [key for key in samples if guest in key], family
        assert page["kcloud_cluster_nodes"]["mixed-a", "measured"] == len(self.WORLD.clusters[0].nodes)

    def test_a_gpu_that_two_exporters_show_is_one(self) -> None:
        books, whole = self.books()
        page: Page = {}
        for cycle in range(5):
            page = books.cycle(
                BEGIN + 130 + 15 * cycle, lambda place: (place.node, place.vendor) != ("nvidia-1", "dcgm")
            )
        conserved(page)
        family = "kcloud_accelerator_power_watts"
        for seen in (whole, page):
            assert len([key for key in seen[family] if key[1] == "nvidia-1"]) == 3
        agree(page[family], whole[family], 1e-6)
        assert not [key for key in page["kcloud_accelerator_temperature_celsius"] if key[1] == "nvidia-1"]

    def test_a_tpu_draws_in_the_servers_other_and_no_number_is_invented(self) -> None:
        _, page = self.books()
        tpu = self.WORLD.node("mixed-a", "tpu-1")
        watts = {key[2]: value for key, value in page["kcloud_node_power_watts"].items() if key[1] == "tpu-1"}
        assert "tpu" not in watts
        assert watts["other"] > math.fsum(device.power.at(BEGIN + 115) / 1000 for device in tpu.accelerators)

    def test_without_a_whole_server_meter_a_tpus_node_is_partial(self) -> None:
        books, _ = self.books()
        page: Page = {}
        for cycle in range(5):
            page = books.cycle(BEGIN + 130 + 15 * cycle, lambda place: place.vendor not in ("ipmi", "idrac"))
        conserved(page)
        assert page["kcloud_cluster_nodes"]["mixed-a", "measured"] == 0

    @pytest.mark.parametrize(("silent", "winner"), [((), "idrac"), (("idrac",), "ipmi")])
    def test_of_two_meters_one_counts_and_the_other_stands_by(self, silent: tuple[str, ...], winner: str) -> None:
        books, whole = self.books()
        page: Page = {}
        for cycle in range(5):
            page = books.cycle(BEGIN + 130 + 15 * cycle, lambda place: place.vendor not in silent)
        conserved(page)
        meters = {key[3] for key in page["kcloud_node_meter_info"] if key[2] == "wall_power_watts"}
        assert meters == {winner}
        agree(page["kcloud_node_wall_power_watts"], whole["kcloud_node_wall_power_watts"])
        assert set(page["kcloud_cluster_completeness_ratio"].values()) == {1.0}

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(gone=st.sets(st.sampled_from([*places(WORLD)]), max_size=30))
    def test_watts_are_conserved_whatever_goes_missing(self, gone: set[Place]) -> None:
        books, _ = self.books()
        for cycle in range(5):
            conserved(books.cycle(BEGIN + 130 + 15 * cycle, lambda place: place not in gone))


def _zero(samples: Samples) -> set[tuple[str, ...]]:
    return {key for key, value in samples.items() if value == 0}
