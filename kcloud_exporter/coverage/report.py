"""Report: a page's coverage as text for a terminal, what is understood first, what is not last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kcloud_exporter.coverage.examine import Coverage, Family, Use

_THINGS = {
    "device": "device",
    "device_sensor": "device",
    "partition": "device",
    "share": "device",
    "node": "node",
    "pod": "node",
    "sensor": "sensor",
}
_FEW = 20


def report(name: str, coverage: Coverage, *, everything: bool) -> str:
    """The report of one page. Without `everything` a long list of unknown families is cut."""
    known, unknown = coverage.understood, coverage.unknown
    own = sum(family.own for family in coverage.families)
    vendors = Counter(use.vendor for family in known for use in family.uses if use.samples)
    tables = f" by {', '.join(v for v, _ in vendors.most_common())}" if vendors else ""
    lines = [f"{name}: {len(known)} of {len(coverage.families) - own} families understood{tables}"]
    lines += [f"  {what}: {_some(things)}" for what, things in _what_is_told(coverage) if things]
    if known:
        lines += ["", *_table(known)]
    if unknown:
        shown = unknown if everything else unknown[:_FEW]
        lines += ["", "not understood:", *(_unknown(family) for family in shown)]
        if len(unknown) > len(shown):
            lines.append(f"  ... and {len(unknown) - len(shown)} more: --all shows them")
    if own:
        lines += ["", f"{own} families of the exporter's own process are left out"]
    return "\n".join(lines) + "\n"


def _what_is_told(coverage: Coverage) -> Iterable[tuple[str, frozenset[str]]]:
    return ("nodes", coverage.nodes), ("devices", coverage.devices), ("holders", coverage.holders)


def _some(things: Iterable[str]) -> str:
    texts = sorted(things)
    return f"{len(texts)}: {', '.join(texts[:4])}{', ...' if len(texts) > 4 else ''}"


def _table(families: Iterable[Family]) -> list[str]:
    rows = [("FAMILY", "SAMPLES", "TABLE", "BECOMES", "OF")]
    for family in families:
        name = family.name
        for use in family.uses:
            if use.samples:
                rows.append((name, str(use.samples), use.vendor, _becomes(use), _of(use)))
                name = ""
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    return [
        f"{'  '.join(text.ljust(width) for text, width in zip(row, widths, strict=False))}  {row[4]}" for row in rows
    ]


def _becomes(use: Use) -> str:
    return f"{use.to} ({use.unit})" if use.unit not in ("", "state") else use.to


def _of(use: Use) -> str:
    thing = _THINGS.get(use.entity)
    count = len(use.things)
    told = [f"{count} {thing}{'' if count == 1 else 's'}"] if thing else []
    told += [f"{use.left} left alone (where)"] if use.left else []
    told += [f"{use.refused} beyond its bounds: sentinels, or is the unit right?"] if use.refused else []
    return ", ".join(told)


def _unknown(family: Family) -> str:
    count = f"{family.samples} sample{'' if family.samples == 1 else 's'}"
    if family.uses:
        tables = ", ".join(sorted({use.vendor for use in family.uses}))
        return f"  {family.name}: {count}, of which {tables} means none"
    near = f"; near: {family.near}" if family.near else ""
    text = f" ({family.help})" if family.help else ""
    return f"  {family.name}: {count}{text}{near}"
