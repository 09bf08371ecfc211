"""The answers of the query API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter.errors import SourceError
from kcloud_exporter.sources.prometheus_json import error_text, parse_vector
from kcloud_exporter.sources.series import SeriesIndex
from tests.sources.pages import Series, index_of, labels, read

COMPACT = (",", ":")


def answer(kind: str, result: list[Any], *, spaced: bool = False, **more: Any) -> bytes:
    whole = {"status": "success", "data": {"resultType": kind, "result": result}, **more}
    return json.dumps(whole, separators=None if spaced else COMPACT).encode()


def vector(*samples: tuple[dict[str, str], str], **more: Any) -> bytes:
    return answer("vector", [{"metric": m, "value": [1700000000.123, v]} for m, v in samples], **more)


def reason_of(body: bytes, index: SeriesIndex | None = None) -> str:
    with pytest.raises(SourceError) as caught:
        parse_vector(body, index or index_of())
    return caught.value.reason


def series_of(body: bytes, index: SeriesIndex | None = None) -> Series:
    index = index or index_of()
    return read(parse_vector(body, index), index)


def test_a_vector_has_values_and_no_timestamps() -> None:
    body = vector(({"__name__": "a", "b": "c"}, "1.5"), ({"__name__": "d"}, "NaN"), ({"__name__": "e"}, "+Inf"))
    assert series_of(body) == {
        labels("a", b="c"): (1.5, None),
        labels("d"): (-0.125, None),
        labels("e"): (float("inf"), None),
    }


def test_a_matrix_gives_the_newest_sample_with_its_own_timestamp() -> None:
    result = [
        {"metric": {"__name__": "a"}, "values": [[1700000000, "1"], [1700000015.5, "2"]]},
        {"metric": {"__name__": "b"}, "values": [[1700000001.25, "7"]]},
        {"metric": {"__name__": "c"}, "values": []},
    ]
    assert series_of(answer("matrix", result)) == {
        labels("a"): (2.0, 1700000015.5),
        labels("b"): (7.0, 1700000001.25),
    }


def test_an_empty_answer_is_no_failure() -> None:
    assert series_of(vector()) == {}
    assert series_of(answer("matrix", [])) == {}


def test_native_histograms_are_passed_over() -> None:
    histogram = {"metric": {"__name__": "h"}, "histogram": [1700000000, {"count": "1", "sum": "2"}]}
    body = answer("vector", [histogram, {"metric": {"__name__": "a"}, "value": [1, "1"]}])
    index = index_of()
    for _ in range(3):
        assert series_of(body, index) == {labels("a"): (1.0, None)}


def test_warnings_of_a_partial_answer_are_kept_beside_the_data() -> None:
    index = index_of()
    parsed = parse_vector(vector(({"__name__": "a"}, "1"), warnings=["one store is away"]), index)
    assert read(parsed, index) == {labels("a"): (1.0, None)}
    assert parsed.warnings == ("one store is away",)


def test_an_error_of_the_api_is_told() -> None:
    body = b'{"status":"error","errorType":"execution","error":"too many samples"}'
    with pytest.raises(SourceError, match="execution: too many samples") as caught:
        parse_vector(body, index_of())
    assert caught.value.reason == "query_error"
    assert error_text(body) == "execution: too many samples"
    assert error_text(b"<html>") is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"<html>",
        b"[" * 100_000,
        b'{"status":"success","data":{"resultType":"vector","result":' + b"[" * 100_000,
        b'{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}',
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"a"},"value":[1,"x"]}]}}',
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"a"},"value":[1,2]}]}}',
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":1},"value":[1,"2"]}]}}',
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":[],"value":[1,"2"]}]}}',
        vector(({"__name__": "a"}, "1" * 5000)),
        vector(({"__name__": "a"}, "1"))[:-1],
        vector(({"__name__": "a"}, "1")) + b"x",
    ],
    ids=range(13),
)
def test_malformed_answers_are_discarded(body: bytes) -> None:
    assert reason_of(body) == "parse"


def test_half_a_surrogate_pair_costs_its_series_only() -> None:
    index = index_of()
    body = vector(
        ({"__name__": "a", "b": "\ud800"}, "1"),
        ({"__name__": "a", "b": "\udc00x"}, "2"),
        ({"__name__": "a", "b": "😀\\ud800\0"}, "3"),
    )
    for _ in range(3):
        parsed = parse_vector(body, index)
        assert read(parsed, index) == {labels("a", b="😀\\ud800\0"): (3.0, None)}
        assert parsed.rejected == {"utf8": 2}


def test_bytes_that_are_no_utf8_cost_their_series_only() -> None:
    index = index_of()
    parsed = parse_vector(
        vector(({"__name__": "a", "b": "?"}, "1"), ({"__name__": "c"}, "2")).replace(b"?", b"\xff"), index
    )
    assert read(parsed, index) == {labels("c"): (2.0, None)}
    assert parsed.rejected == {"utf8": 1}


def test_limits_hold_for_json_as_well() -> None:
    index = index_of(series=2, label_value_bytes=40)
    parsed = parse_vector(vector(({"__name__": "a", "b": "x" * 41}, "1"), ({"__name__": "c"}, "2")), index)
    assert parsed.rejected == {"label_limit": 1}
    assert reason_of(vector(*(({"__name__": f"a{n}"}, "1") for n in range(3))), index) == "series_limit"


def test_unwanted_and_nameless_series_are_passed_over() -> None:
    index = index_of(wanted={"a"}.__contains__)
    body = vector(({"__name__": "a"}, "1"), ({"__name__": "b"}, "2"), ({"c": "d"}, "3"))
    assert series_of(body, index) == {labels("a"): (1.0, None)}


def test_the_same_series_in_another_order_of_labels_is_the_same_row() -> None:
    index = index_of()
    first = parse_vector(vector(({"__name__": "a", "b": "c", "d": "e"}, "1")), index)
    second = parse_vector(vector(({"d": "e", "b": "c", "__name__": "a"}, "2")), index)
    assert first.rows.tolist() == second.rows.tolist()
    assert len(index.table) == 1


metrics = st.fixed_dictionaries(
    {"__name__": st.sampled_from("ab")}, optional={"c": st.sampled_from(["d", '{"metric":', 'x"]},', "é", "\\"])}
)
values = st.sampled_from(["1", "2.5", "NaN", "+Inf", "-3e4", "1_0", "x", ""])


@given(st.lists(st.lists(st.tuples(metrics, values), max_size=5), min_size=1, max_size=3), st.data())
def test_what_an_index_remembers_changes_no_result(
    drawn: list[list[tuple[dict[str, str], str]]], data: st.DataObject
) -> None:
    def outcome(body: bytes, index: SeriesIndex) -> object:
        try:
            parsed = parse_vector(body, index)
        except SourceError as exc:
            return exc.reason
        return read(parsed, index), parsed.rejected

    index = index_of()
    for _ in range(6):
        samples, matrix, spaced = (
            data.draw(st.sampled_from(drawn)),
            data.draw(st.booleans()),
            data.draw(st.booleans()),
        )
        if matrix:
            result = [{"metric": m, "values": [[1.5, "0"], [2.5, v]]} for m, v in samples]
            body = answer("matrix", result, spaced=spaced)
        else:
            body = vector(*samples, spaced=spaced)
        assert outcome(body, index) == outcome(body, index_of())


def test_an_answer_of_many_pieces_that_changes_a_little() -> None:
    index = index_of()
    for cycle in range(5):
        samples = [
            ({"__name__": "a", "n": str(n), "filler": "x" * 200}, str(n * cycle))
            for n in range(12_000)
            if n % 97 != cycle
        ]
        parsed = parse_vector(vector(*samples), index)
        assert parsed.values.tolist() == [float(value) for _, value in samples]
        assert [index.table.series(row)["n"] for row in parsed.rows.tolist()] == [m["n"] for m, _ in samples]
