"""Joules per unit of work: energy of the namespace over what its pods did, or nothing at all."""

from __future__ import annotations

import pytest

from kcloud_exporter.derive.cycle import close_books
from kcloud_exporter.derive.energy import EnergyBook, interval
from kcloud_exporter.derive.per_work import WINDOW_SECONDS, EnergyPerWork
from kcloud_exporter.derive.tables import ClusterTables
from kcloud_exporter.normalise.engine import ClusterEngine
from kcloud_exporter.normalise.work import WorkMeter
from kcloud_exporter.vendors.loading import load_vendors
from kcloud_exporter.vendors.quantities import METERS
from tests.normalise.cluster import Prometheus

STALE, STEP = 45.0, 15.0
VENDORS = load_vendors()
TOKENS = WorkMeter("token", "vllm:generation_tokens_total", {}, 1.0, ("namespace",), ("pod",))
KEPLER = (
    'kepler_pod_cpu_watts{{node_name="n1",pod_namespace="serving",pod_name="{}",state="running",zone="package"}} {}\n'
)
NODE = 'kepler_node_cpu_watts{node_name="n1",zone="package",path="p"} 500\n'
GPU = 'DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-0",modelName="H100",Hostname="n1",'
GPU += 'exported_pod="chat-0",exported_namespace="serving",exported_container="c"} 400\n'
WORK = 'vllm:generation_tokens_total{{namespace="serving",pod="{}"}} {}\n'


class Serving:
    """A namespace whose pods draw known watts and make known tokens."""

    def __init__(self) -> None:
        self.engine = ClusterEngine(
            VENDORS,
            aliases={},
            pattern=None,
            meters=METERS,
            max_staleness=STALE,
            forget_after=3600.0,
            work=(TOKENS,),
        )
        self.source, self.tables, self.energy = Prometheus(), ClusterTables("c"), EnergyBook()
        self.per_work, self.now = EnergyPerWork(), 0.0
        self.previous: float | None = None
        self.tokens = 0.0

    def cycle(self, tokens: float, *pages: str, pod: str = "chat-0", seconds: float = STEP) -> float | None:
        """Joules per token as shown after `tokens` more; None when the family is absent."""
        self.now, self.tokens = self.now + seconds, self.tokens + tokens
        text = "".join(pages or (NODE, GPU, KEPLER.format("chat-0", 100))) + WORK.format(pod, self.tokens)
        self.engine.ingest([self.source.scrape(text, self.now)], self.now)
        readings = self.engine.readings(self.now)
        span, self.previous = interval(self.previous, self.now, STALE), self.now
        ledger, _, watts = close_books(readings, self.tables, self.energy, span, self.now)
        assert readings.work is not None
        work = self.energy.work.count(readings.work, "c", self.now, STALE)
        found = dict(self.per_work.ratios(work, watts, readings, ledger, span, self.now))
        assert found.keys() <= {("c", "serving", "token")}
        return found.get(("c", "serving", "token"))


@pytest.fixture
def serving() -> Serving:
    return Serving()


def test_all_components_of_the_namespace_over_all_its_tokens(serving: Serving) -> None:
    assert serving.cycle(0) is None, "nothing was done yet"
    assert serving.cycle(3000) == pytest.approx(500 * STEP / 3000)


def test_a_pod_that_only_helps_counts_with_its_energy(serving: Serving) -> None:
    pages = NODE, GPU, KEPLER.format("chat-0", 100), KEPLER.format("router-0", 50)
    serving.cycle(0, *pages)
    assert serving.cycle(3000, *pages) == pytest.approx(550 * STEP / 3000)


def test_a_counter_that_is_scraped_rarely_does_not_make_it_jump(serving: Serving) -> None:
    shown = [serving.cycle(4000 if at % 4 == 0 else 0) for at in range(1, 41)]
    steady = [ratio for ratio in shown[21:] if ratio is not None]
    assert len(steady) == 19
    assert all(ratio == pytest.approx(500 * STEP / 1000, rel=0.01) for ratio in steady)


def test_after_the_window_without_work_it_is_absent_and_not_infinite(serving: Serving) -> None:
    serving.cycle(0)
    serving.cycle(3000)
    shown = [serving.cycle(0) for _ in range(round(WINDOW_SECONDS / STEP) + 1)]
    assert shown[0] == pytest.approx(2 * 500 * STEP / 3000)
    assert shown[-1] is None


def test_work_of_a_pod_whose_energy_is_unknown_tells_nothing(serving: Serving) -> None:
    for _ in range(4):
        assert serving.cycle(3000, NODE, GPU, KEPLER.format("chat-0", 100), pod="elsewhere-0") is None


def test_a_meter_that_fails_withholds_it_and_makes_nothing_look_efficient(serving: Serving) -> None:
    serving.cycle(0)
    before = serving.cycle(3000)
    shown = [serving.cycle(3000, NODE, KEPLER.format("chat-0", 100)) for _ in range(8)]
    assert shown[4:] == [None] * 4, "the GPU is gone for longer than max_staleness"
    assert serving.cycle(3000) == pytest.approx(before)


def test_a_gap_tells_nothing(serving: Serving) -> None:
    serving.cycle(0)
    serving.cycle(3000)
    assert serving.cycle(60_000, seconds=STALE + 1) is None
    assert serving.cycle(3000) == pytest.approx(500 * STEP / 3000)
