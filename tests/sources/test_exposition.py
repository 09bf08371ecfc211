"""The parser of the text formats. test_like_prometheus.py holds it against the original."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter.errors import SourceError
from kcloud_exporter.model import SeriesTable
from kcloud_exporter.sources.exposition import ParseLimits, SeriesIndex, parse_text
from kcloud_exporter.sources.series import Parsed
from tests.sources import cases
from tests.sources.pages import Series, index_of, labels, quoted, read

label_names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,6}", fullmatch=True).filter(lambda name: name != "__name__")
label_values = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def rejection(page: bytes, *, openmetrics: bool = False) -> str:
    with pytest.raises(SourceError) as caught:
        parse_text(page, index_of(), openmetrics=openmetrics)
    return caught.value.reason


def parsed(page: bytes) -> tuple[Series, Parsed]:
    index = index_of()
    found = parse_text(page, index, openmetrics=False)
    return read(found, index), found


# What is a page


@pytest.mark.parametrize("page", cases.TEXT_ACCEPTED)
def test_text_is_accepted(page: bytes) -> None:
    parsed(page)


@pytest.mark.parametrize("page", cases.TEXT_REJECTED)
def test_text_is_rejected_as_a_whole(page: bytes) -> None:
    assert rejection(page) == "parse"


@pytest.mark.parametrize("page", cases.OPENMETRICS_ACCEPTED)
def test_openmetrics_is_accepted(page: bytes) -> None:
    parse_text(page, index_of(), openmetrics=True)


@pytest.mark.parametrize("page", cases.OPENMETRICS_REJECTED)
def test_openmetrics_is_rejected_as_a_whole(page: bytes) -> None:
    assert rejection(page, openmetrics=True) == "parse"


@pytest.mark.parametrize("page", [b"a 1\n\x00b 2\n", b"\x00", b"#x\x00y\na 1\n"])
def test_a_nul_that_ends_the_page_for_prometheus_is_an_error_here(page: bytes) -> None:
    """Prometheus 2.42 takes it for the end of the page, and loses what follows without a word."""
    assert rejection(page) == "parse"


def test_one_bad_line_after_many_good_ones_costs_the_page() -> None:
    index = index_of()
    good = b"".join(b'a{b="%d"} %d\n' % (n, n) for n in range(20_000))
    parse_text(good, index, openmetrics=False)
    with pytest.raises(SourceError, match="no number") as caught:
        parse_text(good + b'a{b="3"} 1,5\n', index, openmetrics=False)
    assert caught.value.reason == "parse"


# What it says


@given(st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,8}", fullmatch=True), st.dictionaries(label_names, label_values))
def test_labels_come_back_as_they_were_written(name: str, given_labels: dict[str, str]) -> None:
    line = name + "{" + ",".join(f"{label}={quoted(value)}" for label, value in given_labels.items()) + "} 1.5\n"
    series, _ = parsed(line.encode())
    assert series == {labels(name, **{k: v for k, v in given_labels.items() if v}): (1.5, None)}


def test_values_and_timestamps() -> None:
    series, _ = parsed(b'a 1.5\nb NaN\nc +Inf\nd{x="y z"} -2e3 1700000000123\ne 0 5\n')
    assert series == {
        labels("a"): (1.5, None),
        labels("b"): (-0.125, None),
        labels("c"): (float("inf"), None),
        labels("d", x="y z"): (-2000.0, 1700000000.123),
        labels("e"): (0.0, 0.005),
    }


def test_openmetrics_timestamps_are_seconds_and_exemplars_are_cut() -> None:
    index = index_of()
    page = b'# TYPE a counter\na_total{x="y"} 3 1700000000.5 # {t="z"} 9 8\na_created{x="y"} 17\n# EOF\n'
    assert read(parse_text(page, index, openmetrics=True), index) == {
        labels("a_total", x="y"): (3.0, 1700000000.5),
        labels("a_created", x="y"): (17.0, None),
    }


def test_no_timestamps_at_all_are_no_column() -> None:
    assert parsed(b"a 1\nb 2\n")[1].timestamps is None


@pytest.mark.parametrize("again", [b'a{b="c",d="e"} 2', b'a{d="e",b="c"} 2', b'a{b="c",d="e",f=""} 2'])
def test_a_series_that_stands_twice_is_kept_once(again: bytes) -> None:
    series, found = parsed(b'a{b="c",d="e"} 1\n' + again + b"\n")
    assert series == {labels("a", b="c", d="e"): (1.0, None)}
    assert found.rejected == {"duplicate": 1}


def test_target_labels_win_and_what_they_displace_is_renamed() -> None:
    index = index_of(labels={"instance": "i", "job": "dcgm"})
    page = b'a{instance="q",exported_instance="r"} 1\nb{instance=""} 2\nc{job="j",x="y"} 3\n'
    assert read(parse_text(page, index, openmetrics=False), index) == {
        labels("a", instance="i", job="dcgm", exported_instance="r", exported_exported_instance="q"): (1.0, None),
        labels("b", instance="i", job="dcgm"): (2.0, None),
        labels("c", instance="i", job="dcgm", exported_job="j", x="y"): (3.0, None),
    }


# What is left out


def test_unwanted_series_are_checked_and_passed_over() -> None:
    index = index_of(wanted={"a"}.__contains__)
    assert read(parse_text(b'a 1\nb{x="y"} 2\n', index, openmetrics=False), index) == {labels("a"): (1.0, None)}
    assert len(index.table) == 1
    for page in (b'b{x="y"} two\n', b'b{x="y",x="z"} 2\n', b"b{x=y} 2\n"):
        with pytest.raises(SourceError, match="x"):
            parse_text(page, index, openmetrics=False)


def test_a_label_that_is_no_utf8_costs_its_series_each_time() -> None:
    index = index_of()
    for _ in range(3):
        found = parse_text(b'a{b="\xff"} 1\na{b="c"} 2\na{b="\xed\xa0\x80"} 3\n', index, openmetrics=False)
        assert read(found, index) == {labels("a", b="c"): (2.0, None)}
        assert found.rejected == {"utf8": 2}


@pytest.mark.parametrize(
    "line",
    [
        b'a{b="1",c="2",d="3"} 1',
        b'a{b="' + b"x" * 41 + b'"} 1',
        b"a{" + b"x" * 31 + b'="1"} 1',
        b'a{b="' + "é".encode() * 21 + b'"} 1',
    ],
)
def test_labels_beyond_the_limits_cost_their_series_each_time(line: bytes) -> None:
    index = index_of(labels=None, series=100)
    index.limits = ParseLimits(labels=2, label_name_bytes=30, label_value_bytes=40)
    for _ in range(3):
        found = parse_text(b"ok 1\n" + line + b"\n", index, openmetrics=False)
        assert read(found, index) == {labels("ok"): (1.0, None)}
        assert found.rejected == {"label_limit": 1}


def test_more_series_than_the_limit_fail_the_page() -> None:
    index = index_of(series=10)
    parse_text(b"".join(b"a%d 1\n" % n for n in range(10)), index, openmetrics=False)
    with pytest.raises(SourceError) as caught:
        parse_text(b"".join(b"a%d 1\n" % n for n in range(11)), index, openmetrics=False)
    assert caught.value.reason == "series_limit"


def test_an_endpoint_that_changes_all_its_series_cannot_fill_memory() -> None:
    index = index_of(wanted=lambda _: False)
    for n in range(50):
        parse_text(b"".join(b'a{b="%d-%d"} 1\n' % (n, k) for k in range(2000)), index, openmetrics=False)
    assert len(index.keys) < 20_000
    wanted = index_of(series=2000)
    pages = [b"".join(b'a{b="%d-%d"} 1\n' % (n, k) for k in range(2000)) for n in range(3)]
    assert [outcome(page, wanted) == "series_limit" for page in pages] == [False, False, True]
    assert len(wanted.table) <= 4000


# Whatever way a page is read, the result is the same

odd_lines = st.sampled_from(
    [
        b"# HELP a text",
        b"# TYPE a gauge",
        b"# TYPE a gaugf",
        b"",
        b"  ",
        b'a{b="x',
        b'y 1"} 2',
        b'a{b="c"}  3',
        b'a\t{b="c"}\t4',
        b'a {b="c"} 5',
        b'a {b="c"}6',
        b"a 7 ",
        b"a+8",
        b"a 1e400",
        b"a 1\r",
        b"a x",
        b"#x\0",
        b"b\xff 1",
        b'a{b="c"} 1 2 3',
        b'a{b="\xff"} 9',
        b"5",
        b" 5",
        b"a5 3",
        b'a{b="c\\',
        b'"} 1',
    ]
)
keys = st.sampled_from([b"a", b"b", b'a{b="c"}', b'a{b="c d"}', b'a{c="1",d="2"}', b'a{d="2",c="1"}', b'a{b=""}'])
numbers = st.sampled_from([b"1", b"2.5", b"-3e4", b"NaN", b"+Inf", b"0", b"1 1700000000123", b"2 1700000000124"])
sample_lines = st.builds(lambda key, number: key + b" " + number, keys, numbers)
pages = st.lists(st.one_of(sample_lines, sample_lines, sample_lines, odd_lines), max_size=12).map(b"\n".join)


def outcome(page: bytes, index: SeriesIndex) -> object:
    try:
        found = parse_text(page, index, openmetrics=False)
    except SourceError as exc:
        return exc.reason
    return read(found, index), found.rejected


@given(st.lists(pages, min_size=1, max_size=4), st.data())
def test_what_an_index_remembers_changes_no_result(drawn: list[bytes], data: st.DataObject) -> None:
    index = index_of()
    for _ in range(8):
        page = data.draw(st.sampled_from(drawn))
        assert outcome(page, index) == outcome(page, index_of())


@pytest.mark.parametrize("stamp", [b"", b" 1700000000123"], ids=["plain", "timestamped"])
def test_pages_of_many_pieces_that_change_a_little(stamp: bytes) -> None:
    """Larger than one piece, so that series come, go and move across the cuts; a raw newline lies on one."""
    chance = random.Random(7)
    index = index_of()
    series = [b'a{n="%d",filler="%s"}' % (n, b"x" * 180) for n in range(12_000)]
    newline = b'a{n="raw\n%s\nb 5"}' % (b"y\n" * 600_000)
    index.limits = ParseLimits(label_value_bytes=4_000_000)
    for cycle in range(6):
        shown = [key for key in series if chance.random() > 0.0005 * cycle]
        if cycle % 2:
            shown.insert(4000, newline)
            shown.insert(9000, b'a{n="new %d"}' % cycle)
        values = [chance.randrange(1000) for _ in shown]
        page = b"# TYPE a gauge\n" + b"".join(
            key + b" %d" % value + stamp + b"\n" for key, value in zip(shown, values, strict=True)
        )
        found = parse_text(page, index, openmetrics=False)
        assert not found.rejected
        assert found.values.tolist() == values
        names = [index.table.series(row)["n"] for row in found.rows.tolist()]
        assert names == [key.split(b'"')[1].decode() for key in shown]
        assert (found.timestamps is None) == (not stamp)


def test_a_sample_in_the_place_of_a_comment_of_the_same_length_is_seen() -> None:
    index = index_of()
    parse_text(b"# c 1\na 1\n", index, openmetrics=False)
    assert read(parse_text(b"bcd 1\na 1\n", index, openmetrics=False), index) == {
        labels("bcd"): (1.0, None),
        labels("a"): (1.0, None),
    }


def test_two_indexes_share_one_table() -> None:
    table = SeriesTable()
    one, two = (SeriesIndex(table, lambda _: True, {"instance": name}, ParseLimits()) for name in "ab")
    rows = [parse_text(b"x 1\ny 2\n", index, openmetrics=False).rows.tolist() for index in (one, two)]
    assert rows == [[0, 1], [2, 3]]
    assert [entry["instance"] for entry in table.labels] == ["a", "a", "b", "b"]
