"""Bench: the reproducible benchmark. Ratios side by side in one run; absolute times belong to the machine."""

from kcloud_exporter.bench.run import main

__all__ = ["main"]
