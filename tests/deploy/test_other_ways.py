"""Plain manifests, compose and systemd: they say the same as the chart, and name what is there."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from kcloud_exporter import __version__
from kcloud_exporter.cli import parser
from kcloud_exporter.config.load import parse_config
from tests.deploy.test_chart import KUBERNETES, ROOT, container, of_kind, rendered

PLAIN, COMPOSE = ROOT / "deploy/kubernetes", ROOT / "deploy/compose"
UNIT = ROOT / "deploy/systemd/kcloud-exporter.service"


def manifests() -> list[dict[str, Any]]:
    """The files that the kustomization names, with its label selectors put in."""
    customised = yaml.safe_load((PLAIN / "kustomization.yaml").read_text())
    objects = [yaml.safe_load((PLAIN / name).read_text()) for name in customised["resources"]]
    labels = customised["labels"][0]["pairs"]
    for found in objects:
        found["metadata"].setdefault("labels", {}).update(labels)
        if found["kind"] == "StatefulSet":
            found["spec"]["selector"] = {"matchLabels": labels}
            found["spec"]["template"]["metadata"] = {"labels": labels}
    return objects


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_manifests_are_valid(version: str) -> None:
    for found in manifests():
        kubernetes_validate.validate(found, version, strict=True)


def test_kubectl_builds_them() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on this machine; the files themselves are validated above")
    built = subprocess.run([kubectl, "kustomize", PLAIN], capture_output=True, text=True, check=True).stdout
    objects = list(yaml.safe_load_all(built))

    assert {found["kind"] for found in objects} == {found["kind"] for found in manifests()} | {"ConfigMap"}
    assert container(objects)["image"] == f"kcloud-exporter:{__version__}"
    assert all(found["metadata"].get("namespace") == "kcloud" for found in objects if found["kind"] != "Namespace")


def test_the_manifests_run_the_same_container_as_the_chart() -> None:
    plain, chart = container(manifests()), container(rendered())
    for field in ("args", "ports", "startupProbe", "readinessProbe", "livenessProbe", "resources", "securityContext"):
        assert plain[field] == chart[field], field
    (mine,), (theirs,) = of_kind(manifests(), "NetworkPolicy"), of_kind(rendered(), "NetworkPolicy")
    assert mine["spec"]["ingress"] == theirs["spec"]["ingress"]


def test_the_example_configuration_is_good() -> None:
    parse_config(yaml.safe_load((PLAIN / "kcloud-exporter.yaml").read_text()))


def test_compose_names_files_that_are_there_and_flags_that_exist() -> None:
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    for service in services.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert not source.startswith(".") or (COMPOSE / source).exists(), mount
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), "on this machine only"
    parser().parse_args(services["kcloud-exporter"]["command"])
    (job,) = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["scrape_configs"]
    assert job["honor_labels"] is True


def test_the_unit_starts_the_program_with_flags_that_exist() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text().replace("\\\n", ""))
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])

    assert Path(program).name == "kcloud-exporter"
    parser().parse_args(arguments)
    assert unit["Service"]["ExecReload"].endswith("-HUP $MAINPID")


def test_the_unit_is_hardened() -> None:
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("systemd-analyze is not on this machine")
    asked = [analyse, "security", "--offline=yes", "--threshold=20", "--no-pager", str(UNIT)]
    found = subprocess.run(asked, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-500:]
