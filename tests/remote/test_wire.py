"""The wire: what is sent is what the snapshot shows, and what has ended is told as ended."""

from __future__ import annotations

import math
import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter import catalogue
from kcloud_exporter.model import ClusterSnapshot, Keys, Snapshot, Table
from kcloud_exporter.remote import wire
from kcloud_exporter.remote.wire import STALE, Encoder, varint
from tests.remote.oracle import Series, read

NODE, AT = catalogue.NODE_WALL_POWER.name, 1_800_000_000.125


def snapshot(table: Table | None, at: float = AT) -> Snapshot:
    tables = {} if table is None else {NODE: table}
    return Snapshot(at, 0, {"c": ClusterSnapshot("c", "s", tables)}, {})


def sent(encoder: Encoder, taken: Snapshot) -> Series:
    return {k: v for message, _ in encoder.messages(taken) for k, v in read(message).items()}


def series(node: str, **more: str) -> frozenset[tuple[str, str]]:
    return frozenset({"__name__": NODE, "cluster": "c", "node": node, **more}.items())


def is_stale(value: float) -> bool:
    return struct.pack("<d", value) == STALE


def test_a_snapshot_is_sent_with_its_time_and_labels_of_our_own() -> None:
    keys = Keys([("c", "n1"), ("c", "n2"), ("c", "")])
    taken = snapshot(Table(keys, np.array([1.5, np.nan, 0.0])))

    assert sent(Encoder({"replica": "a", "cluster": "never"}), taken) == {
        series("n1", replica="a"): [(1.5, 1_800_000_000_125)],
        frozenset({"__name__": NODE, "cluster": "c", "replica": "a"}.items()): [(0.0, 1_800_000_000_125)],
    }


def test_what_vanishes_ends_at_once_and_only_once() -> None:
    encoder, keys = Encoder({}), Keys([("c", "n1"), ("c", "n2")])
    sent(encoder, snapshot(Table(keys, np.array([1.0, 2.0]))))
    second = sent(encoder, snapshot(Table(keys, np.array([1.0, np.nan])), AT + 15))
    third = sent(encoder, snapshot(Table(keys, np.array([1.0, np.nan])), AT + 30))

    assert is_stale(second[series("n2")][0][0])
    assert set(third) == {series("n1")}


def test_what_vanishes_with_its_table_or_its_keys_ends_too() -> None:
    encoder = Encoder({})
    first = Keys([("c", "n1"), ("c", "n2")])
    sent(encoder, snapshot(Table(first, np.array([1.0, 2.0]))))
    others = sent(encoder, snapshot(Table(Keys([("c", "n2")]), np.array([2.0])), AT + 15))
    nothing = sent(encoder, snapshot(None, AT + 30))

    assert is_stale(others[series("n1")][0][0])
    assert others[series("n2")] == [(2.0, 1_800_000_015_125)]
    assert [is_stale(samples[0][0]) for samples in nothing.values()] == [True]


def test_many_series_are_several_messages() -> None:
    count = 2 * wire.BATCH + 7
    keys = Keys([("c", f"n{at}") for at in range(count)])
    messages = list(Encoder({}).messages(snapshot(Table(keys, np.arange(count, dtype=float)))))

    assert [n for _, n in messages] == [wire.BATCH, wire.BATCH, 7]
    values = [samples[0][0] for message, _ in messages for samples in read(message).values()]
    assert values == list(range(count))


@given(st.integers(0, 2**63 - 1))
def test_varints(number: int) -> None:
    decoded = sum((byte & 0x7F) << 7 * at for at, byte in enumerate(varint(number)))
    assert decoded == number


@given(
    st.dictionaries(
        st.text(max_size=300), st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1, max_size=20
    )
)
def test_any_label_and_any_value_come_through(values: dict[str, float]) -> None:
    keys = Keys([("c", node) for node in values])
    found = sent(Encoder({}), snapshot(Table(keys, np.array(list(values.values())))))

    # A lone surrogate is no UTF-8: it becomes ?, as on the page.
    as_sent = {node.encode("utf-8", "replace").decode(): value for node, value in values.items()}
    assert len(found) == len(as_sent)
    for node, value in as_sent.items():
        labels = {"__name__": NODE, "cluster": "c", **({"node": node} if node else {})}
        assert math.copysign(1, found[frozenset(labels.items())][0][0]) == math.copysign(1, value)
        assert found[frozenset(labels.items())][0][0] == value
