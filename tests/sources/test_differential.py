"""Generated bodies before a real Prometheus and before us: the same are accepted, and the same series come of them.

`KCLOUD_TEST_BODIES=2000` is the long form; `KCLOUD_TEST_SEED` makes others.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sources.bodies import generated
from tests.sources.verdicts import Bodies, Series, Verdicts, of_ours, of_prometheus

COUNT = int(os.environ.get("KCLOUD_TEST_BODIES", "250"))
SEED = int(os.environ.get("KCLOUD_TEST_SEED", "1"))
BATCH = 250


def is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_meant(body: bytes, ours: Series | None, theirs: Series | None) -> bool:
    """Whether the two agree, or differ as we mean to."""
    if ours == theirs:
        return True
    if b"\x00" in body and ours is None:
        return True  # for Prometheus a NUL between tokens ends the page in silence; here it is an error
    return theirs is None and not is_utf8(body)  # a label that is no UTF-8 costs its series, and not all of the page


def differing(
    bodies: Bodies, ours: Verdicts, theirs: Verdicts
) -> list[tuple[bytes, bool, Series | None, Series | None]]:
    return [
        (body, openmetrics, ours[name], theirs[name])
        for name, (body, openmetrics) in bodies.items()
        if not is_meant(body, ours[name], theirs[name])
    ]


@pytest.mark.real
@pytest.mark.timeout(240 + COUNT)
def test_generated_bodies_are_read_as_prometheus_reads_them(tmp_path: Path) -> None:
    numbered = [(f"b{n:05}", each) for n, each in enumerate(generated(SEED, COUNT))]
    accepted, found = 0, []
    for start in range(0, COUNT, BATCH):
        bodies = dict(numbered[start : start + BATCH])
        ours = {name: of_ours(name, *body) for name, body in bodies.items()}
        theirs = of_prometheus(bodies, tmp_path, lambda said, b=bodies, o=ours: not differing(b, o, said))  # type: ignore[misc]
        accepted += sum(series is not None for series in theirs.values())
        found += differing(bodies, ours, theirs)
    print(f"{COUNT} bodies, {accepted} accepted by both, {len(found)} read differently")
    assert found == []
    assert COUNT / 10 < accepted < COUNT * 9 / 10, "both sides of the edge were tried"
