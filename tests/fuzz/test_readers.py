"""What comes from sources: text, OpenMetrics and JSON in any state of disrepair. `KCLOUD_TEST_MUTANTS=100`: more."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kcloud_exporter.errors import FAILURE_REASONS, REJECT_REASONS, SourceError
from kcloud_exporter.sources.exposition import parse_text
from kcloud_exporter.sources.prometheus_json import error_text, parse_vector
from tests.fuzz.mutants import CORPUS, TIMES, bytes_from
from tests.sources.pages import index_of

PAGES = sorted(CORPUS.glob("*.txt"))
ANSWERS = sorted(CORPUS.glob("*.json"))


def test_there_is_a_corpus() -> None:
    assert len(PAGES) >= 4
    assert len(ANSWERS) >= 3


@pytest.mark.parametrize("file", PAGES, ids=lambda p: p.stem)
def test_any_page_is_read_or_refused_with_a_reason(file: Path) -> None:
    """One index reads them all, as an endpoint's does, so what one page leaves behind meets the next one."""
    base, index = file.read_bytes(), index_of()
    accepted, refused = 0, set()
    for seed in range(1500 * TIMES):
        openmetrics = seed % 3 == 0
        try:
            parsed = parse_text(bytes_from(seed, base), index, openmetrics=openmetrics)
        except SourceError as exc:
            refused.add((exc.reason, len(str(exc)) // 2000))
            continue
        accepted += 1
        assert len(parsed.rows) == len(parsed.values) == len(np.unique(parsed.rows))
        assert {reason for reason, _ in parsed.rejected.items()} <= set(REJECT_REASONS)
    assert accepted > 0
    assert refused <= {(reason, 0) for reason in FAILURE_REASONS}, "and the message fits into a line of the log"


@pytest.mark.parametrize("file", ANSWERS, ids=lambda p: p.stem)
def test_any_answer_of_the_api_is_read_or_refused_with_a_reason(file: Path) -> None:
    base, index, refused = file.read_bytes(), index_of(), set()
    for seed in range(1500 * TIMES):
        body = bytes_from(seed, base)
        error_text(body)
        try:
            parsed = parse_vector(body, index)
        except SourceError as exc:
            refused.add((exc.reason, len(str(exc)) // 2000))
            continue
        assert len(parsed.rows) == len(parsed.values) == len(np.unique(parsed.rows))
    assert refused <= {(reason, 0) for reason in FAILURE_REASONS}


@pytest.mark.parametrize(
    "result",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" + "9" * 5000 + "]",
        '[{"metric":{"__name__":"a"},"value":[1e999,"1"]}]',
        '[{"metric":{"__name__":"a"},"value":[1,"' + "9" * 5000 + '"]}]',
        '[{"metric":{"__name__":"a","b":"\\ud800"},"value":[1,"1"]}]',
        '[{"metric":null,"value":[1,"1"]}]',
        '[{"metric":{"__name__":5},"value":[1,"1"]}]',
    ],
    ids=["deep-list", "deep-object", "long-number", "late", "long-value", "half-pair", "no-metric", "number-as-name"],
)
def test_answers_that_are_made_to_hurt(result: str) -> None:
    body = b'{"status":"success","data":{"resultType":"vector","result":' + result.encode() + b"}}"
    reason, rows = "", 0
    try:
        rows = len(parse_vector(body, index_of()).rows)
    except SourceError as exc:
        reason = exc.reason
    assert (reason, rows) in {("parse", 0), ("", 0), ("", 1)}


def test_what_python_reads_and_json_does_not_have_is_refused() -> None:
    """Python's own reader takes NaN and Infinity as numbers; no store prints them outside quotes."""
    body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": [float("nan")]}}).encode()
    with pytest.raises(SourceError):
        parse_vector(body, index_of())
