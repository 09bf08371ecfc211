"""Checks: what no single field can know. Names that must differ, names that must exist, files that must be there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from kcloud_exporter.config.endpoints import exporter_names, host_port, shortened
from kcloud_exporter.config.environment import names_a_variable
from kcloud_exporter.config.messages import Problem
from kcloud_exporter.config.schema import ClusterConfig, SiteConfig, SourceConfig, WorkUnit

KNOWN_DEFAULTS: Final = frozenset(
    {"changeme", "change-me", "admin", "password", "secret", "change-this-secret-key", "your-secret-key"}
)
"""Passwords that everybody knows; the original project shipped some of them."""

_SECRETS: Final = ("password", "bearer_token")
_SECRET_FILES: Final = ("password_file", "bearer_token_file")
_FILES: Final = (*_SECRET_FILES, "ca_file", "cert_file", "key_file")
_FREE: Final = ("labels", "match", "aliases")
"""Mappings whose keys are the user's own: a label may be called password."""
_DEFAULT_PASSWORD: Final = "this is a well-known default password; choose another"  # noqa: S105


def literal_secrets(data: Any) -> list[Problem]:
    """Secrets that stand in the file itself: files are copied, committed and shown. For data before substitution."""
    return [
        (place, f"a secret does not stand in the file; write ${{VARIABLE}}, or use {key}_file")
        for place, key, holder in _entries(data)
        if key in _SECRETS and holder[key] is not None and not names_a_variable(holder[key])
    ]


def resolve_files(data: Any, folder: Path) -> list[Problem]:
    """Make the paths in `data` relative to `folder`, in place, and tell those that cannot be read."""
    problems: list[Problem] = []
    for place, key, holder in _entries(data):
        value = holder[key]
        if not isinstance(value, str):
            continue
        if key in _FILES:
            file = folder / value
            holder[key] = str(file)
            problems += [(place, trouble) for trouble in _trouble(file, secret=key in _SECRET_FILES)]
        elif key == "vendors_dir":
            holder[key] = str(folder / value)
            if not (folder / value).is_dir():
                problems.append((place, f"there is no folder {folder / value}"))
        elif key in _SECRETS and value.lower() in KNOWN_DEFAULTS:
            problems.append((place, _DEFAULT_PASSWORD))
    return problems


def _trouble(file: Path, *, secret: bool) -> Iterator[str]:
    """What is wrong with a file, if anything."""
    if not file.is_file():
        yield f"there is no file {file}"
        return
    try:
        content = file.read_bytes()
    except OSError as exc:
        yield f"{file} cannot be read: {exc.strerror}"
        return
    if secret and content.decode(errors="replace").strip().lower() in KNOWN_DEFAULTS:
        yield _DEFAULT_PASSWORD


def _entries(value: Any, place: str = "") -> Iterator[tuple[str, Any, dict[Any, Any]]]:
    """Place, key and holder of every entry of every mapping whose keys are ours."""
    if isinstance(value, dict):
        for key, inner in list(value.items()):
            here = f"{place}.{key}" if place else str(key)
            yield here, key, value
            if key not in _FREE:
                yield from _entries(inner, here)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _entries(item, f"{place}.{at}")


def check_clusters(clusters: Mapping[int, ClusterConfig]) -> list[Problem]:
    """Names and endpoints that must differ. Keys are the clusters' numbers in the file."""
    problems: list[Problem] = []
    taken: set[str] = set()
    for at, cluster in clusters.items():
        if cluster.name in taken:
            problems.append((f"clusters.{at}.name", f"{cluster.name!r} stands twice; every cluster has its own name"))
        taken.add(cluster.name)
        problems += _check_sources(f"clusters.{at}.sources", cluster.sources)
    return problems


def _check_sources(place: str, sources: Sequence[SourceConfig]) -> Iterator[Problem]:
    endpoints: dict[tuple[str, frozenset[tuple[str, str]]], int] = {}
    names: dict[str, int] = {}
    for number, source in enumerate(sources):
        again = [e for e in _endpoints(source) if endpoints.setdefault(e, number) != number]
        for url, _ in again:
            yield f"{place}.{number}", f"{shortened(url)} is already read by sources.{endpoints[url, again[0][1]]}"
        if again:
            continue
        for name, often in Counter(source_names(source)).items():
            if often > 1:
                yield (
                    f"{place}.{number}",
                    f"{often} targets would be called {name!r}; make each a source with a name of its own",
                )
            elif names.setdefault(name, number) != number:
                yield (
                    f"{place}.{number}",
                    f"sources.{names[name]} is called {name!r} too; give one of them another name",
                )


def _endpoints(source: SourceConfig) -> Iterator[tuple[str, frozenset[tuple[str, str]]]]:
    """What is read: a URL, and of a Prometheus the part that the matchers leave."""
    if source.prometheus is not None:
        yield source.prometheus.url.rstrip("/"), frozenset(source.prometheus.match.items())
    if source.exporter is not None:
        for url in source.exporter.targets:
            yield (url if urlsplit(url).path else f"{url}/metrics"), frozenset()


def source_names(source: SourceConfig) -> list[str]:
    """The values of the label `source` that a source will show, one per endpoint."""
    if source.prometheus is not None:
        return [source.prometheus.name or f"prometheus@{host_port(source.prometheus.url)}"]
    assert source.exporter is not None  # noqa: S101 - the schema wants exactly one of the two
    exporter = source.exporter
    return exporter_names(exporter.vendor, exporter.name, exporter.targets)


def check_sites(sites: Mapping[int, SiteConfig], clusters: Sequence[str]) -> list[Problem]:
    """Names that must differ, clusters that must exist, meters that must not count twice."""
    problems: list[Problem] = []
    taken: set[str] = set()
    for at, site in sites.items():
        if site.name in taken:
            problems.append((f"sites.{at}.name", f"{site.name!r} stands twice; every site has its own name"))
        taken.add(site.name)
        users = [(f"facility_power.{n}", meter.cluster) for n, meter in enumerate(site.facility_power)]
        if site.carbon_intensity is not None and site.carbon_intensity.cluster is not None:
            users.append(("carbon_intensity", site.carbon_intensity.cluster))
        problems += [
            (f"sites.{at}.{place}.cluster", f"there is no cluster {name!r}; known: {', '.join(clusters)}")
            for place, name in users
            if name not in clusters
        ]
        seen: dict[tuple[object, ...], int] = {}
        for n, meter in enumerate(site.facility_power):
            first = seen.setdefault((meter.cluster, meter.metric, frozenset(meter.labels.items()), meter.category), n)
            if first != n:
                problems.append((f"sites.{at}.facility_power.{n}", f"the same meter as facility_power.{first}"))
    return problems


def check_work(work: Mapping[int, WorkUnit], sites: Mapping[int, SiteConfig], clusters: Sequence[str]) -> list[Problem]:
    """Clusters that must exist, and series that must not be counted twice or mean two things."""
    problems: list[Problem] = []
    meters = {
        (meter.cluster, meter.metric): f"sites.{at}.facility_power.{n}"
        for at, site in sites.items()
        for n, meter in enumerate(site.facility_power)
    }
    for at, counter in work.items():
        problems += [
            (f"work_units.{at}.clusters", f"there is no cluster {name!r}; known: {', '.join(clusters)}")
            for name in counter.clusters
            if name not in clusters
        ]
        if len(set(counter.clusters)) < len(counter.clusters):
            problems.append((f"work_units.{at}.clusters", "a cluster stands twice"))
        for (cluster, metric), place in meters.items():
            if metric == counter.metric and (not counter.clusters or cluster in counter.clusters):
                problems.append((f"work_units.{at}.metric", f"{metric!r} is read as watts by {place}"))
        for n, other in work.items():
            if n < at and _both_count(counter, other):
                same = "the same counter as" if counter.labels == other.labels else "counts series again that belong to"
                problems.append((f"work_units.{at}", f"{same} work_units.{n}; every series counts once per unit"))
                break
    return problems


def _both_count(one: WorkUnit, other: WorkUnit) -> bool:
    """Whether there can be a series of which both take the same unit."""
    if (one.unit, one.metric) != (other.unit, other.metric):
        return False
    if one.clusters and other.clusters and not set(one.clusters) & set(other.clusters):
        return False
    return all(one.labels[name] == other.labels[name] for name in one.labels.keys() & other.labels.keys())
