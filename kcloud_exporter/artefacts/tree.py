"""The tree of everything generated: path → text, and how it compares with what is on disk."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kcloud_exporter.artefacts.configuration_page import configuration_page
from kcloud_exporter.artefacts.connect_pages import connect_pages
from kcloud_exporter.artefacts.metrics_page import metrics_page
from kcloud_exporter.artefacts.rules import alerts_file, alerts_of, recording_file
from kcloud_exporter.artefacts.runbook_pages import index, runbook
from kcloud_exporter.artefacts.samples import alertmanager_sample, prometheus_sample, values_sample
from kcloud_exporter.artefacts.values import Values
from kcloud_exporter.catalogue import Family
from kcloud_exporter.errors import ArtefactError
from kcloud_exporter.vendors.mapping import VendorIndex

_CHART: Final = "deploy/helm/kcloud-exporter/files"
OWNED: Final = (
    *("rules/*.yml", "dashboards/kcloud-*.json", "docs/runbooks/*.md", "docs/connect/*.md"),
    *(f"{_CHART}/rules/*.yml", f"{_CHART}/dashboards/kcloud-*.json"),
)
"""Patterns of files that all are generated: one that is not any more is removed."""
_SHOWN_LINES: Final = 20


def tree(
    values: Values,
    vendors: VendorIndex,
    own: Sequence[Family],
    schema: Mapping[str, Any],
    texts: Mapping[str, str],
    dashboards: Sequence[Mapping[str, Any]],
) -> dict[str, str]:
    """Every generated file. `own` are the families about the exporter, `schema` is that of the configuration,
    `texts` are the YAML of the vendor tables.
    """
    alerts = alerts_of(values)
    files = {
        "rules/kcloud-recording.yml": recording_file(values),
        "rules/kcloud-alerts.yml": alerts_file(values),
        "config/schema.json": _json(schema),
        "config/rules-values.example.yaml": values_sample(),
        "config/alertmanager.example.yml": alertmanager_sample(),
        "config/prometheus.example.yml": prometheus_sample(values),
        "docs/metrics.md": metrics_page(values, vendors, {d["title"]: panels_of(d) for d in dashboards}, own),
        "docs/configuration.md": configuration_page(schema),
        "docs/runbooks/README.md": index(alerts),
        **connect_pages(vendors.tables, texts),
    }
    files |= {f"dashboards/{dashboard['uid']}.json": _json(dashboard) for dashboard in dashboards}
    # Helm reads only what lies in the chart.
    files |= {f"{_CHART}/{name}": text for name, text in files.items() if name.startswith(("rules/", "dashboards/"))}
    return files | {f"docs/runbooks/{alert.name}.md": runbook(alert) for alert in alerts}


def panels_of(dashboard: Mapping[str, Any]) -> dict[str, str]:
    """Title of each panel → its queries, one per line."""
    return {
        panel["title"]: "\n".join(target["expr"] for target in panel["targets"])
        for panel in dashboard["panels"]
        if panel.get("targets")
    }


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def write(root: Path, files: Mapping[str, str]) -> list[str]:
    """Write what differs, remove what is not generated any more; the paths concerned. Raises ArtefactError."""
    changed = []
    try:
        for name, text in files.items():
            path = root / name
            if _read(path) != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                changed.append(name)
        for name in _left_over(root, files):
            (root / name).unlink()
            changed.append(f"{name} (removed)")
    except OSError as exc:
        raise ArtefactError(f"{exc.filename or root}: {exc.strerror or exc}") from exc
    return changed


def differences(root: Path, files: Mapping[str, str]) -> list[str]:
    """What `write` would change, each with the first lines of its difference. Raises ArtefactError."""
    try:
        found = [_difference(name, _read(root / name), text) for name, text in files.items()]
    except OSError as exc:
        raise ArtefactError(f"{exc.filename or root}: {exc.strerror or exc}") from exc
    left = [f"{name}: is not generated any more" for name in _left_over(root, files)]
    return [*(each for each in found if each), *left]


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        return ""


def _difference(name: str, on_disk: str | None, text: str) -> str:
    if on_disk is None:
        return f"{name}: is missing"
    if on_disk == text:
        return ""
    lines = list(
        difflib.unified_diff(on_disk.splitlines(), text.splitlines(), "on disk", "generated", n=0, lineterm="")
    )
    more = [f"... and {len(lines) - _SHOWN_LINES} lines more"] if len(lines) > _SHOWN_LINES else []
    return "\n  ".join([f"{name}: differs", *lines[:_SHOWN_LINES], *more])


def _left_over(root: Path, files: Mapping[str, str]) -> Iterator[str]:
    for pattern in OWNED:
        for path in sorted(root.glob(pattern)):
            name = path.relative_to(root).as_posix()
            if name not in files and _ours(path):
                yield name


def _ours(path: Path) -> bool:
    """Whether a file says of itself that it was generated: nobody else's file is ever removed."""
    text = _read(path) or ""
    if path.suffix == ".json":  # has no comments; ours has the uid of its name
        return f'"uid": "{path.stem}"' in text
    return "Written by `kcloud-exporter generate`" in text
