"""Questions to history: what is refused before any work, and what the answer's steps mean."""

from __future__ import annotations

import numpy as np
import pytest

from kcloud_exporter.catalogue import FAMILIES
from kcloud_exporter.errors import HistoryError
from kcloud_exporter.history.kept import resolution
from kcloud_exporter.history.series import MAX_POINTS, check_cells, question

POWER = "kcloud_cluster_power_watts"


def test_steps_tile_the_window_and_are_named_by_their_ends() -> None:
    asked = question(POWER, {}, 1000.0, 1190.0, 60.0)

    np.testing.assert_array_equal(asked.timestamps, [1060.0, 1120.0, 1180.0])
    assert asked.end == 1180.0


def test_a_step_is_never_finer_than_what_is_kept() -> None:
    assert question(POWER, {}, 0.0, 600.0, 1.0).step == 60.0
    assert question("kcloud_pod_power_watts", {}, 0.0, 600.0, 1.0).step == 300.0
    assert question(POWER, {}, 0.0, 600.0, 90.0).step == 90.0


@pytest.mark.parametrize(
    ("family", "matchers", "start", "end", "step", "reason", "told"),
    [
        ("kcloud_nothing", {}, 0, 60, 60, "bad_request", "no family 'kcloud_nothing'"),
        ("kcloud_cluster_info", {}, 0, 60, 60, "bad_request", "no family"),
        ("kcloud_source_up", {}, 0, 60, 60, "bad_request", "no family"),
        (POWER, {"pod": "a"}, 0, 60, 60, "bad_request", "no label 'pod'; it has: cluster, component"),
        (POWER, {}, 60, 60, 60, "bad_request", "start must lie before its end"),
        (POWER, {}, float("nan"), 60, 60, "bad_request", "start must lie before its end"),
        (POWER, {}, 0, float("inf"), 60, "bad_request", "start must lie before its end"),
        (POWER, {}, 0, 3600, 0, "bad_request", "longer than nothing"),
        (POWER, {}, 0, 59, 60, "bad_request", "shorter than one step of 60 s"),
        (POWER, {}, 0, 10 * 365 * 86400, 60, "too_large", "take a step of 28670 s or more"),
    ],
)
def test_what_cannot_be_answered_is_refused_and_says_what_to_do(
    family: str, matchers: dict[str, str], start: float, end: float, step: float, reason: str, told: str
) -> None:
    with pytest.raises(HistoryError) as refused:
        question(family, matchers, start, end, step)
    assert refused.value.reason == reason
    assert told in str(refused.value)


def test_the_largest_answer_is_bounded() -> None:
    assert question(POWER, {}, 0, MAX_POINTS * 60, 60).points == MAX_POINTS
    check_cells(300, MAX_POINTS)
    with pytest.raises(HistoryError, match="shorter window"):
        check_cells(5000, MAX_POINTS)


def test_power_and_energy_are_kept_at_every_level_and_names_at_none() -> None:
    for level in ("accelerator", "node", "pod", "namespace", "cluster"):
        assert resolution(FAMILIES[f"kcloud_{level}_power_watts"])
        assert resolution(FAMILIES[f"kcloud_{level}_energy_joules_total"])
    assert [name for name, family in FAMILIES.items() if name.endswith("_info") and resolution(family)] == []
