"""The configurations that go with a fleet name every exporter once, and in the right way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from kcloud_exporter.fleet import Fleet, FleetSpec
from kcloud_exporter.units import parse_duration


@pytest_asyncio.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with Fleet(FleetSpec(frozen=True)) as running:
        yield running


async def test_direct_scrape_names_every_exporter_once(fleet: Fleet) -> None:
    config = fleet.kcloud_config()
    found = {
        (cluster["name"], source["exporter"]["vendor"], url)
        for cluster in config["clusters"]
        for source in cluster["sources"]
        for url in source["exporter"]["targets"]
    }
    without_table = ("pdu", "vllm")
    assert found == {(e.cluster, "generic" if e.vendor in without_table else e.vendor, e.url) for e in fleet.exporters}


async def test_an_exporter_inside_a_vm_that_names_no_host_has_a_label_that_does() -> None:
    async with Fleet(FleetSpec(size="mixed", frozen=True)) as running:
        (gaudi,) = [each for each in running.exporters if (each.node, each.vendor) == ("tune-1", "gaudi")]
        (cluster,) = running.kcloud_config()["clusters"]
        found = [each["exporter"] for each in cluster["sources"] if gaudi.url in each["exporter"]["targets"]]
        assert found == [{"vendor": "gaudi", "targets": [gaudi.url], "labels": {"node": "tune-1"}}]
        (job,) = [j for j in running.prometheus_config("mixed-a")["scrape_configs"] if j["job_name"] == "gaudi"]
        named = {group["targets"][0]: group["labels"].get("node") for group in job["static_configs"]}
        assert {host: node for host, node in named.items() if node} == {urlsplit(gaudi.url).netloc: "tune-1"}
        inside = {each.url for each in running.exporters if each.node == "render-1"}
        (dcgm,) = [j for j in running.prometheus_config("mixed-a")["scrape_configs"] if j["job_name"] == "dcgm"]
        bare = [group for group in dcgm["static_configs"] if f"http://{group['targets'][0]}/metrics" in inside]
        assert [group.get("labels") for group in bare] == [None], "no pod of Kubernetes runs in it"


async def test_a_bmc_address_is_an_alias_of_its_node(fleet: Fleet) -> None:
    for cluster in fleet.kcloud_config()["clusters"]:
        aliases = cluster["nodes"]["aliases"]
        for exporter in fleet.exporters:
            if exporter.cluster == cluster["name"] and exporter.vendor == "ipmi":
                assert aliases[urlsplit(exporter.url).hostname] == exporter.node


async def test_facility_power_is_measured_by_the_site_pdu(fleet: Fleet) -> None:
    config = fleet.kcloud_config()
    meters = {site["name"]: site["facility_power"] for site in config["sites"]}
    metric = {"metric": "rPDU2DeviceStatusPower", "scale": 10, "category": "pue2"}
    assert meters == {"icn1": [{"cluster": "seoul-a", **metric}], "pus1": [{"cluster": "busan-a", **metric}]}
    assert {cluster["site"] for cluster in config["clusters"]} == set(meters)


@pytest.mark.parametrize("method", ["query", "federate", "auto"])
async def test_through_prometheus_each_cluster_has_one_source(fleet: Fleet, method: str) -> None:
    urls = {name: f"http://127.0.0.1:1/{name}" for name in ("seoul-a", "seoul-b", "busan-a")}
    config = fleet.kcloud_config(method, urls)  # type: ignore[arg-type]
    assert {c["name"]: c["sources"] for c in config["clusters"]} == {
        name: [{"prometheus": {"url": url, "method": method}}] for name, url in urls.items()
    }


async def test_a_cluster_without_prometheus_is_named(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="busan-a"):
        fleet.kcloud_config("query", {"seoul-a": "http://127.0.0.1:1", "seoul-b": "http://127.0.0.1:1"})


@pytest.mark.parametrize("interval", ["1s", "5s", "1m"])
async def test_the_timeout_is_shorter_than_the_interval(fleet: Fleet, interval: str) -> None:
    settings = fleet.kcloud_config(interval=interval)["global"]
    assert parse_duration(settings["timeout"]) < parse_duration(settings["interval"])
    assert parse_duration(settings["max_staleness"]) == 3 * parse_duration(interval)


async def test_prometheus_scrapes_the_exporters_of_its_cluster(fleet: Fleet) -> None:
    for cluster in ("seoul-a", "seoul-b", "busan-a"):
        config = fleet.prometheus_config(cluster, scrape_interval="2s")
        assert config["global"]["scrape_interval"] == "2s"
        found = {
            (job["job_name"], target)
            for job in config["scrape_configs"]
            for group in job["static_configs"]
            for target in group["targets"]
        }
        assert found == {(e.vendor, urlsplit(e.url).netloc) for e in fleet.exporters if e.cluster == cluster}


async def test_accelerator_exporters_carry_the_labels_of_their_own_pod(fleet: Fleet) -> None:
    jobs = {job["job_name"]: job for job in fleet.prometheus_config("seoul-a")["scrape_configs"]}
    own = [group["labels"] for group in jobs["dcgm"]["static_configs"]]
    assert [set(labels) for labels in own] == [{"namespace", "pod", "container"}] * 3
    assert len({labels["pod"] for labels in own}) == 3
    assert jobs["dcgm"]["honor_labels"] is False
    assert all("labels" not in group for group in jobs["ipmi"]["static_configs"])


async def test_a_model_server_is_named_by_its_targets_labels(fleet: Fleet) -> None:
    direct = fleet.kcloud_config()
    named = {
        (cluster["name"], source["exporter"]["labels"]["pod"], url)
        for cluster in direct["clusters"]
        for source in cluster["sources"]
        if "labels" in source["exporter"]
        for url in source["exporter"]["targets"]
    }
    assert named == {(e.cluster, e.node, e.url) for e in fleet.exporters if e.vendor == "vllm"}
    assert {unit["metric"] for unit in direct["work_units"]} == {
        "vllm:generation_tokens_total",
        "vllm:prompt_tokens_total",
    }
    (job,) = [j for j in fleet.prometheus_config("seoul-b")["scrape_configs"] if j["job_name"] == "vllm"]
    pods = [group["labels"]["pod"] for group in job["static_configs"]]
    assert len(set(pods)) == len(pods) == 7
    assert {group["labels"]["namespace"] for group in job["static_configs"]} == {"serving"}
