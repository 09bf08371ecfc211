"""What the engine must get right between two bytes: holes, owners, names, counters, clocks, rebuilds."""

from __future__ import annotations

import pytest

from tests.normalise.cluster import Cluster, Prometheus

GPU = 'DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-1",modelName="H100",Hostname="n1"'
GPU += ',instance="10.0.0.1:9400",job="dcgm"%s} %s\n'
DCMI = 'ipmi_dcmi_power_consumption_watts{instance="%s"} %s\n'
NODE_INFO = 'kube_node_info{node="%s",internal_ip="%s",instance="ksm:8080",job="ksm"} 1\n'
POWER = "kcloud_accelerator_power_watts"


def owned(pod: str, watts: float = 300) -> str:
    return GPU % (
        f',exported_namespace="a",exported_pod="{pod}",exported_container="c",namespace="gpu",pod="dcgm-x"',
        watts,
    )


def pods(cluster: Cluster) -> dict[str, float]:
    return {key[2]: watts for key, watts in cluster.shown("kcloud_pod_power_watts").items() if key[3] == "gpu"}


class TestMissingIsNotZero:
    def test_a_hole_keeps_the_last_value_until_it_is_stale(self) -> None:
        cluster = Cluster().cycle(owned("p"), 0)
        cluster.cycle("up_is_another 1", 15)
        assert list(cluster.shown(POWER).values()) == [300]
        assert pods(cluster) == {"p": 300}
        cluster.cycle("up_is_another 1", 46)
        assert cluster.shown(POWER) == {}
        assert pods(cluster) == {}

    def test_a_node_that_went_silent_is_known_and_lost(self) -> None:
        cluster = Cluster().cycle(DCMI % ("n1", 500) + DCMI % ("n2", 400), 0)
        assert cluster.shown("kcloud_cluster_completeness_ratio") == {(): 1.0}
        for now in (15, 30, 45, 60):
            cluster.cycle(DCMI % ("n1", 500), now)
        assert cluster.shown("kcloud_cluster_completeness_ratio") == {(): 0.5}
        assert cluster.shown("kcloud_cluster_nodes") == {("measured",): 1, ("partial",): 0, ("missing",): 1}

    def test_a_lost_device_makes_its_node_partial(self) -> None:
        both = DCMI % ("n1", 500) + owned("p") + GPU.replace("GPU-1", "GPU-2") % ("", 100)
        cluster = Cluster().cycle(both, 0)
        assert cluster.shown("kcloud_cluster_nodes")["measured",] == 1
        for now in (15, 30, 45, 60):
            cluster.cycle(DCMI % ("n1", 500) + owned("p"), now)
        assert cluster.shown("kcloud_cluster_nodes") == {("measured",): 0, ("partial",): 1, ("missing",): 0}

    def test_a_node_of_the_inventory_without_any_meter_is_missing(self) -> None:
        cluster = Cluster().cycle(NODE_INFO % ("n1", "10.0.0.1") + NODE_INFO % ("n2", "10.0.0.2") + DCMI % ("n1", 9), 0)
        assert cluster.shown("kcloud_cluster_completeness_ratio") == {(): 0.5}

    def test_a_node_that_left_the_inventory_is_not_expected_any_more(self) -> None:
        cluster = Cluster().cycle(
            NODE_INFO % ("n1", "10.0.0.1") + NODE_INFO % ("n2", "10.0.0.2") + DCMI % ("n1", 9) + DCMI % ("n2", 9), 0
        )
        for now in (15, 30, 45, 60):
            cluster.cycle(NODE_INFO % ("n1", "10.0.0.1") + DCMI % ("n1", 9), now)
        assert cluster.shown("kcloud_cluster_completeness_ratio") == {(): 1.0}

    def test_dcmi_zero_means_not_active(self) -> None:
        cluster = Cluster().cycle(DCMI % ("n1", 0), 0)
        assert cluster.shown("kcloud_node_wall_power_watts") == {}


class TestRejected:
    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ("NaN", "not_finite"),
            ("+Inf", "not_finite"),
            ("-3", "negative"),
            ("9.223372036854776e+18", "sentinel"),
            ("40000", "out_of_bounds"),
        ],
    )
    def test_impossible_power_never_reaches_a_sum(self, value: str, reason: str) -> None:
        cluster = Cluster().cycle(owned("p").replace(" 300", f" {value}") + DCMI % ("n1", 700), 0)
        assert cluster.rejected == {("prometheus", reason): 1}
        assert cluster.shown("kcloud_node_power_watts") == {("n1", "other"): 700}

    def test_a_device_cannot_draw_more_than_half_again_its_limit(self) -> None:
        limit = GPU.replace("POWER_USAGE", "POWER_MGMT_LIMIT") % ("", 400)
        cluster = Cluster().cycle(owned("p", 601) + limit, 0)
        assert cluster.shown(POWER) == {}
        assert cluster.engine.beyond_limit == 1
        assert list(cluster.cycle(owned("p", 599) + limit, 15).shown(POWER).values()) == [599]


class TestOwners:
    def test_the_exporters_own_pod_owns_nothing(self) -> None:
        idle = GPU % (',namespace="gpu-operator",pod="dcgm-exporter-x"', 90)
        target = 'up{namespace="gpu-operator",pod="dcgm-exporter-x",instance="10.0.0.1:9400",job="dcgm"} 1\n'
        for text in (idle, idle + target):
            cluster = Cluster().cycle(text, 0)
            assert pods(cluster) == {}
            assert cluster.shown("kcloud_node_unattributed_power_watts") == {("n1", "gpu"): 90}

    def test_a_pod_that_later_proves_to_be_the_exporter_owns_nothing_any_more(self) -> None:
        idle = GPU % (',namespace="mon",pod="gpu-metrics-x"', 90)
        cluster = Cluster().cycle(idle, 0)
        assert pods(cluster) == {"gpu-metrics-x": 90}
        cluster.cycle(idle + 'up{namespace="mon",pod="gpu-metrics-x",instance="10.0.0.1:9400",job="dcgm"} 1\n', 15)
        assert pods(cluster) == {}

    def test_a_pod_label_is_an_owner_when_the_target_has_another(self) -> None:
        target = 'up{namespace="mon",pod="gpu-metrics-x",instance="10.0.0.1:9400",job="dcgm"} 1\n'
        cluster = Cluster().cycle(GPU % (',namespace="a",pod="train"', 300) + target, 0)
        assert pods(cluster) == {"train": 300}

    def test_a_device_that_changes_hands_is_held_by_the_new_owner_alone(self) -> None:
        cluster = Cluster().cycle(owned("old"), 0).cycle(owned("new", 250), 15)
        assert pods(cluster) == {"new": 250}
        assert list(cluster.shown("kcloud_accelerator_allocation_ratio").values()) == [1.0]

    def test_a_held_device_that_does_nothing_is_idle_and_has_a_name(self) -> None:
        use = owned("p").replace("POWER_USAGE", "GPU_UTIL")
        cluster = Cluster().cycle(owned("p", 80) + use.replace(" 300", " 0"), 0)
        assert cluster.shown("kcloud_accelerator_idle_power_watts") == {("n1", "GPU-1", "a", "p"): 80}
        cluster.cycle(owned("p", 280) + use.replace(" 300", " 55"), 15)
        assert cluster.shown("kcloud_accelerator_idle_power_watts") == {}


class TestNames:
    def test_a_bmc_address_finds_its_node_by_alias_inventory_or_pattern(self) -> None:
        by_alias = Cluster(aliases={"10.1.0.7": "node-7"}).cycle(DCMI % ("10.1.0.7:623", 5), 0)
        by_inventory = Cluster().cycle(DCMI % ("10.1.0.7:623", 5) + NODE_INFO % ("node-7", "10.1.0.7"), 0)
        by_pattern = Cluster(pattern=r"^bmc-(?P<node>.+)$").cycle(DCMI % ("bmc-node-7", 5), 0)
        for cluster in (by_alias, by_inventory, by_pattern):
            assert cluster.shown("kcloud_node_wall_power_watts") == {("node-7",): 5}

    def test_an_inventory_that_comes_late_renames_what_was_there(self) -> None:
        cluster = Cluster().cycle(DCMI % ("10.0.0.1:623", 5) + owned("p"), 0)
        assert ("10.0.0.1",) in cluster.shown("kcloud_node_wall_power_watts")
        cluster.cycle(NODE_INFO % ("n1", "10.0.0.1"), 15)
        assert cluster.shown("kcloud_node_wall_power_watts") == {("n1",): 5}
        assert pods(cluster) == {"p": 300}

    def test_what_stays_unresolved_stands_under_its_raw_name_and_is_counted_once(self) -> None:
        cluster = Cluster(aliases={"x": "y"}).cycle(DCMI % ("10.9.9.9", 5), 0)
        assert cluster.shown("kcloud_node_wall_power_watts") == {("10.9.9.9",): 5}
        assert cluster.rejected == {("prometheus", "unidentified"): 1}
        assert cluster.cycle(DCMI % ("10.9.9.9", 5), 15).rejected == {}

    def test_two_sensors_of_one_name_both_live(self) -> None:
        fan = 'ipmi_fan_speed_rpm{id="%s",name="FAN",instance="n1"} %s\n'
        cluster = Cluster().cycle(fan % (1, 4000) + fan % (2, 5000), 0)
        assert cluster.shown("kcloud_hardware_fan_speed_rpm") == {("n1", "FAN"): 4000, ("n1", "FAN #2"): 5000}


class TestCounters:
    RAPL = 'node_rapl_package_joules_total{index="0",path="/p",instance="n1"} %s\n'

    def test_watts_are_joules_over_seconds_from_the_second_sample_on(self) -> None:
        cluster = Cluster().cycle(self.RAPL % 1000, 0)
        assert cluster.shown("kcloud_node_power_watts") == {}
        assert cluster.cycle(self.RAPL % 4000, 15).shown("kcloud_node_power_watts") == {("n1", "cpu"): 200}

    def test_a_wrap_is_no_power_and_no_negative_power(self) -> None:
        cluster = Cluster().cycle(self.RAPL % 1000, 0).cycle(self.RAPL % 4000, 15).cycle(self.RAPL % 10, 30)
        assert cluster.rejected == {("prometheus", "counter_reset"): 1}
        assert cluster.shown("kcloud_node_power_watts") == {("n1", "cpu"): 200}
        assert cluster.cycle(self.RAPL % 1510, 45).shown("kcloud_node_power_watts") == {("n1", "cpu"): 100}

    def test_the_same_sample_once_more_says_nothing_new(self) -> None:
        cluster = Cluster().cycle(self.RAPL % "1000 100", 0, timestamps=True)
        cluster.cycle(self.RAPL % "4000 115", 15, timestamps=True).cycle(self.RAPL % "4000 115", 20, timestamps=True)
        assert cluster.shown("kcloud_node_power_watts") == {("n1", "cpu"): 200}
        cluster.cycle(self.RAPL % "7000 130", 30, timestamps=True)
        assert cluster.shown("kcloud_node_power_watts") == {("n1", "cpu"): 200}


class TestClocks:
    def test_samples_that_lag_the_newest_are_stale_whatever_the_upstreams_clock_says(self) -> None:
        text = DCMI % ("n1", "5 7200") + DCMI % ("n2", "6 7100")
        cluster = Cluster().cycle(text, 0, timestamps=True)
        assert cluster.shown("kcloud_node_wall_power_watts") == {("n1",): 5}
        assert cluster.rejected == {("prometheus", "stale"): 1}

    def test_an_upstream_whose_clock_stands_still_goes_stale(self) -> None:
        cluster = Cluster()
        for now in range(0, 120, 15):
            cluster.cycle(DCMI % ("n1", "5 7200"), now, timestamps=True)
        assert cluster.rejected == {("prometheus", "stale"): 1}
        assert cluster.shown("kcloud_node_wall_power_watts") == {}


class TestMeters:
    def test_dcmi_wins_over_psu_inputs_and_the_page_says_so(self) -> None:
        psu = 'ipmi_power_watts{id="%s",name="PS%s Input Power",instance="n1"} %s\n'
        both = psu % (1, 1, 310) + psu % (2, 2, 270)
        cluster = Cluster().cycle(DCMI % ("n1", 583) + both, 0)
        assert cluster.shown("kcloud_node_wall_power_watts") == {("n1",): 583}
        assert ("n1", "wall_power_watts", "ipmi", "ipmi_dcmi_power_consumption_watts") in cluster.shown(
            "kcloud_node_meter_info"
        )
        assert Cluster().cycle(both, 0).shown("kcloud_node_wall_power_watts") == {("n1",): 580}

    def test_a_sum_that_lost_a_part_is_no_sum(self) -> None:
        psu = 'ipmi_power_watts{id="%s",name="PS%s Input Power",instance="n1"} %s\n'
        cluster = Cluster().cycle(psu % (1, 1, 310) + psu % (2, 2, 270), 0)
        for now in (15, 30, 45, 60):
            cluster.cycle(psu % (1, 1, 310), now)
        assert cluster.shown("kcloud_node_wall_power_watts") == {}


class TestRebuild:
    def test_a_source_that_dropped_its_dead_series_loses_nothing_alive(self) -> None:
        rapl = TestCounters.RAPL
        cluster = Cluster().cycle(owned("old") + rapl % 1000, 0).cycle(owned("new") + rapl % 4000, 15)
        cluster.engine.follow(cluster.prometheus.drop("old"))
        cluster.cycle(owned("new") + rapl % 7000, 30)
        assert pods(cluster) == {"new": 300}
        assert cluster.shown("kcloud_node_power_watts")["n1", "cpu"] == 200

    def test_a_source_that_fails_during_a_rebuild_keeps_its_values_until_they_are_stale(self) -> None:
        cluster, other = Cluster(), Prometheus("other")
        cluster.cycle_of([other.scrape(owned("p"), 0), cluster.prometheus.scrape(DCMI % ("10.0.0.1", 900), 0)], 0)
        late = cluster.prometheus.scrape(DCMI % ("10.0.0.1", 900) + NODE_INFO % ("n1", "10.0.0.1"), 15)
        cluster.cycle_of([late], 15)
        assert cluster.shown("kcloud_node_power_watts") == {("n1", "gpu"): 300, ("n1", "other"): 600}
        assert pods(cluster) == {"p": 300}


def test_series_that_no_answer_has_shown_yet_take_no_place() -> None:
    """A source reads late answers into its table while the books are done; they count when they are handed over."""
    early, late = Cluster(), Cluster()
    for cluster, first in ((early, True), (late, False)):
        source, other = Prometheus("one"), Prometheus("two")
        now = source.scrape(DCMI % ("n1", 500), 0)
        if first:
            waiting = source.scrape(DCMI % ("n3", 300), 0)
        cluster.engine.ingest([now, other.scrape(DCMI % ("n2", 400), 0)], 0)
        if not first:
            waiting = source.scrape(DCMI % ("n3", 300), 0)
        cluster.engine.ingest([waiting], 15)
    assert early.engine.entities.nodes.keys == late.engine.entities.nodes.keys == ["n1", "n2", "n3"]
