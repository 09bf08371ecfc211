"""What every Go exporter with the default registry prints about itself."""

from __future__ import annotations

from kcloud_exporter.fleet.exposition import Family, go_family


def process_families(go_version: str, start: float) -> list[Family]:
    """A few of the `go_*` and `process_*` families; `start` is Unix seconds."""
    return [
        go_family("go_goroutines", "gauge", "Number of goroutines that currently exist.", [({}, 23)]),
        go_family("go_info", "gauge", "Information about the Go environment.", [({"version": go_version}, 1)]),
        go_family("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", [({}, 41_943_040)]),
        go_family(
            "process_start_time_seconds",
            "gauge",
            "Start time of the process since unix epoch in seconds.",
            [({}, round(start, 2))],
        ),
    ]
