"""What holds the project's own files together: locked requirements, container, CI, licence."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
import tomllib
from pathlib import Path

import pytest

from kcloud_exporter.cli import main
from kcloud_exporter.config.load import load_config

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {name: ROOT / "requirements" / f"{name}.txt" for name in ("build", "base", "dev")}


def locked(path: Path) -> dict[str, list[str]]:
    """Project name → its lines (pins that differ by environment marker stand one by one)."""
    pins: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==", line):
            pins.setdefault(match[1], []).append(line)
    return pins


def declared(extra: str | None = None) -> set[str]:
    """Names of the dependencies that pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in lines}


@pytest.mark.parametrize("path", LOCKS.values(), ids=LOCKS.keys())
def test_lock_names_no_address_and_no_path(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"https?:|file:|git\+|(?<!\w)/\w", text)
    options = {line.split()[0] for line in text.splitlines() if line.startswith("-")}
    assert not options, "an index or find-links option would bind the project to one place"


@pytest.mark.parametrize("path", LOCKS.values(), ids=LOCKS.keys())
def test_every_locked_requirement_is_pinned_and_hashed(path: Path) -> None:
    requirements = re.sub(r" \\\n\s+", " ", path.read_text()).splitlines()
    requirements = [line for line in requirements if line and not line.startswith("#")]
    assert requirements
    for line in requirements:
        assert re.match(r"[a-z0-9._-]+==\S+ ", line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", line), line


def test_lock_holds_what_the_project_declares() -> None:
    assert declared() <= locked(LOCKS["base"]).keys()
    assert {name.replace("_", "-") for name in declared("dev")} <= locked(LOCKS["dev"]).keys()


def test_development_runs_on_the_very_versions_that_are_shipped() -> None:
    base, dev = locked(LOCKS["base"]), locked(LOCKS["dev"])
    assert base == {name: pins for name, pins in dev.items() if name in base}


def test_aiohttp_is_not_older_than_the_oldest_safe_version() -> None:
    (pin,) = locked(LOCKS["base"])["aiohttp"]
    version = tuple(int(part) for part in pin.split()[0].removeprefix("aiohttp==").split("."))
    assert version >= (3, 14, 4)


def test_image_installs_only_hashed_wheels_and_runs_as_nobody() -> None:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    installs = [line for line in re.split(r"\n|&&", text) if "pip" in line and " install " in line]
    assert installs
    for line in installs:
        from_lock = "--require-hashes" in line and "--only-binary :all:" in line
        own_wheel = "--no-deps dist/" in line
        assert from_lock or own_wheel, line
    assert re.search(r"^USER 65534:65534$", text, re.MULTILINE)


@pytest.mark.parametrize("script", [".ci/run", ".ci/apt-install"])
def test_scripts_are_executable_and_valid_bash(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert "set -euo pipefail" in (ROOT / script).read_text()
    subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_make_without_a_target_lists_every_public_target() -> None:
    make = subprocess.run(["make", "-C", ROOT, "-s"], capture_output=True, text=True, check=True)
    listed = set(re.findall(r"^  make (\S+)", make.stdout, re.MULTILINE))
    daily = {"help", "run", "test", "lint", "format", "bench", "lock", "image", "clean"}
    assert listed == daily | {"chaos", "soak", "load", "versions", "mutation", "sbom", "audit"}


def test_licence_is_the_one_that_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("readme", ["README.md", "README.ko.md"])
def test_readme_names_every_vendor_table_and_no_other(readme: str) -> None:
    table = re.search(r"<!-- vendors -->(.*?)<!-- /vendors -->", (ROOT / readme).read_text(), re.DOTALL)
    assert table
    named = re.findall(r"^\| `(\w+)` \|", table[1], re.MULTILINE)[1:]
    tables = {path.stem for path in (ROOT / "kcloud_exporter/vendors").glob("*.yaml")}
    # `prometheus` is no exporter: it reads what a Prometheus knows of its targets.
    assert sorted(named) == sorted(tables - {"prometheus"})


@pytest.mark.parametrize("readme", ["README.md", "README.ko.md"])
def test_links_of_the_readme_lead_somewhere(readme: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / readme).read_text())
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_both_readmes_show_the_same_commands_and_configuration() -> None:
    def code(readme: str) -> list[str]:
        blocks = re.findall(r"```(?:yaml|console|promql)\n(.*?)```", (ROOT / readme).read_text(), re.DOTALL)
        # Comments are translated.
        return [re.sub(r"\s+#.*", "", block) for block in blocks]

    assert code("README.md") == code("README.ko.md")


def test_configuration_of_the_readme_is_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (example,) = [textwrap.dedent(block) for block in blocks if "clusters:" in block]
    file = tmp_path / "kcloud-exporter.yaml"
    file.write_text(example)
    config = load_config(file, {})
    assert [cluster.name for cluster in config.clusters] == ["seoul-a", "busan-a"]


def test_what_is_generated_is_what_stands_in_the_repository(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["generate", "--check", "--output.path", str(ROOT)])
    assert code == 0, capsys.readouterr().err


def test_no_regular_expression_repeats_a_group_possessively() -> None:
    # Python 3.11.2, which Debian 12 has, forgets to step back when `(...)?+` or `(...)*+` fails half-way:
    # re.match("(?:e-?[0-9]+)?+$", "e") succeeds there. Write `(?>(...)?)`, which means the same.
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "kcloud_exporter").rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"(?<!\\)\)[?*+]\+", line)
    ]
    assert not found
