"""Whether the time of an answer tells that a name is known: two distributions, and how far apart they are.

`python -m tests.chaos.guesses --each 500`. Wrong passwords of a known user and of unknown ones take turns, each a new
one, so that none is remembered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import bcrypt

from kcloud_exporter.web.auth import WebAuth
from tests.chaos.run import FIGURES
from tests.web.program import basic


def kolmogorov_smirnov(first: list[float], second: list[float]) -> tuple[float, float]:
    """The largest distance between two empirical distributions, and how likely at least that one is by chance."""
    first, second = sorted(first), sorted(second)
    n, m, i, j, distance = len(first), len(second), 0, 0, 0.0
    while i < n and j < m:
        at = min(first[i], second[j])
        while i < n and first[i] <= at:
            i += 1
        while j < m and second[j] <= at:
            j += 1
        distance = max(distance, abs(i / n - j / m))
    size = math.sqrt(n * m / (n + m))
    x = (size + 0.12 + 0.11 / size) * distance
    chance = 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101))
    return distance, 1.0 if x < 0.2 else min(1.0, max(0.0, chance))


async def run(each: int, cost: int) -> tuple[list[float], list[float]]:
    """Seconds of the refusals: of a known name, of unknown ones."""
    with tempfile.TemporaryDirectory(prefix="guesses-") as name:
        file = Path(name) / "web.yml"
        hashed = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(cost)).decode()
        await asyncio.to_thread(file.write_text, f"basic_auth_users: {{ann: '{hashed}'}}")
        auth = WebAuth.load(file)
        known: list[float] = []
        unknown: list[float] = []
        for number in range(each):
            turns = [("ann", known), (f"bob{number}", unknown)]
            random.shuffle(turns)
            for user, taken in turns:
                began = time.perf_counter()
                assert not await auth.allows(basic(user, f"guess {number}"))
                taken.append(time.perf_counter() - began)
    return known, unknown


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=500)
    parser.add_argument("--cost", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="keep the table in tests/chaos/figures")
    arguments = parser.parse_args()
    known, unknown = asyncio.run(run(arguments.each, arguments.cost))
    distance, chance = kolmogorov_smirnov(known, unknown)
    lines = [
        f"{name:<20} {len(taken)} refusals: mean {1000 * statistics.mean(taken):.2f} ms, p50 "
        f"{1000 * statistics.median(taken):.2f} ms, p99 {1000 * sorted(taken)[int(0.99 * len(taken))]:.2f} ms"
        for name, taken in (("a known name", known), ("unknown names", unknown))
    ]
    apart = statistics.mean(unknown) / statistics.mean(known) - 1
    lines.append(f"{'apart':<20} means {apart:+.2%}; Kolmogorov-Smirnov {distance:.3f}, p = {chance:.2f}")
    print("\n".join(lines))
    if arguments.write:
        (FIGURES / "guesses.json").write_text(json.dumps({"table": lines}, indent=1) + "\n")
    return 0 if chance > 0.01 and abs(apart) < 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())
