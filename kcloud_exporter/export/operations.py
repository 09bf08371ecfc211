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
_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TEXTS: Final[dict[str, Any]] = {"type": "object", "additionalProperties": _TEXT}
_NUMBER: Final[dict[str, Any]] = {"type": ["number", "null"]}


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An object with these properties and no others, or such others as `more` tells."""
    closed = {"additionalProperties": False, **more}
    return {"type": "object", "required": list(properties), "properties": properties, **closed}


_ORIGIN: Final = _object(
    {
        "program": {"const": "kcloud-exporter"},
        "version": _TEXT,
        "config_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "ledger": _TEXTS,
        "history": {"enum": ["embedded", "prometheus"]},
        "generated_at": _TEXT,
        "dataset": {"enum": ["power", "metrics"]},
        "window": _object({"start": _TEXT, "end": _TEXT, "step_seconds": {"type": "number"}, "timezone": _TEXT}),
        "filters": _TEXTS,
        "completeness": {"type": "object", "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1}},
        "complete": {"type": "boolean"},
        "units": _TEXT,
        "absent": _TEXT,
        "totals": {
            "type": "object",
            "required": ["rows"],
            "additionalProperties": False,
            "properties": {
                "rows": {"type": "integer", "minimum": 0},
                "energy_joules": {"type": "number"},
                "energy_kwh": {"type": "number"},
            },
        },
    }
)
_CLUSTER: Final[dict[str, Any]] = {"type": ["string", "null"]}
_SPANNED: Final = {
    "program": "kcloud-exporter",
    "version": "1.0.0",
    "config_sha256": "0" * 64,
    "ledger": {"idle": "unattributed"},
    "history": "embedded",
    "generated_at": "2026-11-24T10:00:01Z",
    "dataset": "power",
    "window": {
        "start": "2026-11-24T09:00:00Z",
        "end": "2026-11-24T10:00:00Z",
        "step_seconds": 3600.0,
        "timezone": "UTC",
    },
    "filters": {"breakdown_by": "cluster"},
    "completeness": {"seoul-a": 1.0},
    "complete": True,
    "units": "base units",
    "absent": "an empty value is unknown, never nought",
    "totals": {"rows": 1, "energy_joules": 3.6e6, "energy_kwh": 1.0},
}


def _files(dataset: str, numbers: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """The files of a dataset by media type.

    A row of the JSON has its numbers, and labels as text; null where a family of several has no such label.
    """
    label = {"type": ["string", "null"]}
    row = _object({"timestamp": _TEXT, **numbers, "completeness_ratio": _NUMBER}, additionalProperties=label)
    schema = _object(
        {
            "timestamp": _TEXT,
            "cluster": _CLUSTER,
            "resource_type": {"const": f"{dataset}_export"},
            "data": {"type": "array", "items": row},
            "metadata": _ORIGIN,
        }
    )
    told = {"timestamp": "2026-11-24T10:00:00Z", **example, "completeness_ratio": 1.0}
    whole = {
        "timestamp": "2026-11-24T10:00:01Z",
        "cluster": None,
        "resource_type": f"{dataset}_export",
        "data": [told],
        "metadata": _SPANNED | {"dataset": dataset},
    }
    return {
        "application/json": {"schema": schema, "example": whole},
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
    _files(
        "power",
        {"power_watts": _NUMBER, "energy_joules": _NUMBER},
        {"cluster": "seoul-a", "component": "gpu", "power_watts": 1000.0, "energy_joules": 3.6e6},
    ),
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
    _files(
        "metrics",
        {"metric": _TEXT, "value": _NUMBER, "unit": _TEXT},
        {"metric": "kcloud_node_power_watts", "cluster": "seoul-a", "node": "gpu-1", "value": 900.0, "unit": "watts"},
    ),
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


_NAMES: Final[dict[str, Any]] = {"type": "array", "items": _TEXT}


def _listed(summary: str, description: str, kind: str, row: dict[str, Any], more: dict[str, Any]) -> Operation:
    """A list in the envelope; the schema of a row, and of what metadata tells besides, is that of the examples."""
    keys = ("timestamp", "cluster", "resource_type", "data", "metadata")
    values: tuple[Any, ...] = ("2026-11-24T00:00:00Z", None, kind, [row], more)
    schema = _object(
        {
            "timestamp": _TEXT,
            "cluster": {"type": "null"},
            "resource_type": {"const": kind},
            "data": {"type": "array", "items": _like(row)},
            "metadata": _like(more),
        }
    )
    content = {"schema": schema, "example": dict(zip(keys, values, strict=True))}
    return Operation("export", summary, description, (), {"application/json": content})


def _like(example: Any) -> dict[str, Any]:
    """The schema of everything that is made like an example."""
    if isinstance(example, dict):
        return _object({name: _like(value) for name, value in example.items()})
    if isinstance(example, list):
        return _NAMES
    return {"type": "integer"} if isinstance(example, int) else _TEXT


FORMATS_LISTED: Final = _listed(
    "Kinds of files",
    "The formats with their media type, suffix and most rows.",
    "export_formats",
    {"format": "csv", "media_type": "text/csv", "extension": "csv", "max_rows": 20_000_000, "datasets": ["power"]},
    {"breakdown_by": ["cluster"], "resource_type": {"power": ["all"], "metrics": ["nodes"]}},
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
    {"parameters": ["template"]},
)
