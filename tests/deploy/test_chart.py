"""The Helm chart: it lints, renders what Kubernetes and the Prometheus operator take, and refuses bad values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from helm_python import Chart, HelmRenderError, HelmValuesError, lint

from kcloud_exporter.cli import parser
from kcloud_exporter.config.load import parse_config

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/kcloud-exporter"
OPERATOR = json.loads((Path(__file__).parent / "operator.schema.json").read_text())
KUBERNETES = ("1.28", "1.31", "1.33")
EVERYTHING: dict[str, Any] = {
    "replicas": 2,
    "imagePullSecrets": [{"name": "registry"}],
    "image": {"digest": "sha256:" + "a" * 64},
    "secretMounts": [{"name": "token", "secretName": "prometheus", "mountPath": "/etc/secrets/prometheus"}],
    "extraEnv": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}}],
    "extraArgs": ["--log.format=json"],
    "web": {"existingSecret": "kcloud-web"},
    "persistence": {"storageClass": "fast", "annotations": {"a": "b"}},
    "serviceMonitor": {
        "enabled": True,
        "labels": {"release": "monitoring"},
        "scheme": "https",
        "tlsConfig": {"insecureSkipVerify": True},
        "basicAuth": {"username": {"name": "s", "key": "u"}, "password": {"name": "s", "key": "p"}},
        "relabelings": [{"action": "labeldrop", "regex": "endpoint"}],
        "metricRelabelings": [{"action": "keep", "sourceLabels": ["__name__"], "regex": "kcloud_.*"}],
    },
    "prometheusRule": {"enabled": True, "labels": {"release": "monitoring"}},
    "networkPolicy": {"egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]},
    "podDisruptionBudget": {"enabled": True},
    "podLabels": {"team": "power"},
    "podAnnotations": {"note": "x"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "system-cluster-critical",
    "extraManifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}],
}


def rendered(values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Every object of the chart with these values."""
    with Chart.load(str(CHART)) as chart:
        texts = chart.render(dict(values or {}), name="kx", namespace="mon")
    return [
        found
        for path, text in texts.items()
        if not path.endswith("NOTES.txt")
        for found in yaml.safe_load_all(text)
        if found
    ]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [found for found in objects if found["kind"] == kind]


def container(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (stateful,) = of_kind(objects, "StatefulSet")
    (only,) = stateful["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def test_it_lints() -> None:
    found = lint(str(CHART), strict=True)
    assert found["errors"] == []
    assert [m for m in found["messages"] if "icon" not in m["error"]] == []


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("values", [{}, EVERYTHING, {"persistence": {"enabled": False}}], ids=["plain", "all", "none"])
def test_what_it_renders_is_valid(values: dict[str, Any], version: str) -> None:
    objects = rendered(values)
    kinds = {found["kind"] for found in objects}
    for found in objects:
        if found["apiVersion"].startswith("monitoring.coreos.com/"):
            jsonschema.validate(found, OPERATOR[found["kind"]])
        else:
            kubernetes_validate.validate(found, version, strict=True)
        assert found["metadata"].get("namespace", "mon") == "mon"

    assert {"StatefulSet", "Service", "ServiceAccount", "ConfigMap", "NetworkPolicy"} <= kinds
    assert ({"ServiceMonitor", "PodDisruptionBudget"} <= kinds) == (values is EVERYTHING)


def test_the_page_is_scraped_with_its_own_labels() -> None:
    (monitor,) = of_kind(rendered({"serviceMonitor": {"enabled": True}}), "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True
    assert endpoint["relabelings"] == [{"action": "labeldrop", "regex": "pod|namespace|container|node"}], (
        "and no others"
    )


def test_its_flags_are_flags_of_the_program_and_its_configuration_is_good() -> None:
    for values in ({}, EVERYTHING):
        objects = rendered(values)
        parser().parse_args(container(objects)["args"])
    (config,) = of_kind(rendered(), "ConfigMap")[:1]
    parse_config(yaml.safe_load(config["data"]["kcloud-exporter.yaml"]))


@pytest.mark.parametrize("values", [{}, EVERYTHING])
def test_the_pod_has_no_more_rights_than_it_needs(values: dict[str, Any]) -> None:
    objects = rendered(values)
    (stateful,) = of_kind(objects, "StatefulSet")
    pod, only = stateful["spec"]["template"]["spec"], container(objects)

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    written = {m["mountPath"] for m in only["volumeMounts"] if not m.get("readOnly")}
    assert written == {"/data", "/tmp"}


def test_a_new_configuration_rolls_the_pod() -> None:
    def checksum(interval: str) -> str:
        config = {"global": {"interval": interval}, "clusters": [{"name": "a", "sources": []}]}
        (stateful,) = of_kind(rendered({"config": config}), "StatefulSet")
        return str(stateful["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

    assert checksum("15s") != checksum("30s")


def test_somebody_has_to_say_who_may_read() -> None:
    with pytest.raises(HelmRenderError, match="allowUnauthenticated"):
        rendered({"web": {"existingSecret": "", "allowUnauthenticated": False}})
    assert "--web.allow-unauthenticated" not in container(rendered({"web": {"existingSecret": "s"}}))["args"]


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": "two"},
        {"replica": 2},
        {"service": {"port": 70000}},
        {"config": {"clusters": [{"name": "x"}]}},
        {"config": {"clusters": []}},
        {"image": {"digest": "sha256:short"}},
        {"image": {"pullPolicy": "Sometimes"}},
        {"persistence": {"size": "much"}},
        {"persistence": {"accessModes": ["ReadWriteMany"]}},
        {"serviceMonitor": {"honorLabels": False}},
        {"serviceMonitor": {"interval": "15"}},
        {"secretMounts": [{"name": "x"}]},
        {"extraArgs": ["log.format=json"]},
        {"fullnameOverride": "Upper Case"},
    ],
    ids=json.dumps,
)
def test_bad_values_are_refused(values: dict[str, Any]) -> None:
    with Chart.load(str(CHART)) as chart, pytest.raises(HelmValuesError):
        chart.validate_schema(values)


def test_every_value_stands_in_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def known(value: Any, place: dict[str, Any], path: str) -> None:
        if isinstance(value, dict) and place.get("additionalProperties") is False:
            assert set(value) <= set(place["properties"]), path
            for key, inner in value.items():
                known(inner, place["properties"][key], f"{path}.{key}")

    assert set(values) | {"global"} == set(schema["properties"])
    known(values, schema, "")
    with Chart.load(str(CHART)) as chart:
        chart.validate_schema(EVERYTHING)
