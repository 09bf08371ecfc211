"""A real Prometheus scrapes every page of cases.py: it accepts what we accept, and stores the same series."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sources import cases
from tests.sources.verdicts import Bodies, of_ours, of_prometheus

PAGES: Bodies = {
    **{f"t{n}": (page, False) for n, page in enumerate(cases.TEXT_ACCEPTED + cases.TEXT_REJECTED)},
    **{f"o{n}": (page, True) for n, page in enumerate(cases.OPENMETRICS_ACCEPTED + cases.OPENMETRICS_REJECTED)},
}


@pytest.mark.real
@pytest.mark.timeout(240)
def test_the_same_pages_are_accepted(tmp_path: Path) -> None:
    ours = {name: of_ours(name, *page) for name, page in PAGES.items()}
    theirs = of_prometheus(PAGES, tmp_path, lambda found: found == ours)
    assert {name: found is not None for name, found in theirs.items()} == {n: s is not None for n, s in ours.items()}
    assert theirs == ours
    assert sum(len(series or {}) for series in theirs.values()) > 60
