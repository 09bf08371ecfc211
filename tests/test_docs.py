"""The documentation: every command on a page is run as it stands, every file it shows is good, every link leads.

A page runs in a network and a process namespace of its own, so that the usual ports are free and nothing goes on
running. `$ ` begins a command; blocks of `sh` name programs that no test machine has and are not run.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kcloud_exporter import catalogue
from kcloud_exporter.cli import parser
from tests.real.programs import apart, require

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
NAMES = [str(page.relative_to(ROOT / "docs")) for page in PAGES]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# file: (\S+)\n")
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
FAMILY = re.compile(r"(?<![\w:])kcloud_[a-z0-9_]+\b(?!:)")
ELSEWHERE = {"helm", "kubectl", "docker", "systemctl", "make"}
"""Programs that need a cluster, an engine or the whole repository: their flags are tested elsewhere."""
SERVERS = ("serve", "demo", "fleet")


def commands(text: str) -> list[str]:
    """The commands of a page's console blocks, in order."""
    return [
        line.removeprefix("$ ")
        for kind, block in BLOCK.findall(text)
        if kind == "console"
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def words(command: str) -> list[str]:
    """A command without the variables before it."""
    found = shlex.split(command)
    while found and re.match(r"\w+=", found[0]):
        found = found[1:]
    return found


def script(text: str) -> str:
    """A page as one script: files are written where they are shown, servers are started and waited for."""
    lines = ["set -euo pipefail", "ip link set lo up"]
    for kind, block in BLOCK.findall(text):
        named = FILE.match(block)
        if named:
            lines += [f"cat > {shlex.quote(named[1])} <<'THE_END'", block.rstrip(), "THE_END"]
        if kind != "console":
            continue
        for command in commands(f"```console\n{block}```"):
            program, *arguments = words(command)
            if program == "kcloud-exporter" and arguments[0] in SERVERS:
                ready = "grep -q control: fleet.log" if arguments[0] == "fleet" else "curl -sf 127.0.0.1:28283/-/ready"
                lines.append(f"{command} > {arguments[0]}.log 2>&1 &")
                lines.append(f"for i in $(seq 100); do {ready} > /dev/null && break; sleep 0.2; done; {ready}")
            else:
                lines += [f"echo {shlex.quote('$ ' + command)}", command]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("page", [p for p in PAGES if commands(p.read_text())], ids=lambda p: p.name)
@pytest.mark.real
def test_every_command_does_what_it_says(page: Path, tmp_path: Path) -> None:
    require("ip", "curl", "promtool")
    file = tmp_path / "page.sh"
    file.write_text(script(page.read_text()))
    scripts = Path(sys.executable).parent
    environment = {"PATH": f"{scripts}:{os.environ['PATH']}:/usr/sbin:/sbin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    ran = subprocess.run(
        [*apart("--net", "--pid", "--fork", "--kill-child"), require("bash"), str(file)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
    )
    logs = "\n".join(log.read_text()[-2000:] for log in tmp_path.glob("*.log"))
    assert ran.returncode == 0, f"{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}\n{logs}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_is_not_run_is_known_and_parses(page: Path) -> None:
    for kind, block in BLOCK.findall(page.read_text()):
        if kind == "sh":
            for line in block.replace("\\\n", "").splitlines():
                program, *arguments = words(line)
                assert program in ELSEWHERE | {"kcloud-exporter"}, line
                if program == "kcloud-exporter":
                    parser().parse_args(arguments)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).resolve().exists(), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_family_that_is_named_is_in_the_catalogue(page: Path) -> None:
    known = {*catalogue.FAMILIES, catalogue.CLUSTER_INFO_NAME}
    for name in FAMILY.findall(page.read_text()):
        assert name in known or name.startswith("kcloud_exporter"), name


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text()
    named = {(ROOT / "docs" / target).resolve() for target in LINK.findall(index) if "://" not in target}
    missing = [name for name, page in zip(NAMES, PAGES, strict=True) if page.name != "README.md" and page not in named]
    assert [name for name in missing if "/" not in name] == []
