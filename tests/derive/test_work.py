"""Work is counted once, whoever tells of it and whatever restarts; and never more of it than was done."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter.derive.work import WorkBook
from kcloud_exporter.normalise.engine import ClusterEngine, Rejections
from kcloud_exporter.normalise.work import WorkMeter
from kcloud_exporter.vendors.loading import load_vendors
from kcloud_exporter.vendors.quantities import METERS
from tests.normalise.cluster import Prometheus

STALE = 45.0
VENDORS = load_vendors()
NAMESPACE, POD = ("exported_namespace", "namespace"), ("exported_pod", "pod")
TOKENS = WorkMeter("token", "vllm:generation_tokens_total", {}, 1.0, NAMESPACE, POD)
SERIES = 'vllm:generation_tokens_total{{engine="0",model_name="m",namespace="serving",pod="chat-0",job="{}"}} {}\n'


def line(value: float, job: str = "vllm") -> str:
    return SERIES.format(job, value)


class Counting:
    """One cluster's work, cycle by cycle, 15 seconds each; several sources may answer."""

    def __init__(self, *meters: WorkMeter, marks: WorkBook | None = None) -> None:
        self.meters = meters or (TOKENS,)
        self.book = marks or WorkBook()
        self.engine = self._engine()
        self.now, self.rejected = 1000.0, Rejections()
        self.total: dict[tuple[str, ...], float] = {}
        self.shown: dict[tuple[str, ...], float] = {}

    def _engine(self) -> ClusterEngine:
        return ClusterEngine(
            VENDORS,
            aliases={},
            pattern=None,
            meters=METERS,
            max_staleness=STALE,
            forget_after=3600.0,
            work=self.meters,
        )

    def cycle(self, *answers: tuple[Prometheus, str], timestamps: bool = False, seconds: float = 15.0) -> Counting:
        self.now += seconds
        scrapes = [source.scrape(text, self.now, timestamps=timestamps) for source, text in answers]
        self.rejected = self.engine.ingest(scrapes, self.now)
        work = self.engine.readings(self.now).work
        assert work is not None
        table = self.book.count(work, "c", self.now, STALE)
        self.shown = {k[1:]: v for k, v in zip(table.keys.rows, table.values.tolist(), strict=True) if v == v}
        for key, units in self.shown.items():
            assert units >= 0, "a counter fell"
            self.total[key] = self.total.get(key, 0.0) + units
        return self

    def restarted(self, away: float = 5.0) -> Counting:
        """The same cluster in a new process."""
        keys, marks = self.book.marks()
        kept = {key: mark for key, mark in zip(keys, marks.tolist(), strict=True) if mark == mark}
        after = Counting(*self.meters, marks=WorkBook(kept, away))
        after.now, after.total = self.now + away, dict(self.total)
        return after

    @property
    def tokens(self) -> float:
        return self.total["serving", "chat-0", "token"]


@pytest.fixture
def source() -> Prometheus:
    return Prometheus()


@pytest.fixture
def counting() -> Counting:
    return Counting()


class TestOneCounter:
    def test_the_first_sample_is_where_counting_begins(self, counting: Counting, source: Prometheus) -> None:
        counting.cycle((source, line(1e6)))
        assert counting.shown == {("serving", "chat-0", "token"): 0.0}
        assert counting.cycle((source, line(1e6 + 30))).tokens == 30

    def test_one_that_began_anew_has_done_since_what_it_shows(self, counting: Counting, source: Prometheus) -> None:
        for value in (100, 160, 25, 40):
            counting.cycle((source, line(value)))
        assert counting.tokens == 60 + 25 + 15

    def test_a_small_fall_is_two_replicas_that_answer_in_turn(self, counting: Counting, source: Prometheus) -> None:
        for value in (1000, 1040, 1020, 1050, 1030, 1060):
            counting.cycle((source, line(value)))
        assert counting.tokens == 60

    def test_an_older_sample_that_comes_late_says_nothing(self, counting: Counting, source: Prometheus) -> None:
        for value, stamp in ((1000, 1.0), (1100, 16.0), (300, 8.0), (1150, 31.0)):
            counting.cycle((source, f"{line(value)[:-1]} {stamp}\n"), timestamps=True)
        assert counting.tokens == 150

    def test_an_upstream_clock_that_is_set_back_costs_nothing(self, counting: Counting, source: Prometheus) -> None:
        for at in range(12):
            stamp = 15.0 * at - (3600.0 if at > 3 else 0.0)
            counting.cycle((source, f"{line(100 * at)[:-1]} {stamp}\n"), timestamps=True)
        assert counting.tokens == 1100

    def test_a_short_hole_is_counted_and_a_long_one_is_not(self, counting: Counting, source: Prometheus) -> None:
        counting.cycle((source, line(100)))
        counting.cycle().cycle()
        assert counting.shown == {("serving", "chat-0", "token"): 0.0}, "not yet stale"
        counting.cycle((source, line(130)))
        assert counting.tokens == 30
        counting.cycle(seconds=STALE + 1)
        assert counting.shown == {}, "a vanished thing vanishes"
        assert counting.cycle((source, line(500))).tokens == 30
        assert counting.cycle((source, line(510))).tokens == 40

    @pytest.mark.parametrize(("value", "reason"), [("NaN", "not_finite"), ("+Inf", "not_finite"), ("-3", "negative")])
    def test_what_is_no_count_is_rejected_with_a_reason(
        self, counting: Counting, source: Prometheus, value: str, reason: str
    ) -> None:
        counting.cycle((source, line(100)))
        counting.cycle((source, line(0).replace(" 0\n", f" {value}\n")))
        assert counting.rejected == {("prometheus", reason): 1}
        assert counting.cycle((source, line(120))).tokens == 20


class TestWhoseWorkItIs:
    def test_a_label_that_prometheus_renamed_comes_first(self, source: Prometheus) -> None:
        counting = Counting()
        text = 'vllm:generation_tokens_total{{exported_namespace="a",exported_pod="p",namespace="b",pod="router"}} {}'
        counting.cycle((source, text.format(1))).cycle((source, text.format(5)))
        assert counting.total == {("a", "p", "token"): 4}

    def test_engines_of_a_pod_are_added_up(self, counting: Counting, source: Prometheus) -> None:
        for value in (10, 20):
            counting.cycle((source, line(value) + line(3 * value).replace('engine="0"', 'engine="1"')))
        assert counting.tokens == 40

    def test_several_counters_may_feed_one_unit_each_with_its_scale(self, source: Prometheus) -> None:
        frames = WorkMeter("frame", "frames_total", {"kind": "good"}, 1000.0, NAMESPACE, POD)
        more = WorkMeter("frame", "images_total", {}, 1.0, NAMESPACE, POD)
        counting, target = Counting(frames, more), 'namespace="a",pod="p"'
        for n in (1, 3):
            text = f'frames_total{{kind="good",{target}}} {n}\nframes_total{{kind="bad",{target}}} {9 * n}\n'
            counting.cycle((source, text + f"images_total{{{target}}} {n}\n"))
        assert counting.total == {("a", "p", "frame"): 2002}

    def test_one_counter_may_count_two_units(self, source: Prometheus) -> None:
        counting = Counting(TOKENS, WorkMeter("kilotoken", TOKENS.metric, {}, 0.001, NAMESPACE, POD))
        counting.cycle((source, line(0))).cycle((source, line(500)))
        assert counting.total == {("serving", "chat-0", "token"): 500, ("serving", "chat-0", "kilotoken"): 0.5}

    def test_workers_without_a_pods_name_are_told_apart_by_their_address(self, source: Prometheus) -> None:
        counting, text = Counting(), 'vllm:generation_tokens_total{{instance="{}",job="{}",namespace="a"}} {}\n'
        for n in (1, 2):
            page = "".join(text.format(f"h{at}:8000", f"job-{at}", n * at) for at in (1, 2, 3))
            counting.cycle((source, page))
        assert counting.total == {("a", "", "token"): 6}


class TestSeveralTellers:
    def test_two_sources_of_one_counter_count_it_once(self, counting: Counting) -> None:
        one, two = Prometheus("one"), Prometheus("two")
        for value in range(0, 500, 50):
            counting.cycle((one, line(value)), (two, line(max(0, value - 20))))
        assert counting.tokens == 450

    def test_two_jobs_of_one_source_count_it_once(self, counting: Counting, source: Prometheus) -> None:
        for value in range(0, 500, 50):
            counting.cycle((source, line(value, "service-monitor") + line(value, "pod-monitor")))
        assert counting.tokens == 450

    def test_a_source_that_takes_over_brings_what_nobody_told_and_no_more(self, counting: Counting) -> None:
        one, two = Prometheus("one"), Prometheus("two")
        for value in (0, 100, 200):
            counting.cycle((one, line(value)), (two, line(value)))
        for value in (300, 400, 500, 600):
            counting.cycle((two, line(value)))
        assert counting.tokens == 600
        for value in (700, 800):
            counting.cycle((one, line(value)), (two, line(value)))
        assert counting.tokens == 800

    def test_a_source_that_hiccups_is_waited_for(self, counting: Counting) -> None:
        one, two = Prometheus("one"), Prometheus("two")
        for value in (0, 100):
            counting.cycle((one, line(value)), (two, line(value)))
        counting.cycle((two, line(200)))
        assert counting.tokens == 100
        assert counting.cycle((one, line(300)), (two, line(300))).tokens == 300

    def test_one_that_comes_back_does_not_silence_the_one_that_watched(self, counting: Counting) -> None:
        one, two = Prometheus("one"), Prometheus("two")
        counting.cycle((one, line(0)), (two, line(0)))
        for value in (100, 200, 300):
            counting.cycle((two, line(value)))
        assert counting.cycle((one, line(400)), (two, line(400))).tokens == 400


class TestRestarts:
    def test_what_was_done_while_we_were_away_counts_once(self, counting: Counting, source: Prometheus) -> None:
        counting.cycle((source, line(100))).cycle((source, line(150)))
        after = counting.restarted().cycle((Prometheus(), line(180)))
        assert after.tokens == 80

    def test_a_server_that_began_anew_meanwhile_has_done_what_it_shows(
        self, counting: Counting, source: Prometheus
    ) -> None:
        counting.cycle((source, line(100))).cycle((source, line(150)))
        assert counting.restarted().cycle((Prometheus(), line(12))).tokens == 62

    def test_after_a_long_absence_counting_begins_anew(self, counting: Counting, source: Prometheus) -> None:
        counting.cycle((source, line(100))).cycle((source, line(150)))
        after = counting.restarted(STALE + 1).cycle((Prometheus(), line(9000)))
        assert after.tokens == 50
        after = counting.restarted().cycle(seconds=1).cycle(seconds=STALE)
        assert after.cycle((Prometheus(), line(9000)), seconds=1).tokens == 50

    def test_a_counter_that_was_not_seen_any_more_leaves_no_mark(self, counting: Counting, source: Prometheus) -> None:
        counting.cycle((source, line(100)))
        assert counting.book.marks()[1].tolist() == [100]
        counting.cycle((source, ""), seconds=STALE + 1)
        assert np.isnan(counting.book.marks()[1]).all()
        counting.book.forget()
        assert counting.book.marks()[0] == []
        counting.cycle((source, line(200)))
        assert counting.cycle((source, line(230))).tokens == 30

    def test_a_compacted_source_goes_on_where_it_was(self, counting: Counting, source: Prometheus) -> None:
        gone = line(5).replace("chat-0", "gone-0")
        counting.cycle((source, gone + line(100))).cycle((source, line(140)))
        counting.engine.follow(source.drop("gone-0"))
        assert counting.cycle((source, line(155))).tokens == 55
        assert ("serving", "gone-0", "token") not in counting.shown


steps = st.lists(
    st.tuples(
        st.integers(0, 1000),  # done in this cycle
        st.sampled_from(("", "", "", "", "reset", "restart", "silent", "twice")),
        st.booleans(),  # which of the sources answers late
    ),
    min_size=1,
    max_size=60,
)


@given(steps)
def test_work_is_conserved_over_restarts_and_repetitions_and_a_reset_loses_only_what_nobody_saw(
    steps: list[tuple[int, str, bool]],
) -> None:
    counting, source = Counting(), Prometheus()
    shown = counting.cycle((source, line(0))).tokens
    counter = done = unseen = seen_at = silent = 0
    for units, event, _ in steps:
        done, counter, unseen = done + units, counter + units, unseen + units
        if event == "reset":
            counter = 0  # the process ends in the very moment after its last token
        if event == "restart":
            counting, source = counting.restarted(), Prometheus()
        silent = silent + 1 if event == "silent" and silent < 2 else 0
        counting.cycle(*([(source, line(counter))] * (0 if silent else 1)))
        if event == "twice":
            counting.cycle((source, line(counter)))
        if not silent:
            # A counter that is already higher again than it was, or nearly, cannot be told from one that went on.
            lost = unseen - (counter - seen_at if counter >= seen_at else counter)
            if seen_at * 7 / 8 <= counter < seen_at:
                lost, counted_from = unseen, seen_at
            else:
                counted_from = counter
            assert counting.tokens == shown + unseen - lost
            shown, unseen, seen_at = counting.tokens, 0, counted_from
    assert counting.tokens <= done


@given(steps)
def test_two_sources_that_lag_and_fail_never_tell_more_than_their_lag(steps: list[tuple[int, str, bool]]) -> None:
    counting, one, two = Counting(), Prometheus("one"), Prometheus("two")
    counting.cycle((one, line(0)), (two, line(0)))
    history = [0]
    for units, event, which in steps:
        history.append(history[-1] + units)
        behind = line(history[-2]), line(history[-1])
        answers = [(one, behind[which]), (two, behind[not which])]
        if event == "silent":
            answers.pop(0)
        counting.cycle(*answers)
    lag = max(units for units, *_ in steps)
    takeovers = len(steps) // 3 + 1
    counting.cycle((one, line(history[-1])), (two, line(history[-1])))
    assert abs(counting.tokens - history[-1]) <= lag * takeovers
    if not any(event == "silent" for _, event, _ in steps):
        assert counting.tokens == history[-1]
