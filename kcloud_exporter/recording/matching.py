"""Matching: which source of a configuration is which one of a recording. They must be the same, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kcloud_exporter.config.schema import Config
from kcloud_exporter.errors import ConfigError, RecordingError
from kcloud_exporter.pipeline.cluster import facility_meters, work_meters
from kcloud_exporter.recording.events import SourceOf
from kcloud_exporter.recording.reading import Recording
from kcloud_exporter.sources.base import Source
from kcloud_exporter.sources.intake import ExporterIntake
from kcloud_exporter.vendors.mapping import VendorIndex

_Key = tuple[str, str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Matched:
    """A source, and what it was when it was recorded."""

    recorded: SourceOf
    source: Source

    def part(self, part: int, place: str) -> int:
        """The number of what a recorded answer answers: targets may stand in another order now."""
        if not isinstance(self.source.intake, ExporterIntake):
            return part
        if not 0 <= part < len(self.recorded.names):
            raise RecordingError(f"{place}: this source has no target {part}")
        return self.source.names.index(self.recorded.names[part])


def kind_of(source: Source) -> str:
    """`exporter` or `prometheus`."""
    return "exporter" if isinstance(source.intake, ExporterIntake) else "prometheus"


def matched(recording: Recording, sources: Sequence[Source]) -> list[Matched]:
    """The sources in the order of the recording. Raises ConfigError that tells every one without a match."""
    mine: dict[_Key, Source] = {(s.cluster, kind_of(s), frozenset(s.names)): s for s in sources}
    theirs: dict[_Key, SourceOf] = {(s.cluster, s.kind, frozenset(s.names)): s for s in recording.head.sources}
    only = f"{recording.path} can only be replayed with the sources that it holds"
    problems = [f"clusters: {_told(key)} is missing; {only}" for key in theirs.keys() - mine.keys()]
    problems += [f"clusters: {_told(key)} was not recorded; {only}" for key in mine.keys() - theirs.keys()]
    if problems:
        raise ConfigError(sorted(problems))
    return [Matched(of, mine[key]) for key, of in theirs.items()]


def _told(key: _Key) -> str:
    cluster, kind, names = key
    first = min(names)
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"the {kind} {first!r}{more} of cluster {cluster!r}"


def unasked(before: tuple[Config, VendorIndex], after: tuple[Config, VendorIndex]) -> dict[str, list[str]]:
    """Cluster → names of series that another configuration would ask its Prometheus for, and the recorded did not.

    They are not in the recording. Pages of exporters hold everything, asked for or not.
    """
    found = {}
    for cluster in after[0].clusters:
        if any(source.prometheus is not None for source in cluster.sources):
            asked, wanted = (_names(of, vendors, cluster.name) for of, vendors in (before, after))
            if missing := sorted(wanted - asked):
                found[cluster.name] = missing
    return found


def _names(config: Config, vendors: VendorIndex, cluster: str) -> set[str]:
    work = {meter.metric for meter in work_meters(config, cluster)}
    return {*vendors.names(), *facility_meters(config, cluster), *work}
