"""Remote write read back by the protobuf library, from the published definition of its messages."""

from __future__ import annotations

from typing import Any

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Field = descriptor_pb2.FieldDescriptorProto
Series = dict[frozenset[tuple[str, str]], list[tuple[float, int]]]


def _write_request() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="remote.proto", package="prometheus", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, bool, str]) -> None:
        made = file.message_type.add(name=name)
        for field, number, kind, many, type_name in fields:
            label = Field.LABEL_REPEATED if many else Field.LABEL_OPTIONAL
            made.field.add(name=field, number=number, type=kind, label=label, type_name=type_name or None)

    message("Label", ("name", 1, Field.TYPE_STRING, False, ""), ("value", 2, Field.TYPE_STRING, False, ""))
    message("Sample", ("value", 1, Field.TYPE_DOUBLE, False, ""), ("timestamp", 2, Field.TYPE_INT64, False, ""))
    message(
        "TimeSeries",
        ("labels", 1, Field.TYPE_MESSAGE, True, ".prometheus.Label"),
        ("samples", 2, Field.TYPE_MESSAGE, True, ".prometheus.Sample"),
    )
    message("WriteRequest", ("timeseries", 1, Field.TYPE_MESSAGE, True, ".prometheus.TimeSeries"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("prometheus.WriteRequest"))


WRITE_REQUEST = _write_request()


def read(message: bytes) -> Series:
    """Labels → samples (value, milliseconds). Labels have to be sorted, and no series may stand twice."""
    request = WRITE_REQUEST()
    request.ParseFromString(message)
    found: Series = {}
    for series in request.timeseries:
        names = [label.name for label in series.labels]
        assert names == sorted(set(names)), names
        key = frozenset((label.name, label.value) for label in series.labels)
        assert key not in found, key
        found[key] = [(sample.value, sample.timestamp) for sample in series.samples]
    return found


def unpacked(body: bytes) -> Series:
    """The same of a compressed body."""
    return read(bytes(cramjam.snappy.decompress_raw(body)))
