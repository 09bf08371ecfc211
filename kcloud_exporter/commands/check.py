"""`check`: its flags, and what it runs."""

from __future__ import annotations

import argparse
from typing import Any

from kcloud_exporter.commands.flags import command, config_flag, counted


def add(commands: Any) -> None:
    """Declare the command."""
    flags = command(
        commands,
        "check",
        "check a configuration and print every mistake with its place",
        example="kcloud-exporter check --config.file my.yaml",
    )
    config_flag(flags)
    flags.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from kcloud_exporter import app
    from kcloud_exporter.config.load import load_config
    from kcloud_exporter.config.sharding import own_part

    config = load_config(args.config_file)
    app.check(config)
    sources = sum(len(cluster.sources) for cluster in config.clusters)
    counts = [(len(config.clusters), "cluster"), (sources, "source"), (len(config.sites), "site")]
    print(f"the configuration is good: {', '.join(counted(*count) for count in counts)}")
    for cluster in config.clusters:
        read = [f"{s.exporter.vendor} × {len(s.exporter.targets)}" for s in cluster.sources if s.exporter]
        read += [s.prometheus.url for s in cluster.sources if s.prometheus]
        print(f"  {cluster.name} (site {cluster.site}): {', '.join(read)}")
    if config.sharding is not None:
        own = [cluster.name for cluster in own_part(config).clusters]
        shard = f"shard {config.sharding.index} of {config.sharding.total}"
        print(f"  note: this is {shard}; it reads {', '.join(own) or 'none of them'}")
    used = {cluster.site for cluster in config.clusters}
    for site in config.sites:
        if site.name not in used:
            print(f"  note: no cluster stands at site {site.name!r}; clusters stand at {', '.join(sorted(used))}")
    return 0
