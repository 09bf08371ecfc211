"""Operations: what the OpenAPI document says of the streams. WebSockets have no place in it."""

from __future__ import annotations

from typing import Final, get_args

from kcloud_exporter.stream.filters import MOST_ROWS, MOST_THRESHOLDS, MOST_VALUES, RESOURCE_TYPES, Breakdown
from kcloud_exporter.web.operations import Operation, names, query

_WATTS: Final = {"type": "number", "exclusiveMinimum": 0}
EVENTS: Final = Operation(
    "monitoring",
    "Power as it happens",
    "Server-sent events: `power_update` after each cycle, `threshold_exceeded` and `threshold_resolved`, `gap` for one "
    "that comes back too late. It ends when the client goes.",
    (
        names("cluster", "Only these clusters.", "seoul-a", MOST_VALUES),
        names("node", "Only these nodes.", "gpu-1", MOST_VALUES),
        names("namespace", "Only these namespaces.", "ml-team", MOST_VALUES),
        query("resource_type", "Only this.", {"type": "string", "enum": list(RESOURCE_TYPES), "default": "all"}, "gpu"),
        query("breakdown_by", "How to divide it.", {"type": "string", "enum": list(get_args(Breakdown))}, "namespace"),
        query("limit", "Most rows of an event.", {"type": "integer", "minimum": 1, "maximum": MOST_ROWS}, 100),
        query("interval", "Seconds between events.", {"type": "number", "minimum": 1, "maximum": 3600}, 60),
        query(
            "threshold_watts",
            "Tell when the power rises above these, and when it is well below again.",
            {"type": "array", "items": _WATTS, "maxItems": MOST_THRESHOLDS},
            [5000],
        ),
        query("last_event_id", "Go on after this event; the same as the header Last-Event-ID.", {"type": "string"}),
        query(
            "view", "What an event tells.", {"type": "string", "enum": ["power", "live"], "default": "power"}, "power"
        ),
    ),
    {"text/event-stream": {"schema": {"type": "string"}, "example": "event: power_update\nid: 7\ndata: {}\n\n"}},
    statuses=(404, 503),
)
