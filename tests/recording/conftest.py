"""A small recording, made without a network: three cycles of one cluster, two exporters and a Prometheus."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from kcloud_exporter.clocks import Clocks
from kcloud_exporter.config.load import parse_config
from kcloud_exporter.exposition.ledger import ledger_page
from kcloud_exporter.exposition.renderer import Renderer
from kcloud_exporter.recording.live import Live
from kcloud_exporter.sources.http import Fetched

DATA: dict[str, Any] = {
    "clusters": [
        {
            "name": "a",
            "site": "icn1",
            "sources": [
                {"exporter": {"vendor": "kepler", "targets": ["http://k1:1", "http://k2:1"]}},
                {"prometheus": {"url": "http://p:9090"}},
            ],
        }
    ],
    "sites": [{"name": "icn1", "tariff": {"currency": "KRW", "price_per_kwh": 100.0}}],
}
PODS = (
    'kepler_node_cpu_watts{{node_name="n{0}",path="p",zone="package"}} 100\n'
    'kepler_pod_cpu_watts{{node_name="n{0}",pod_id="{0}",pod_name="p{0}",pod_namespace="ns",state="running",'
    'zone="package"}} {1}\n'
)
DCMI = 'ipmi_dcmi_power_consumption_watts{{instance="n1",job="ipmi"}} {0}\n'
BEGUN = 1_800_000_000.0


@pytest.fixture
def tape(made: Path, tmp_path: Path) -> Path:
    """A whole recording of three cycles, 15 s apart, to do with as one likes."""
    return Path(shutil.copy(made, tmp_path))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording itself."""
    file = tmp_path_factory.mktemp("made") / "three.tar"
    live, renderer = Live(parse_config(DATA, {}), file, texts={}, clocks=Clocks(wall=lambda: BEGUN)), Renderer()
    exporters, prometheus = live.sources
    for cycle in range(3):
        for source in live.sources:
            source.intake.begin()
        found = [
            exporters.intake.answer(n, _page(PODS.format(n + 1, 10 + cycle))).scrape("a", name, 15.0 * cycle, 0.25)
            for n, name in enumerate(exporters.names)
        ]
        step = prometheus.intake.answer(0, _page(DCMI.format(500 + cycle))).step
        found.append(prometheus.intake.join([step]).scrape("a", prometheus.names[0], 15.0 * cycle, 0.5))
        snapshot = live.pipeline.cycle({"a": found}, BEGUN + 15.0 * cycle, 15.0 * cycle)
        live.recorder.page(snapshot.timestamp, ledger_page(renderer, snapshot))
    live.recorder.close()
    return file


def _page(text: str) -> Fetched:
    return Fetched(200, text.encode(), "", "text/plain; version=0.0.4", is_framed=True)
