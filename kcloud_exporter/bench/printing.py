"""Printing: pages made in a process of their own, so that what they are made of is no memory of what reads them."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Self

from isal import igzip

from kcloud_exporter.bench import pages

BEGIN = 1_800_000_000.0
INTERVAL = 15.0
_described: pages.Series = pages.Series([], [])


class Printer:
    """The exporters of one cluster of `nodes` nodes, as one Prometheus would federate them."""

    def __init__(self, nodes: int) -> None:
        self._process = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        self.series = self._process.submit(_begin, nodes).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.shutdown()

    def page(self, cycle: int) -> bytes:
        """The page of a cycle as it comes over the wire: compressed."""
        return self._process.submit(_page, cycle).result()

    def replace_pods(self, part: float, cycle: int) -> int:
        """Replace the pods of a part of the nodes. Returns how many series are new."""
        return self._process.submit(_replace_pods, part, cycle).result()


def _begin(nodes: int) -> int:
    global _described
    _described = pages.cluster_series(nodes)
    return len(_described.keys)


def _page(cycle: int) -> bytes:
    data: bytes = igzip.compress(pages.body(_described, cycle=cycle, timestamp=BEGIN + INTERVAL * cycle), 1)
    return data


def _replace_pods(part: float, cycle: int) -> int:
    return pages.with_new_pods(_described, part, cycle)
