"""Answers: the envelope around every answer, as a value and as a model for the document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field

from kcloud_exporter.api.frames import Frame
from kcloud_exporter.api.resources import Group
from kcloud_exporter.api.view import View
from kcloud_exporter.units import rfc3339

_D = TypeVar("_D")


class Model(BaseModel):
    """The base of every model of the document: no field that is not named."""

    model_config = ConfigDict(extra="forbid", defer_build=True)  # only the document wants it built


class Lack(Model):
    """One thing that an answer lacks."""

    kind: str = Field(description="source, cluster, node, snapshot, history, or field", examples=["source"])
    name: str = Field(description="Which one.", examples=["dcgm@10.0.0.7:9400"])
    cluster: str | None = Field(description="Where it belongs to.", examples=["seoul-a"])
    reason: str = Field(description="Why, or what that means.", examples=["its last answer was not good"])


class Metadata(Model):
    """How complete an answer is, and where a page of a list stands in the whole."""

    complete: bool = Field(description="Nothing that is known to exist is missing; otherwise totals are lower bounds.")
    completeness_ratio: float | None = Field(description="Nodes measured over nodes known.", examples=[1.0])
    missing: list[Lack] = Field(description="What is missing, the first hundred of it.")
    missing_total: int = Field(description="How much is missing in all.", examples=[0])
    total: int | None = Field(None, description="Rows in all, of lists.", examples=[28])
    count: int | None = Field(None, description="Rows in this answer.", examples=[28])
    limit: int | None = Field(None, description="Most rows of this answer.", examples=[1000])
    offset: int | None = Field(None, description="Rows that were left out before.", examples=[0])
    next_offset: int | None = Field(None, description="Where the next page begins, if any.", examples=[1000])


class Envelope(Model, Generic[_D]):
    """Every answer."""

    timestamp: str = Field(
        description="When what it tells was so: the time of the snapshot.",
        json_schema_extra={"format": "date-time"},
        examples=["2026-11-24T00:00:00.000Z"],
    )
    cluster: str | None = Field(description="The cluster that was asked for; null: all.", examples=["seoul-a"])
    resource_type: str = Field(description="What `data` is.", examples=["gpus"])
    data: _D
    metadata: Metadata


@dataclass(slots=True)
class Answer:
    """What a route gives: its data, and what stands in the envelope."""

    data: Any
    cluster: str | None = None
    lacks: list[dict[str, Any]] = field(default_factory=list)
    page: dict[str, int] = field(default_factory=dict)


def paged(frame: Frame, values: dict[str, Any], without: tuple[Group, ...] = (), **more: Any) -> Answer:
    """The page of a frame that `limit` and `offset` ask for."""
    start, limit = values["offset"], values["limit"]
    rows = frame.take(slice(start, start + limit)).rows(without)
    return Answer(rows, values.get("cluster"), page=page(len(frame), len(rows), values), **more)


def page(total: int, count: int, values: dict[str, Any]) -> dict[str, int]:
    """Where a page stands in the whole, for the metadata."""
    told = {"total": total, "count": count, "limit": values["limit"], "offset": values["offset"]}
    end = values["offset"] + count
    return told | ({"next_offset": end} if count and end < total else {})


def lack(name: str, reason: str, kind: str = "field") -> dict[str, Any]:
    """A field that nothing tells."""
    return {"kind": kind, "name": name, "cluster": None, "reason": reason}


def encode(answer: Answer, resource_type: str, view: View, stale: str) -> bytes:
    """The answer in its envelope, as JSON. `stale` says why the snapshot is too old, if it is."""
    missing, total, ratio = view.missing(answer.cluster)
    lacks = [*answer.lacks, *missing]
    if stale:
        lacks.insert(0, lack("snapshot", stale, kind="snapshot"))
    number = total + len(lacks) - len(missing)
    whole = not any(each["kind"] != "field" for each in lacks) and (ratio is None or ratio == 1.0)
    body = {
        "timestamp": rfc3339(view.snapshot.timestamp),
        "cluster": answer.cluster,
        "resource_type": resource_type,
        "data": answer.data,
        "metadata": {
            "complete": whole,
            "completeness_ratio": ratio,
            "missing": lacks,
            "missing_total": number,
            **answer.page,
        },
    }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
