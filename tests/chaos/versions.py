"""From an older version to this one and back, again and again, on one folder of counters: none of them ever falls.

`python -m tests.chaos.versions --older COMMIT --times 20`. Both are built as wheels and installed apart; the libraries
are those of this environment. Each is ended with SIGTERM or killed (-9) while it works.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from kcloud_exporter.fleet import FleetSpec
from tests.chaos.run import FIGURES, samples_of
from tests.real.programs import free_port
from tests.real.simulated_fleet import simulated_fleet

ROOT: Final = Path(__file__).parent.parent.parent
COUNTERS: Final = ("_joules_total", "_grams_total", "_cost_total", "kcloud_energy_gap_seconds_total")


def installed(commit: str, folder: Path) -> Path:
    """The wheel of one commit, installed in a folder of its own."""
    source, target = folder / f"{commit}-source", folder / commit
    source.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(target), str(source)], check=True)
    return target


@contextlib.contextmanager
def program(version: Path, folder: Path, *, kill: bool) -> Iterator[str]:
    """`serve` of this version on the folder, ready; at the end it is ended or killed."""
    port = free_port()
    command = [sys.executable, "-m", "kcloud_exporter", "serve", "--config.file", str(folder / "c.yaml")]
    command += ["--storage.path", str(folder / "data"), "--web.listen-address", f"127.0.0.1:{port}"]
    # The folder of the version stands before everything that is installed.
    environment = os.environ | {"PYTHONPATH": str(version), "PYTHONSAFEPATH": "1"}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + 60
    try:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200:
                    break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "log").read_text()[-2000:])
            time.sleep(0.1)
        yield url
    finally:
        process.kill() if kill else process.terminate()
        process.wait(30)


def counters(page: str) -> dict[str, float]:
    """The counters that are kept on disk."""
    return {s: v for s, v in samples_of(page).items() if s.partition("{")[0].endswith(COUNTERS)}


def run(older: str, times: int, seed: int) -> dict[str, Any]:
    """What was seen."""
    chance, seen, fell, kills, compared = random.Random(seed), dict[str, float](), [], 0, 0
    with tempfile.TemporaryDirectory(prefix="versions-") as name, simulated_fleet(FleetSpec(seed=seed)) as fleet:
        folder = Path(name)
        versions = [installed(commit, folder) for commit in (older, "HEAD")]
        (folder / "c.yaml").write_text(json.dumps(fleet.kcloud_config("exporter", interval="1s")), encoding="utf-8")
        for number in range(2 * times + 1):
            kill = chance.random() < 0.5
            with program(versions[number % 2], folder, kill=kill) as url:
                time.sleep(chance.uniform(1.0, 2.5))
                now = counters(httpx.get(f"{url}/metrics", trust_env=False, timeout=20).text)
            kills += kill
            compared += len(now.keys() & seen.keys())
            fell += [f"{series} {seen[series]} {value}" for series, value in now.items() if value < seen.get(series, 0)]
            seen |= now
        damaged = (folder / "log").read_text(errors="replace").count("damaged")
    described = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "table": [
            f"versions             {older} and {described.stdout.strip()}",
            f"changes of version   {2 * times}, {kills} of them by kill -9",
            f"counters compared    {compared}, fell {len(fell)}",
            f"damage told          {damaged}",
        ],
        "fell": fell,
    }


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--older", required=True, help="a commit, as git names it")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="keep the table in tests/chaos/figures")
    arguments = parser.parse_args()
    found = run(arguments.older, arguments.times, arguments.seed)
    print("\n".join([*found["table"], *found["fell"][:10]]))
    if arguments.write:
        (FIGURES / "versions.json").write_text(json.dumps({"table": found["table"]}, indent=1) + "\n")
    return 1 if found["fell"] else 0


if __name__ == "__main__":
    sys.exit(main())
