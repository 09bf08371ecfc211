"""Numbers: what Go's strconv.ParseFloat takes, and the same in bulk."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter.sources.numbers import bulk, bulk_timestamped, parse_float, parse_milliseconds, parse_seconds

tokens = st.one_of(
    st.floats().map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.text("0123456789+-.eENaninfIF_xp\r\t", max_size=8),
    st.sampled_from(["NaN", "+Inf", "-Inf", "null", "1e400", "-1e-400", "0x1p3", "+nan", "1_0", "", "1,5", "[1]"]),
).map(str.encode)
stamps = st.one_of(st.integers(0, 2**63 - 1).map(str), st.text("0123456789-.e", max_size=5)).map(str.encode)


@pytest.mark.parametrize("text", [b"1", b"+1", b".5", b"5.", b"1e5", b"1E-5", b"-0", b"inf", b"+Infinity", b"-iNF"])
def test_a_number_of_go(text: bytes) -> None:
    assert parse_float(text) == float(text)


@pytest.mark.parametrize("text", [b"nan", b"NaN", b"NAN"])
def test_not_a_number_has_no_sign(text: bytes) -> None:
    assert math.isnan(parse_float(text))
    with pytest.raises(ValueError, match="no number"):
        parse_float(b"+" + text)


@pytest.mark.parametrize("text", [b"", b".", b"1_0", b"0x1", b"0x1p3", b" 1", b"1\r", b"1e", b"infin", "١".encode()])
def test_what_python_would_take_or_nobody_does(text: bytes) -> None:
    with pytest.raises(ValueError, match="no number"):
        parse_float(text)


def test_too_large_is_an_error_and_too_small_is_zero() -> None:
    assert parse_float(b"1e-400") == 0
    with pytest.raises(ValueError, match="range"):
        parse_float(b"-1e400")


def test_timestamps_of_the_text_format_are_whole_milliseconds() -> None:
    assert parse_milliseconds(b"1700000000123") == 1700000000.123
    for text in (b"-5", b"5.0", b"", b"9223372036854775808", b"1" * 5000):
        with pytest.raises(ValueError, match="no timestamp"):
            parse_milliseconds(text)


def test_timestamps_of_openmetrics_are_seconds_and_finite() -> None:
    assert parse_seconds(b"-1.5e1") == -15
    for text in (b"nan", b"+Inf"):
        with pytest.raises(ValueError, match="no timestamp"):
            parse_seconds(text)


@given(st.lists(tokens))
def test_bulk_is_either_exact_or_declines(texts: list[bytes]) -> None:
    values = bulk(b" " + b"\n ".join(texts) if texts else b"", len(texts))
    if values is not None:
        assert values.tolist() == pytest.approx([parse_float(text) for text in texts], rel=0, abs=0, nan_ok=True)


@given(st.lists(st.tuples(tokens, stamps)))
def test_bulk_with_timestamps_is_either_exact_or_declines(pairs: list[tuple[bytes, bytes]]) -> None:
    joined = b" " + b"\n ".join(b" ".join(pair) for pair in pairs) if pairs else b""
    found = bulk_timestamped(joined, len(pairs), milliseconds=True)
    if found is not None:
        assert found[0].tolist() == pytest.approx([parse_float(v) for v, _ in pairs], rel=0, abs=0, nan_ok=True)
        assert found[1].tolist() == pytest.approx([parse_milliseconds(t) for _, t in pairs], rel=1e-15)


def test_bulk_does_not_decline_what_exporters_print() -> None:
    values = bulk(b" 1\n -2.5\n NaN\n 1.5e+06\n 0", 5)
    assert values is not None
    assert np.array_equal(values, [1, -2.5, math.nan, 1.5e6, 0], equal_nan=True)
    timed = bulk_timestamped(b" 1.5 1700000000123\n NaN 1700000000124", 2, milliseconds=True)
    assert timed is not None
    assert timed[1].tolist() == [1700000000.123, 1700000000.124]


@pytest.mark.parametrize("joined", [b" 1\n2 ", b"1 \n 2", b" 1\n 2\n", b" 1,2", b" 1\n", b"", b" 1 2\n", b" 1\r\n 2"])
def test_bulk_declines_any_other_layout(joined: bytes) -> None:
    assert bulk(joined, 2) is None
