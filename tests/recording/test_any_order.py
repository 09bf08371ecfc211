"""Whatever order answers are read in, and whenever their outcomes are taken in, the replay does the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kcloud_exporter.config.load import parse_config
from kcloud_exporter.errors import SourceError
from kcloud_exporter.exposition.ledger import ledger_page
from kcloud_exporter.exposition.renderer import Renderer
from kcloud_exporter.model import Failure, Outcome
from kcloud_exporter.recording.live import Live
from kcloud_exporter.sources.http import Fetched
from tests.recording.tapes import replayed_pages

CONFIG = parse_config(
    {
        "clusters": [
            {
                "name": "a",
                "sources": [
                    {"exporter": {"vendor": "kepler", "targets": [f"http://k{n}" for n in range(3)]}},
                    {"prometheus": {"url": "http://p"}},
                ],
            }
        ]
    },
    {},
)
KEPLER = 'kepler_pod_cpu_watts{{node_name="n{0}",pod_id="{1}",pod_name="p{1}",pod_namespace="a",state="running",'
KEPLER += 'zone="package"}} {2!r}\n'
IPMI = 'ipmi_dcmi_power_consumption_watts{{instance="n{0}",job="ipmi"}} {1!r}\n'

watts = st.floats(0.1, 900.0, allow_nan=False)
pages = st.one_of(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), watts), max_size=12, unique_by=lambda pod: pod[:2]).map(
        lambda pods: "".join(KEPLER.format(*pod) for pod in pods)
    ),
    st.lists(st.tuples(st.integers(0, 2), watts), max_size=3, unique_by=lambda node: node[0]).map(
        lambda nodes: "".join(IPMI.format(*node) for node in nodes)
    ),
    st.just("what{ is this\n"),
)
targets = st.lists(st.tuples(st.integers(0, 2), pages, st.booleans()), max_size=4)
cycles = st.lists(st.tuples(targets, st.lists(pages, min_size=1, max_size=3), st.booleans(), st.booleans()), max_size=6)
"""Per cycle: (target, page, whether its outcome waits for the next cycle) in the order in which they are read, the
pages of the Prometheus, whether those are read before, and whether tables are compacted afterwards."""
Cycle = tuple[list[tuple[int, str, bool]], list[str], bool, bool]


def outcome_of(live: Live, number: int, name: str, part: int, page: str) -> Outcome:
    source = live.sources[number]
    fetched = Fetched(200, page.encode(), "", "text/plain", is_framed=True)
    try:
        return source.intake.answer(part, fetched).scrape(source.cluster, name, 1.0, 0.25)
    except SourceError as exc:
        return Failure(source.cluster, name, exc.reason, str(exc), 0.5)


def of_prometheus(live: Live, texts: list[str]) -> Iterator[Outcome]:
    source = live.sources[1]
    source.intake.begin()
    try:
        steps = [
            source.intake.answer(part, Fetched(200, text.encode(), "", "", is_framed=True)).step
            for part, text in enumerate(texts)
        ]
        yield source.intake.join(steps).scrape("a", source.names[0], 2.0, 0.1)
    except SourceError as exc:
        yield Failure("a", source.names[0], exc.reason, str(exc), 0.2)


@given(cycles)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_order_is_done_again_as_it_was(
    plan: list[tuple[list[tuple[int, str, bool]], list[str], bool, bool]],
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        patch("kcloud_exporter.sources.base._WORTH_IT", 1),
        patch("kcloud_exporter.sources.base._LEAST_PART", 1000),
        patch("kcloud_exporter.sources.base.FORGET_AFTER", 1),
    ):
        live, renderer, shown = Live(CONFIG, Path(folder) / "r.tar"), Renderer(), []
        exporters, waiting = live.sources[0], dict[int, Outcome]()
        for number, (answers, texts, first, compacts) in enumerate(plan):
            found = list(of_prometheus(live, texts)) if first else []
            exporters.intake.begin()
            ready, waiting, table = waiting, {}, exporters.intake.table
            for part, page, late in answers:
                if part not in ready and part not in waiting:
                    outcome = outcome_of(live, 0, exporters.names[part], part, page)
                    (waiting if late else ready)[part] = outcome
            found += [of for of in ready.values() if getattr(of, "table", table) is table]
            found += [] if first else list(of_prometheus(live, texts))
            snapshot = live.pipeline.cycle({"a": found}, 1e9 + number, 15.0 * number)
            shown.append(ledger_page(renderer, snapshot))
            live.recorder.page(snapshot.timestamp, shown[-1])
            if compacts:
                for source in live.sources:
                    live.pipeline.compact(source, source.intake.compact)
        live.recorder.close()
        assert replayed_pages(Path(folder) / "r.tar") == shown
