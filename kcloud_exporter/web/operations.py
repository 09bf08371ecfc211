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
    error statuses that the route can answer besides 400, 401 and 500.
    """

    tag: str
    summary: str
    description: str
    parameters: Sequence[Mapping[str, Any]]
    content: Mapping[str, Any]
    schemas: Mapping[str, Any] = field(default_factory=dict)
    statuses: tuple[int, ...] = ()


def describe(handler: Handler, operation: Operation) -> Handler:
    """The handler, with what the document says of it."""
    setattr(handler, _ATTRIBUTE, operation)
    return handler


def operation_of(handler: object) -> Operation | None:
    """What was said of a handler, if anything was."""
    found = getattr(handler, _ATTRIBUTE, None)
    return found if isinstance(found, Operation) else None
