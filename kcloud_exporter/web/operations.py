"""Operations: what the OpenAPI document says of a route. Any outlet describes its handlers; the router is walked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_ATTRIBUTE: Final = "operation"


@dataclass(frozen=True, slots=True)
class Operation:
    """One route in OpenAPI's own terms.

    `parameters` are Parameter Objects (those of the path included), `content` maps media types to Media Type Objects
    of the answer 200, `schemas` are named schemas that they refer to under `#/components/schemas/`. `statuses` are the
    error statuses that the route can answer besides 400, 401 and 500. `tagged`: its answer has an ETag, and is 304 for
    one who has it already.
    """

    tag: str
    summary: str
    description: str
    parameters: Sequence[Mapping[str, Any]]
    content: Mapping[str, Any]
    schemas: Mapping[str, Any] = field(default_factory=dict)
    statuses: tuple[int, ...] = ()
    tagged: bool = False


def query(name: str, description: str, schema: Mapping[str, Any], example: Any = None) -> dict[str, Any]:
    """A Parameter Object of the query string."""
    told = {"name": name, "in": "query", "description": description, "required": False, "schema": dict(schema)}
    return told if example is None else {**told, "example": example}


def names(name: str, description: str, example: str, most: int | None = None) -> dict[str, Any]:
    """A parameter that is a name among known ones; one that may be given `most` times."""
    schema: dict[str, Any] = {"type": "string", "minLength": 1}
    if most is None:
        return query(name, description, schema, example)
    return query(name, description, {"type": "array", "items": schema, "maxItems": most}, [example])


def describe(handler: Handler, operation: Operation | Callable[[], Operation]) -> Handler:
    """The handler, with what the document says of it, or with what finds that out when it is asked for."""
    setattr(handler, _ATTRIBUTE, operation)
    return handler


def operation_of(handler: object) -> Operation | None:
    """What was said of a handler, if anything was."""
    found = getattr(handler, _ATTRIBUTE, None)
    if callable(found):
        found = found()
    return found if isinstance(found, Operation) else None
