"""Values: what an operator may set of the generated rules. Everything has a default; an unknown key is a mistake."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import Field, ValidationError, field_validator

from kcloud_exporter.config.fields import Duration
from kcloud_exporter.config.messages import all_told
from kcloud_exporter.config.reading import read_yaml
from kcloud_exporter.config.schema import Strict
from kcloud_exporter.errors import ConfigError

Severity = Literal["critical", "warning", "info"]
Watts = Annotated[float, Field(gt=0)]
RATE_WINDOW: Final = "5m"
"""Window of every recorded rate; part of the recorded names, so it is not a value."""


class AlertValues(Strict):
    """What may differ of one alert."""

    enabled: bool = True
    for_: Annotated[Duration | None, Field(alias="for")] = None
    severity: Severity | None = None
    threshold: float | None = None


class Budgets(Strict):
    """Watts that a site, a cluster or a namespace (`cluster/namespace`) may draw."""

    sites: dict[str, Watts] = Field({}, description="Watts that a site may draw: facility power, else IT power.")
    clusters: dict[str, Watts] = Field({}, description="Watts that a cluster may draw.")
    namespaces: dict[str, Watts] = Field({}, description="Watts that a namespace may draw, by cluster/namespace.")

    @field_validator("namespaces")
    @classmethod
    def _with_cluster(cls, namespaces: dict[str, float]) -> dict[str, float]:
        for name in namespaces:
            if name.count("/") != 1 or name.startswith("/") or name.endswith("/"):
                raise ValueError(f"{name!r}: write cluster/namespace")
        return namespaces


class Values(Strict):
    """All values of one generation."""

    selector: str = Field('job="kcloud"', description="Label matchers that find the exporter's own targets.")
    runbook_url: str = Field(
        "https://example.org/kcloud-exporter/docs/runbooks/{alert}.md",
        description="Where you serve docs/runbooks; {alert} is replaced by the alert's name.",
    )
    power_interval: Duration | None = Field(
        None, description="How often powers are recorded (default: evaluation_interval of Prometheus)."
    )
    energy_interval: Duration = Field(300.0, description="How often rates and what is made of them are recorded.")
    long_interval: Duration = Field(3600.0, description="How often PUE of 30 and 365 days is recorded.")
    completeness_min: Annotated[float, Field(gt=0, le=1)] = Field(
        0.95, description="Share of a site's nodes that has to be measured for a PUE, as in the site's configuration."
    )
    coverage_min: Annotated[float, Field(gt=0, le=1)] = Field(
        0.95, description="Share of a window that has to be known for its PUE."
    )
    top: Annotated[int, Field(gt=0)] = Field(10, description="How many top consumers are recorded.")
    power_budget_watts: Budgets = Field(Budgets(), description="Budgets that the alerts about budgets compare with.")
    alerts: dict[str, AlertValues] = Field({}, description="What differs of single alerts, by name.")

    @field_validator("runbook_url")
    @classmethod
    def _names_the_alert(cls, url: str) -> str:
        if "{alert}" not in url:
            raise ValueError("the address needs {alert} where the name of the alert stands")
        return url


class Settable(Protocol):
    """An alert, as far as its values go."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def threshold(self) -> float | None:
        """Its default threshold; None when it compares with nothing that could be set."""


def read_values(path: Path | None, known: Iterable[Settable]) -> Values:
    """The values of a file, or the defaults. Raises ConfigError with every mistake and its dotted place."""
    data = read_yaml(path) if path else {}
    return parse_values(data if data is not None else {}, known)


def parse_values(data: Any, known: Iterable[Settable]) -> Values:
    """The values of plain data. Raises ConfigError."""
    try:
        values = Values.model_validate(data)
    except ValidationError as exc:
        raise ConfigError([f"{place}: {message}" for place, message in all_told(exc, Values)]) from exc
    problems = list(_unknown(values.alerts, {alert.name: alert for alert in known}))
    if problems:
        raise ConfigError(problems)
    return values


def _unknown(alerts: Mapping[str, AlertValues], known: Mapping[str, Settable]) -> Iterable[str]:
    for name, said in alerts.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            yield f"alerts.{name}: there is no such alert" + (f"; did you mean {near[0]!r}?" if near else "")
        elif said.threshold is not None and known[name].threshold is None:
            yield f"alerts.{name}.threshold: this alert has no threshold"
