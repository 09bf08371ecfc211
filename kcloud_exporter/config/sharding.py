"""Sharding: which clusters and sites belong to this one of several equal exporters.

A site and everything that it is computed from stay together, so that each shard's page is whole in itself, and all
pages together are the page that one exporter would show.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from kcloud_exporter.config.schema import Config


def own_part(config: Config) -> Config:
    """The configuration of this shard: its clusters and its sites; all of it where nothing is divided."""
    if config.sharding is None:
        return config
    groups = _groups(config)
    index, total = config.sharding.index, config.sharding.total
    clusters = tuple(c for c in config.clusters if shard_of(groups[c.site], total) == index)
    sites = tuple(s for s in config.sites if shard_of(groups[s.name], total) == index)
    part = config.model_copy(update={"clusters": clusters, "sites": sites})
    part.remember_labels(config.cluster_labels)
    return part


def shard_of(name: str, total: int) -> int:
    """The shard of a name: the same on every machine and in every version, so that counters stay where they are."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") % total


def _groups(config: Config) -> dict[str, str]:
    """Site → the name of the group that it belongs to: sites that read a meter from each other's clusters are one."""
    site_of = {cluster.name: cluster.site for cluster in config.clusters}
    group = {name: name for name in (*site_of.values(), *(site.name for site in config.sites))}
    for site in config.sites:
        read = [meter.cluster for meter in site.facility_power]
        if site.carbon_intensity is not None and site.carbon_intensity.cluster is not None:
            read.append(site.carbon_intensity.cluster)
        _join(group, [site.name, *(site_of[cluster] for cluster in read)])
    return group


def _join(group: dict[str, str], names: Iterable[str]) -> None:
    together = {group[name] for name in names}
    first = min(together)
    for name, of in group.items():
        if of in together:
            group[name] = first
