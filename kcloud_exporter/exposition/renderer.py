"""Renderer: snapshot → exposition text. Label texts are kept per row, so a tick formats values and joins.

The text is the same in both formats but for the header lines: TYPE names of counters, UNIT, and `# EOF`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress
from weakref import WeakKeyDictionary

import numpy as np
import orjson

from kcloud_exporter.catalogue import ESCAPES, FAMILIES, Family, Level, braced, cluster_info
from kcloud_exporter.model import Keys, Snapshot, Table

_HELP_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n"})


def header(family: Family, *, openmetrics: bool) -> bytes:
    """HELP, TYPE and (OpenMetrics) UNIT of one family."""
    name = family.name.removesuffix("_total") if openmetrics and family.type == "counter" else family.name
    text = family.help.translate(ESCAPES if openmetrics else _HELP_ESCAPES)
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {family.type}"]
    if openmetrics and family.unit:
        lines.append(f"# UNIT {name} {family.unit}")
    return ("\n".join(lines) + "\n").encode()


def format_values(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[bytes]:
    """Shortest decimal text of finite floats, as one list."""
    text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    return text[1:-1].split(b",") if len(values) else []


class Renderer:
    """Renders tables. Owns the label texts of every series that has been shown."""

    def __init__(self) -> None:
        self._labels: WeakKeyDictionary[Keys, dict[tuple[str, ...], list[bytes]]] = WeakKeyDictionary()

    def lines(self, family: Family, table: Table) -> tuple[bytes, int]:
        """The sample lines of one table and how many there are. NaN rows are left out: absent is not zero."""
        values = table.values
        # Power and energy of one level share their keys, and mostly the names of their labels.
        labels = self._labels.setdefault(table.keys, {}).setdefault(family.labels, [])
        if len(labels) < len(values):
            more = table.keys.rows[len(labels) : len(values)]
            labels.extend(f"{braced(family.labels, row)} ".encode() for row in more)
        shown = np.isfinite(values)
        count = int(shown.sum())
        if not count:
            return b"", 0
        if count == len(values) == len(labels):
            chosen: list[bytes] = labels
        else:
            chosen = list(compress(labels, shown.tolist()))
            values = values[shown]
        name = family.name.encode()
        parts: list[bytes] = [b"\n" + name] * (3 * count)
        parts[0::3] = chosen
        parts[1::3] = format_values(values)
        parts[-1] = b"\n"
        return name + b"".join(parts), count

    def sections(self, snapshot: Snapshot) -> Iterator[Section]:
        """Every family of a snapshot with the lines of each scope, in the order of the catalogue.

        One after the other: the text of a whole large page is never there at once unless the caller keeps it.
        """
        for family in families_of(snapshot):
            parts: dict[str, bytes] = {}
            total = 0
            for scope, tables in (("", snapshot.fleet), *((c.name, c.tables) for c in snapshot.clusters.values())):
                table = tables.get(family.name)
                if table is not None:
                    text, count = self.lines(family, table)
                    total += count
                    if count:
                        parts[scope] = text
            if parts:
                yield Section(family, parts, total)


class Section:
    """One family of one page: the finished lines by cluster ("" = what belongs to no single cluster)."""

    __slots__ = ("family", "parts", "series")

    def __init__(self, family: Family, parts: dict[str, bytes], series: int) -> None:
        self.family, self.parts, self.series = family, parts, series


def wanted(family: Family, levels: frozenset[Level], clusters: frozenset[str]) -> bool:
    """Whether a narrowed page shows a family.

    A page narrowed to clusters leaves the sites out unless they are asked for: where one job is split by
    cluster, every part would carry them and a sum over the jobs would count them several times.
    """
    if levels:
        return family.level in levels
    return not clusters or family.level != "site"


def families_of(snapshot: Snapshot) -> list[Family]:
    """The families that a snapshot can show; `kcloud_cluster_info` has the labels its tables were built with."""
    return [*FAMILIES.values(), cluster_info(snapshot.cluster_labels)]
