"""The doors of the house: who may import whom. A new door is a change of plan and is made here, with a reason."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kcloud_exporter"
FOUNDATION = {"model", "readings", "units", "catalogue", "errors"}
"""`readings` holds the nouns that normalise hands to derive, so that neither needs to know the other."""

DOORS: dict[str, set[str]] = {
    "model": {"errors"},
    "readings": {"model"},
    "units": set(),
    "catalogue": set(),
    "errors": set(),
    "logs": set(),
    "clocks": set(),
    "listening": set(),
    "event_loop": set(),
    "options": set(),
    "telemetry": {"catalogue"},
    "snapshot": {"model"},
    "config": FOUNDATION,
    "vendors": FOUNDATION,
    "sources": FOUNDATION | {"config", "telemetry"},
    "normalise": FOUNDATION | {"vendors"},
    "derive": FOUNDATION,
    "storage": FOUNDATION | {"derive"},
    "exposition": FOUNDATION | {"snapshot"},
    "web": FOUNDATION | {"snapshot", "listening"},
    "explain": FOUNDATION | {"derive", "normalise", "vendors"},
    "coverage": FOUNDATION | {"sources", "normalise", "vendors"},
    "history": FOUNDATION | {"snapshot", "sources"},
    "export": FOUNDATION | {"history", "web"},
    "stream": FOUNDATION | {"snapshot", "web"},
    "api": FOUNDATION | {"snapshot", "web", "history", "export"},
    "remote": FOUNDATION | {"snapshot", "config", "sources", "exposition"},
    "artefacts": FOUNDATION | {"config", "vendors"},
    "fleet": FOUNDATION | {"listening"},
    "pipeline": FOUNDATION
    | {"config", "sources", "normalise", "derive", "vendors", "storage", "telemetry", "explain", "clocks"},
    "recording": FOUNDATION
    | {"config", "sources", "vendors", "pipeline", "storage", "exposition", "telemetry", "clocks"},
    "bench": FOUNDATION
    | {"config", "sources", "vendors", "pipeline", "storage", "exposition"}
    | {"history", "export", "stream", "web", "snapshot", "telemetry"},
}
"""Room → the rooms it may import. `pipeline` writes counters to disk before it hands a snapshot out, so it knows
`storage`; `storage` knows the totals of `derive`, which it keeps. `bench` measures the data path, so it may walk
all of it; it also fills a history to have files made of it, and publishes snapshots to a stream. The API it asks as a
running program, over HTTP. `explain` reads what normalise and derive have left behind. `api`, `stream` and `export`
answer through the web server, so they use its error shape and its authentication.
`remote` enters a store as `sources` enters an exporter. `pipeline` lends `explain` its state between two cycles.
Both servers stop as `listening` says.
`coverage` reads one page as a source does and names things as normalise does.
`history` asks a store over the one HTTP client that there is, with its credentials and limits, so it knows
`sources`. `artefacts` reads its values as the configuration is read, and documents what the vendor tables name.
`recording` listens to sources and pipeline, and does both again from a file: it knows them, what they are built from,
the counters (in memory) that they fill, and the page to compare."""

COMPOSERS = {"app", "exporting", "runtime", "cli", "commands", "__main__", "__init__"}
PURE = ("normalise", "derive", "exposition/renderer.py")
FORBIDDEN_TO_THE_PURE = {"asyncio", "time", "logging", "socket", "httpx", "aiohttp", "os", "random", "datetime"}
OUTSIDE = {
    "httpx": {"sources"},
    "aiohttp": {"web", "fleet", "app", "api", "stream", "export", "bench"},
    "pyarrow": {"history", "export", "bench"},
    "openpyxl": {"export"},
    "reportlab": {"export"},
    "apscheduler": {"runtime"},
    "grafana_foundation_sdk": {"artefacts"},
    "numpy": {
        *("model", "readings", "sources", "normalise", "derive", "exposition", "bench", "fleet", "storage"),
        *("explain", "coverage", "history", "export", "stream", "api", "remote"),
    },
}
"""Libraries that belong to certain rooms only."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Dotted names of everything a module imports, at any depth of the code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that a door can be read"
            module = node.module or ""
            found.update({module} if module != "kcloud_exporter" else {f"{module}.{a.name}" for a in node.names})
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_uses_only_its_doors(path: Path) -> None:
    room = room_of(path)
    if room in COMPOSERS:
        return
    assert room in DOORS, f"{room} is not on the plan of the house"
    ours = {name.split(".")[1] for name in imports_of(path) if name.startswith("kcloud_exporter.")}
    strangers = ours - DOORS[room] - {room, "__version__"}
    assert not strangers, f"{path.relative_to(PACKAGE)} opens a door to {strangers} that is not on the plan"


@pytest.mark.parametrize(
    "path",
    [p for p in modules() if str(p.relative_to(PACKAGE)).startswith(PURE)],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_the_middle_is_pure(path: Path) -> None:
    touched = {name.split(".")[0] for name in imports_of(path)} & FORBIDDEN_TO_THE_PURE
    assert not touched, f"{path.relative_to(PACKAGE)} touches {touched}: no clock, no I/O, no logging in the middle"


@pytest.mark.parametrize("library", OUTSIDE)
def test_a_library_stays_in_its_room(library: str) -> None:
    users = {room_of(p) for p in modules() if any(n.split(".")[0] == library for n in imports_of(p))}
    assert users <= OUTSIDE[library], f"{library} is used in {users - OUTSIDE[library]}"


def test_files_stay_small() -> None:
    long = {
        str(p.relative_to(PACKAGE)): n
        for p in modules()
        if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400
        and p.name != "catalogue.py"  # one table, a row per family, to be read as a whole
    }
    assert not long, f"files over 400 lines must argue for it: {long}"
