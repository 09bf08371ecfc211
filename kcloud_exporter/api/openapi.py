"""OpenAPI 3.1: the document, generated from what the router serves and what its handlers say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiohttp import web
from pydantic import TypeAdapter

from kcloud_exporter import __version__
from kcloud_exporter.api.answers import Envelope
from kcloud_exporter.api.parameters import Parameter
from kcloud_exporter.api.routes import Route
from kcloud_exporter.web.operations import Operation, operation_of

_REFERENCE: Final = "#/components/schemas/"
_DEPTH: Final = 12
_DESCRIPTION: Final = """\
Every answer is drawn from one snapshot, or from history where a time span is asked for, and stands in one envelope:
`timestamp`, `cluster`, `resource_type`, `data`, `metadata`. A number that nobody reports is null, never 0; what is
missing is told in `metadata`. Answers from a snapshot carry an ETag: send it back as `If-None-Match`.
"""
_TAGS: Final = {
    "accelerators": "GPUs, NPUs and TPUs",
    "infrastructure": "Nodes, pods, containers and virtual machines",
    "hardware": "Sensors of servers",
    "clusters": "Clusters",
    "monitoring": "Power now and over time",
    "export": "Files",
    "explain": "Why a number is what it is",
    "system": "The exporter itself",
    "auth": "Credentials",
}
_ERRORS: Final = {
    400: "A parameter is unknown, or its value is.",
    401: "Credentials are needed.",
    404: "There is no such thing; the message names it.",
    413: "More than a file may hold; the message says what to ask for instead.",
    422: "More than one answer may hold; the message says what to ask for instead.",
    429: "Too many requests.",
    500: "A defect of the exporter.",
    503: "Nothing to answer from: no snapshot yet, or no history is kept.",
}
_ETAG: Final[dict[str, Any]] = {
    "headers": {
        "ETag": {
            "description": "What to send back as `If-None-Match`.",
            "required": True,
            "schema": {"type": "string", "pattern": '^W/"[0-9a-f]{24}"$'},
        }
    }
}
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Every error.",
    "required": ["error", "timestamp"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string", "examples": ["not_found"]},
                "message": {"type": "string", "examples": ["there is no cluster 'c9'; known: seoul-a, seoul-b"]},
                "details": {"type": "object", "examples": [{"cluster": "c9"}]},
            },
        },
        "timestamp": {"type": "string", "format": "date-time", "examples": ["2026-11-24T00:00:00.000Z"]},
    },
}


def operation(route: Route) -> Operation:
    """What the document says of a route of the API."""
    enveloped: Any = Envelope.__class_getitem__(route.model)
    schema = TypeAdapter(enveloped).json_schema(mode="serialization", ref_template=_REFERENCE + "{model}")
    schemas = {_plain(name): _renamed(part) for name, part in schema.pop("$defs", {}).items()}
    schema = _renamed(schema)
    schema["title"] = f"{route.resource_type} in its envelope"
    content = {"application/json": {"schema": schema, "example": example_of(schema, schemas)}}
    parameters = [parameter_object(each) for each in route.parameters]
    looked_up = any(each.path or each.name in ("cluster", "node", "namespace") for each in route.parameters)
    statuses = ((404,) if looked_up else ()) + ((422,) if route.ask else ()) + (503,)
    tagged = route.draw is not None
    return Operation(route.tag, route.summary, route.description, parameters, content, schemas, statuses, tagged)


def _plain(name: str) -> str:
    """A schema's name without what the document does not allow in names."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)


def _renamed(schema: Any) -> Any:
    """A schema whose references use plain names."""
    if isinstance(schema, dict):
        return {
            key: _REFERENCE + _plain(value.removeprefix(_REFERENCE)) if key == "$ref" else _renamed(value)
            for key, value in schema.items()
        }
    return [_renamed(each) for each in schema] if isinstance(schema, list) else schema


def parameter_object(parameter: Parameter) -> dict[str, Any]:
    """A parameter in OpenAPI's terms."""
    told: dict[str, Any] = {
        "name": parameter.name,
        "in": "path" if parameter.path else "query",
        "description": parameter.description,
        "required": parameter.required,
        "schema": dict(parameter.schema),
    }
    return told | ({"example": parameter.example} if parameter.example is not None else {})


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> Any:
    """An instance of a schema, made of the examples of its fields."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].removeprefix(_REFERENCE)], schemas, depth + 1)
    if schema.get("examples"):
        return schema["examples"][0]
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas, depth + 1)
    kind = schema.get("type")
    if kind == "object" and depth < _DEPTH:
        return {name: example_of(of, schemas, depth + 1) for name, of in schema.get("properties", {}).items()}
    if kind == "array" and depth < _DEPTH:
        return [example_of(schema["items"], schemas, depth + 1)]
    return {"string": "", "boolean": True, "integer": 1, "number": 1.0, "array": [], "object": {}}.get(str(kind))


def document(router: Iterable[web.AbstractRoute]) -> dict[str, Any]:
    """The whole document: every route of the router whose handler says what it does."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    tags: dict[str, str] = {}
    for route in router:
        told = operation_of(route.handler)
        if told is None or route.method == "HEAD" or route.resource is None:
            continue
        schemas |= told.schemas
        tags[told.tag] = _TAGS.get(told.tag, told.tag)
        paths.setdefault(route.resource.canonical, {})[route.method.lower()] = _described(route, told)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kcloud-exporter",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": tags[name]} for name in sorted(tags, key=_rank)],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {
                _answer_name(status): {
                    "description": description,
                    "content": {"application/json": {"schema": {"$ref": _REFERENCE + "Problem"}}},
                }
                for status, description in _ERRORS.items()
            },
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
        "security": [{}, {"basic": []}, {"bearer": []}],
    }


def _rank(tag: str) -> tuple[int, str]:
    """The order of tags in the document: as they stand in the table, others after them."""
    return (list(_TAGS).index(tag) if tag in _TAGS else len(_TAGS)), tag


def _described(route: web.AbstractRoute, told: Operation) -> dict[str, Any]:
    path = route.resource.canonical if route.resource is not None else ""
    words = path.removeprefix("/api/v1").replace("{", "").replace("}", "").replace("-", "_").split("/")
    statuses = sorted({400, 401, 429, 500, *told.statuses})
    return {
        "operationId": "_".join([route.method.lower(), *filter(None, words)]),
        "tags": [told.tag],
        "summary": told.summary,
        "description": told.description,
        "parameters": list(told.parameters),
        "responses": {
            "200": {"description": "The answer.", "content": dict(told.content)} | (_ETAG if told.tagged else {}),
            **({"304": {"description": "The answer is still the one with this ETag.", **_ETAG}} if told.tagged else {}),
            **{str(s): {"$ref": f"#/components/responses/{_answer_name(s)}"} for s in statuses},
        },
    }


def _answer_name(status: int) -> str:
    return f"Error{status}"
