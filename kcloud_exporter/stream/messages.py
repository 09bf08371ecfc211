"""Messages: what a client may say on a WebSocket. Anything else is answered by an error that names it."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from kcloud_exporter.errors import StreamError

MESSAGE_BYTES: Final = 4096
Texts: TypeAlias = str | list[str] | None
Numbers: TypeAlias = float | list[float] | None


class _Said(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag=str.lower):
    """One message; `type` says which."""


class Subscribe(_Said, frozen=True):
    """From now on another filter: the same names as in the query string, lists for those that may be repeated."""

    cluster: Texts = None
    node: Texts = None
    namespace: Texts = None
    resource_type: str | None = None
    metric_name: str | None = None
    breakdown_by: str | None = None
    limit: int | None = None
    interval: float | None = None
    threshold_watts: Numbers = None
    view: str | None = None
    last_event_id: str | None = None

    def pairs(self) -> list[tuple[str, str]]:
        """(name, text) as a query string would have them."""
        found = []
        for name in self.__struct_fields__:
            given = getattr(self, name)
            if given is not None and name != "last_event_id":
                found += [(name, str(each)) for each in (given if isinstance(given, list) else [given])]
        return found


class Unsubscribe(_Said, frozen=True):
    """Nothing more, until the next subscribe."""


class Ping(_Said, frozen=True):
    """Answered with a pong; for clients that cannot send a WebSocket's own ping."""


Message: TypeAlias = Subscribe | Unsubscribe | Ping
_decoder: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(Message, strict=True)


def read_message(text: str) -> Message:
    """The message in a text frame. Raises StreamError (400) that says what is wrong with it."""
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise StreamError(400, f"this message is not understood: {str(exc)[:200]}") from None
