"""Which labels the series of an expression have, and whether what it groups, joins and matches by exists at all.

A small type checker for PromQL: `schema` says which labels each name has. An unknown name, a matcher on a label that
the family lacks, `by` and `on` over labels that are not there, and a join of unlike series are mistakes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import promql_parser as promql

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.recording import Recording
from kcloud_exporter.artefacts.rules import recording_groups
from kcloud_exporter.artefacts.values import Values
from kcloud_exporter.commands.generate import own_families

Labels: TypeAlias = frozenset[str]
Schema: TypeAlias = Mapping[str, Labels]

TARGET: Labels = frozenset({"job", "instance", "shard"})
OF_PROMETHEUS: Schema = {
    "up": TARGET,
    "scrape_duration_seconds": TARGET,
    "process_cpu_seconds_total": TARGET,
    "process_resident_memory_bytes": TARGET,
    "process_start_time_seconds": TARGET,
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "cluster", "site"}),
}
"""What Prometheus and every process have, as far as rules and panels use it."""
KEEPS_ALL = {"topk", "bottomk", "limitk"}


class MistakeError(AssertionError):
    """What is wrong with an expression."""


def page_schema() -> dict[str, Labels]:
    """Every family of the page, with the labels of the target that Prometheus adds."""
    families = [*catalogue.FAMILIES.values(), catalogue.cluster_info(()), *own_families()]
    schema = {family.name: frozenset(family.labels) | TARGET for family in families}
    buckets = {f"{f.name}_bucket": schema[f.name] | {"le"} for f in families if str(f.type) == "histogram"}
    return schema | buckets | dict(OF_PROMETHEUS)


def full_schema(values: Values) -> dict[str, Labels]:
    """The page and what is recorded of it: each rule is checked with the names that stand before it."""
    schema = page_schema()
    for group in recording_groups(values):
        for rule in group.rules:
            schema[rule.record] = recorded_labels(rule, schema)
    return schema


def recorded_labels(rule: Recording, schema: Schema) -> Labels:
    """The labels of a recorded series."""
    return check(rule.expr, schema) | {name for name, _ in rule.labels}


def check(expr: str, schema: Schema) -> Labels:
    """The labels of the result. Raises MistakeError that names the expression."""
    try:
        return _labels(promql.parse(expr), schema) or frozenset()
    except MistakeError as exc:
        raise MistakeError(f"{exc}\nin: {expr}") from None
    except ValueError as exc:
        raise MistakeError(f"{exc}\nin: {expr}") from None


def _labels(node: Any, schema: Schema) -> Labels | None:
    """Labels of a vector; None for a scalar or a text."""
    match node:
        case promql.VectorSelector():
            return _selector(node, schema)
        case promql.MatrixSelector():
            return _selector(node.vector_selector, schema)
        case promql.NumberLiteral() | promql.StringLiteral():
            return None
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return _labels(node.expr, schema)
        case promql.Call():
            return _call(node, schema)
        case promql.AggregateExpr():
            return _aggregate(node, schema)
        case promql.BinaryExpr():
            return _binary(node, schema)
    raise MistakeError(f"{type(node).__name__} is not known here")


def _selector(node: Any, schema: Schema) -> Labels:
    if node.name not in schema:
        raise MistakeError(f"there is no series {node.name}")
    _within({m.name for m in node.matchers.matchers}, schema[node.name], f"matchers of {node.name}")
    return schema[node.name]


def _call(node: Any, schema: Schema) -> Labels | None:
    inner = [_labels(argument, schema) for argument in node.args]
    vectors = [labels for labels in inner if labels is not None]
    match node.func.name:
        case "vector":
            return frozenset()
        case "time":
            return None
        case "absent":
            return frozenset(m.name for m in node.args[0].matchers.matchers)
        case "label_replace":
            return vectors[0] | {node.args[1].val}
        case "histogram_quantile":
            _within({"le"}, vectors[0], "histogram_quantile")
            return vectors[0] - {"le"}
    return vectors[0] if vectors else None


def _aggregate(node: Any, schema: Schema) -> Labels:
    inner = _labels(node.expr, schema)
    if inner is None:
        raise MistakeError(f"{node.op} of a scalar")
    if node.modifier is None:
        return inner if str(node.op).rpartition(".")[2].lower() in KEEPS_ALL else frozenset()
    named = set(node.modifier.labels)
    _within(named, inner, f"{node.op} {node.modifier}")
    return inner - named if "without" in str(node.modifier) else frozenset(named)


def _binary(node: Any, schema: Schema) -> Labels | None:
    left, right = _labels(node.lhs, schema), _labels(node.rhs, schema)
    if left is None or right is None:
        return right if left is None else left
    modifier, operator = node.modifier, str(node.op).rpartition(".")[2].lower()
    matching = modifier.matching if modifier else None
    on = set(matching.labels) if matching else None
    if on is not None:
        for side in (left, right):
            _within(on, side, f"on ({', '.join(sorted(on))})")
    elif left != right and operator not in ("or", "lor"):
        raise MistakeError(f"{operator} joins {sorted(left)} with {sorted(right)}: say on which labels")
    if operator in ("and", "land", "unless", "lunless"):
        return left
    if operator in ("or", "lor"):
        return left | right
    many = str(modifier.card) if modifier else ""
    added = set((modifier and modifier.group_labels) or ())
    if many.endswith("ManyToOne"):
        _within(added, right, "group_left")
        return left | added
    if many.endswith("OneToMany"):
        _within(added, left, "group_right")
        return right | added
    return frozenset(on) if on is not None else left


def _within(named: set[str], labels: Labels, where: str) -> None:
    if named - labels:
        raise MistakeError(f"{where}: no label {', '.join(sorted(named - labels))} among {', '.join(sorted(labels))}")
