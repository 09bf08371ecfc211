"""Draws docs/reliability.md: `python -m tests.reliability.page` writes it, a test compares it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.reliability.faults import FAULTS
from tests.reliability.goals import GOALS

ROOT: Final = Path(__file__).parent.parent.parent
PAGE: Final = ROOT / "docs" / "reliability.md"
FIGURES: Final = ROOT / "tests" / "chaos" / "figures"
RUNS: Final = {
    "load": "A run of `make load`",
    "versions": "A run of `make versions`",
    "guesses": "A run of `python -m tests.chaos.guesses`",
    "chaos": "A run of `make chaos`",
    "soak": "A run of `make soak`",
}
"""Name of the file of figures → what stands above its table."""
_HEAD: Final = """# Reliability

What may go wrong, what is expected then, and which test holds it. This page is drawn from tables beside the tests
(`tests/reliability/`) by `python -m tests.reliability.page`, and a test checks that it is current and that every test
it names exists. What was not measured says so. An empty last column means: the test is all that there is.

Where a count of trials without a failure is given, the rate of failures is below 3 in that count, with 95 % confidence.

## Long forms

| command | does |
|---|---|
| `make chaos` | random faults between a simulated fleet and the exporter, and a table (`DURATION=120 SEED=1`) |
| `make soak` | the same for long, with slopes of memory, files and tasks (`DURATION=3600`) |
| `make load` | fifty clusters; some hang, explode, send bombs; slow clients: what it costs the others (`DURATION=40`) |
| `make versions OLDER=commit` | an older version, this one, and back, ended or killed, on one folder (`TIMES=20`) |
| `python -m tests.chaos.guesses` | whether the time of an answer tells that a name is known |
| `KCLOUD_KILLS=200 make test ARGS="tests/real/test_kill.py --timeout 3600"` | more kills (-9) under a real Prometheus |
| `KCLOUD_TERMS=50 make test ARGS="tests/real/test_signals.py --timeout 900"` | more SIGTERMs in a storm of scrapes |
| `KCLOUD_CONNECTIONS=10000 make test ARGS=tests/real/test_signals.py` | more connections at once |
| `KCLOUD_SCRAPES=1000 make test ARGS="tests/real/test_scraped_by_prometheus.py --timeout 3000"` | more scrapes |
| `KCLOUD_FULL_SECONDS=60 make test ARGS="-s tests/real/test_disk.py"` | a disk that stays full for longer |
| `KCLOUD_TEST_CLUSTERS=5000 make test ARGS=tests/derive/test_conservation.py` | more generated clusters |
| `KCLOUD_TEST_TRACES=2000 make test ARGS=tests/derive/test_energy.py` | more traces of an hour each |
| `make mutation` | small mistakes in the modules on which every joule depends (`SAMPLE=40`, 0 is all; `MINUTES=30`) |
| `KCLOUD_TEST_BODIES=2000 make test ARGS=tests/sources/test_differential.py` | more bodies before a real Prometheus |
| `KCLOUD_TEST_MUTANTS=100 make test ARGS=tests/fuzz` | more of everything that is malformed |
| `KCLOUD_TEST_ALL=1 make test ARGS="tests/security tests/faults"` | every payload and every poison |
| `KCLOUD_TEST_QUESTIONS=100 make test ARGS="-s tests/api/test_schemathesis.py"` | more of each operation |
| `kcloud-exporter bench api streams exports` | requests, 2,000 streams of which 200 stall, 10 M rows |
| `make sbom`, `make audit` | what it is made of (CycloneDX), and whether anything of it is known to be vulnerable |

What differs from Prometheus on purpose: a label that is no UTF-8 costs its series and not the page; a NUL outside of
quotes is an error and not the end of the page; redirects are not followed.
"""


def draw() -> str:
    """The page."""
    lines = [_HEAD, "## Faults", "", "| | fault | expected | held by | measured |", "|---|---|---|---|---|"]
    for number, (fault, expected, tests, measured) in FAULTS.items():
        held = "<br>".join(f"`{test.replace('::', ' ')}`" for test in tests) or "nothing"
        lines.append(f"| {number} | {fault} | {expected} | {held} | {measured} |")
    lines += ["", "## Goals", "", "| | goal | state | how |", "|---|---|---|---|"]
    lines += [f"| {number} | {goal} | {state} | {how} |" for number, (goal, state, how) in GOALS.items()]
    lines += ["", "## Mutation testing", "", *_mutation(), ""]
    for name, title in RUNS.items():
        lines += [f"## {title}", "", *_run(name), ""]
    return "\n".join(lines)


def _figures(name: str) -> dict[str, Any]:
    file = FIGURES / f"{name}.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def _mutation() -> list[str]:
    found = _figures("mutation")
    if not found:
        return ["Not run yet."]
    lines = ["| module | mutants | tried | killed | |", "|---|---|---|---|---|"]
    lines += [
        f"| `{module}` | {of['mutants']} | {of['tried']} | {of['killed']} | {of['killed'] / max(of['tried'], 1):.0%} |"
        for module, of in found.items()
    ]
    lines += ["", "Survivors (line:column), and where it is a change that changes nothing, why:", ""]
    lines += [
        f"- `{module}` {each}" + (f": {of['equivalent'][each]}" if each in of["equivalent"] else "")
        for module, of in found.items()
        for each in of["survivors"]
    ]
    return lines


def _run(name: str) -> list[str]:
    found = _figures(name)
    return [f"    {line}" for line in found["table"]] if found else ["Not run yet."]


if __name__ == "__main__":
    PAGE.write_text(draw(), encoding="utf-8")
