"""The worlds and pages that the tests look at."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kcloud_exporter.fleet import FleetSpec, build_world, places, render
from kcloud_exporter.fleet.world import World

START = 1_800_000_000.0
AT = START + 1234.5  # in the middle of a step
DEMO = build_world(FleetSpec(), START, octet=99)

Samples = list[tuple[str, dict[str, str], float]]
ReadPage = Callable[[str, str, str], Samples]


def samples(page: str) -> Samples:
    """Every sample of a page, by an independent parser.

    It calls every counter `_total`; names are given back here as they were printed.
    """
    printed = set(re.findall(r"^[a-zA-Z_:][a-zA-Z0-9_:]*", page, re.MULTILINE))
    return [
        (s.name if s.name in printed else s.name.removesuffix("_total"), s.labels, float(s.value))
        for family in text_string_to_metric_families(page)
        for s in family.samples
    ]


@pytest.fixture(scope="session")
def world() -> World:
    return DEMO


@pytest.fixture(scope="session")
def read(world: World) -> ReadPage:
    """The samples of one exporter of the demo at AT: `read(cluster, node, vendor)`."""

    def page(cluster: str, node: str, vendor: str) -> Samples:
        for place in places(world):
            if (place.cluster, place.node, place.vendor) == (cluster, node, vendor):
                return samples(render(world, place, AT))
        raise AssertionError(f"no {vendor} on {cluster}/{node}")

    return page
