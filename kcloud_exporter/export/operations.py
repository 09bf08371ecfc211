"""Operations: what the OpenAPI document says of exports."""

from __future__ import annotations

from typing import Any, Final

from kcloud_exporter.export.report.asked import FORMATS as REPORT_FORMATS
from kcloud_exporter.export.report.asked import LANGUAGES, TEMPLATES
from kcloud_exporter.export.request import BREAKDOWNS, FORMATS, LEVELS, MEDIA_TYPE, RESOURCES
from kcloud_exporter.web.operations import Operation, names, query

_TIME: Final = {"type": "string", "minLength": 1, "maxLength": 40}
_DURATION: Final = {"type": "string", "pattern": r"^(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$", "minLength": 2}
_SPAN: Final = (
    query("period", "A time span that ends now or at end_time; a month is 30d.", _DURATION, "24h"),
    query("start_time", "Where it begins: RFC 3339 with a zone, or Unix seconds.", _TIME, "2026-11-24T09:00:00+09:00"),
    query("end_time", "Where it ends; now, if nothing is said.", _TIME, "2026-11-24T10:00:00+09:00"),
    query("step", "Time from one row of a series to the next.", _DURATION, "5m"),
)
_WHERE: Final = (
    names("cluster", "Only this cluster.", "seoul-a"),
    names("node", "Only this node.", "gpu-1"),
    names("namespace", "Only this namespace.", "ml-team"),
)
_FORMAT: Final = query(
    "format", "The kind of file.", {"type": "string", "enum": list(FORMATS), "default": "json"}, "json"
)
_FILES: Final[dict[str, Any]] = {
    "application/json": {
        "schema": {"type": "object", "description": "The provenance, the columns, and the rows."},
        "example": {},
    },
    **{
        MEDIA_TYPE[name].split(";")[0]: {"schema": {"type": "string", "format": "binary"}, "example": ""}
        for name in FORMATS
        if name != "json"
    },
}


def _types(values: list[str], default: str) -> dict[str, Any]:
    return query("resource_type", "Of what.", {"type": "string", "enum": values, "default": default}, default)


POWER: Final = Operation(
    "export",
    "Power as a file",
    "Power and energy over a time span, row by row, with its provenance inside. Totals are those of the energy "
    "counters. Too large a file is refused before any work.",
    (
        _FORMAT,
        *_SPAN,
        *_WHERE,
        _types(list(RESOURCES), "all"),
        query(
            "breakdown_by",
            "How to divide it.",
            {"type": "string", "enum": list(BREAKDOWNS), "default": "cluster"},
            "node",
        ),
    ),
    _FILES,
    statuses=(404, 413, 503),
)
METRICS: Final = Operation(
    "export",
    "Metrics as a file",
    "Everything that history keeps of one kind of thing over a time span, or some of it.",
    (
        _FORMAT,
        *_SPAN,
        *_WHERE,
        _types(list(LEVELS), "accelerators"),
        query("metric_name", "Only these, with commas between.", {"type": "string", "minLength": 1}, "power_watts"),
    ),
    _FILES,
    statuses=(404, 413, 503),
)
_DATE: Final = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
REPORT: Final = Operation(
    "export",
    "A report",
    "Power, energy, cost, carbon, PUE and completeness of whole days, with charts.",
    (
        query("template", "Which days.", {"type": "string", "enum": list(TEMPLATES), "default": "daily"}, "weekly"),
        query("format", "The kind of file.", {"type": "string", "enum": list(REPORT_FORMATS), "default": "pdf"}, "pdf"),
        query("lang", "Its language.", {"type": "string", "enum": list(LANGUAGES), "default": "en"}, "ko"),
        query("tz", "Time zone of its days; usually the site's.", {"type": "string"}, "Asia/Seoul"),
        query("start_date", "A day of the span; the first one of a custom report.", _DATE, "2026-11-23"),
        query("end_date", "The last day of a custom report.", _DATE, "2026-11-24"),
        names("cluster", "Only this cluster.", "seoul-a"),
    ),
    {
        MEDIA_TYPE[name].split(";")[0]: {"schema": {"type": "string", "format": "binary"}, "example": ""}
        for name in REPORT_FORMATS
    },
    statuses=(404, 413, 503),
)


def _listed(summary: str, description: str, kind: str, row: dict[str, Any]) -> Operation:
    keys = ("timestamp", "cluster", "resource_type", "data", "metadata")
    values: tuple[Any, ...] = ("2026-11-24T00:00:00.000Z", None, kind, [row], {})
    example = dict(zip(keys, values, strict=True))
    content = {"schema": {"type": "object", "required": list(keys)}, "example": example}
    return Operation("export", summary, description, (), {"application/json": content})


FORMATS_LISTED: Final = _listed(
    "Kinds of files",
    "The formats with their media type, suffix and most rows.",
    "export_formats",
    {"format": "csv", "media_type": "text/csv", "extension": "csv", "max_rows": 20_000_000},
)
TEMPLATES_LISTED: Final = _listed(
    "Kinds of reports",
    "The templates, which days each means, and its formats and languages.",
    "report_templates",
    {
        "template": "daily",
        "description": "the day of start_date, or yesterday",
        "formats": ["pdf"],
        "languages": ["en"],
    },
)
