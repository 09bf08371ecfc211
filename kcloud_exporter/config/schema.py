"""Schema: what the YAML may say. Strict: an unknown key is a mistake, and every mistake has its dotted place.

Durations become float seconds and sizes int bytes here, so that nothing behind this door parses text.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)

from kcloud_exporter.config.fields import (
    CLOCK_TIME,
    CURRENCY,
    BaseUrl,
    Category,
    Duration,
    LabelName,
    MetricName,
    Name,
    Size,
    StorageUri,
    Url,
)


class Strict(BaseModel):
    """Frozen, hashable, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __hash__(self) -> int:
        values = (frozenset(v.items()) if isinstance(v, dict) else v for v in self.__dict__.values())
        return hash((type(self), *values))


class GlobalConfig(Strict):
    """Rhythm of the whole: how often, how long to wait, how long a value stays good."""

    interval: Duration = Field(15.0, description="Time between two cycles.")
    timeout: Duration = Field(10.0, description="Longest wait for a source; shorter than the interval.")
    max_staleness: Duration = Field(45.0, description="How long the last good value of a source that fails is shown.")
    forget_after: Duration = Field(3600.0, description="How long a vanished node or device is still expected.")

    @model_validator(mode="after")
    def _times(self) -> GlobalConfig:
        if self.timeout >= self.interval:
            raise ValueError(f"timeout ({self.timeout:g}s) must be shorter than interval ({self.interval:g}s)")
        if self.max_staleness < self.interval:
            raise ValueError(f"max_staleness ({self.max_staleness:g}s) must not be shorter than interval")
        return self


class BasicAuth(Strict):
    """User and password for a source; the password comes from a file or from ${ENV}."""

    username: str
    password: SecretStr | None = None
    password_file: str | None = None

    @model_validator(mode="after")
    def _one(self) -> BasicAuth:
        if (self.password is None) == (self.password_file is None):
            raise ValueError("give password_file, or password: ${VARIABLE}")
        return self


class TlsConfig(Strict):
    """How the certificate of a source is checked, and which one we show."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False

    @model_validator(mode="after")
    def _key_of_a_certificate(self) -> TlsConfig:
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file belongs to a certificate; give cert_file too")
        return self


class Access(Strict):
    """Authentication and TLS of a source."""

    basic_auth: BasicAuth | None = None
    bearer_token: SecretStr | None = None
    bearer_token_file: str | None = None
    tls: TlsConfig = TlsConfig()

    @model_validator(mode="after")
    def _one_way(self) -> Access:
        if sum(x is not None for x in (self.basic_auth, self.bearer_token, self.bearer_token_file)) > 1:
            raise ValueError("give only one of basic_auth, bearer_token and bearer_token_file")
        return self


class PrometheusConfig(Access):
    """A Prometheus-compatible server that already scrapes the exporters."""

    url: BaseUrl
    method: Literal["auto", "query", "federate"] = "auto"
    name: Name | None = Field(None, description="Value of the label source; default prometheus@host:port.")
    match: dict[LabelName, str] = Field(
        {}, description="What labels every series must have; a value that begins with ~ is a regular expression."
    )

    @field_validator("match")
    @classmethod
    def _match(cls, match: dict[str, str]) -> dict[str, str]:
        for label, value in match.items():
            if value.startswith("~"):
                try:
                    re.compile(value[1:])
                except re.error as exc:
                    raise ValueError(f"{label}: no regular expression: {exc}") from exc
        return match


class ExporterConfig(Access):
    """Exporters that are scraped directly."""

    vendor: str
    targets: tuple[Url, ...] = Field(min_length=1)
    name: Name | None = None
    labels: dict[LabelName, str] = Field({}, description="Target labels, as a scrape configuration would add them.")

    @field_validator("targets")
    @classmethod
    def _targets(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(targets)) < len(targets):
            raise ValueError("a target stands twice")
        return targets


class SourceConfig(Strict):
    """One source: exactly one of `prometheus` and `exporter`."""

    prometheus: PrometheusConfig | None = None
    exporter: ExporterConfig | None = None

    @model_validator(mode="after")
    def _one(self) -> SourceConfig:
        if (self.prometheus is None) == (self.exporter is None):
            raise ValueError("a source is exactly one of prometheus: and exporter:")
        return self


class NodesConfig(Strict):
    """How addresses become node names."""

    aliases: dict[str, str] = {}
    pattern: str | None = None

    @field_validator("pattern")
    @classmethod
    def _pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                groups = re.compile(pattern).groupindex
            except re.error as exc:
                raise ValueError(f"no regular expression: {exc}") from exc
            if "node" not in groups:
                raise ValueError("the pattern needs a group (?P<node>...)")
        return pattern


class ClusterConfig(Strict):
    """One cluster and where its series come from."""

    name: Name
    site: Name = ""
    labels: dict[LabelName, str] = {}
    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    nodes: NodesConfig = NodesConfig()
    part: bool = Field(
        False, description="Other instances read other parts of this cluster; ratios of the whole are not shown here."
    )

    @model_validator(mode="before")
    @classmethod
    def _default_site(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("site"):
            return {**data, "site": str(data.get("name") or "?")}  # a wrong name is told once, as name
        return data

    @field_validator("labels")
    @classmethod
    def _labels(cls, labels: dict[str, str]) -> dict[str, str]:
        taken = {"cluster", "site"} & labels.keys()
        if taken:
            raise ValueError(f"{', '.join(sorted(taken))} is set by the exporter itself")
        inner = [name for name in labels if name.startswith("__")]
        if inner:
            raise ValueError(f"{', '.join(inner)}: label names with __ in front belong to Prometheus")
        return labels


class FacilityPower(Strict):
    """One facility meter: a series of one cluster's sources, its scale to watts, and where it measures."""

    cluster: str
    metric: MetricName
    labels: dict[LabelName, str] = {}
    scale: float = Field(1.0, gt=0)
    category: Category


class CarbonIntensity(Strict):
    """Grams of CO2 per kWh: a constant, or a series of a cluster's sources."""

    grams_per_kwh: float | None = Field(None, ge=0)
    cluster: str | None = None
    metric: MetricName | None = None
    labels: dict[LabelName, str] = {}
    scale: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _one(self) -> CarbonIntensity:
        from_series = self.cluster is not None and self.metric is not None
        if (self.grams_per_kwh is None) != from_series:
            raise ValueError("give grams_per_kwh, or cluster and metric")
        return self


class TariffPeriod(Strict):
    """One time of use: days and hours in the tariff's zone."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = (
        "mon",
        "tue",
        "wed",
        "thu",
        "fri",
        "sat",
        "sun",
    )
    from_: Annotated[str, Field(alias="from", pattern=CLOCK_TIME[0])]
    to: Annotated[str, Field(pattern=CLOCK_TIME[1])]
    price_per_kwh: float = Field(ge=0)


class Tariff(Strict):
    """What a kilowatt-hour costs; periods override the price, the first that holds wins."""

    currency: Annotated[str, Field(pattern=CURRENCY)]
    price_per_kwh: float = Field(ge=0)
    timezone: str = "UTC"
    periods: tuple[TariffPeriod, ...] = ()

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as exc:
            raise ValueError(f"{name!r} is no time zone; write for example Asia/Seoul") from exc
        return name


class SiteConfig(Strict):
    """One site: its facility meters, carbon and price."""

    name: Name
    facility_power: tuple[FacilityPower, ...] = ()
    carbon_intensity: CarbonIntensity | None = None
    tariff: Tariff | None = None
    static_pue: float | None = Field(None, ge=1, description="A constant, shown with method=static.")
    completeness_min: float = Field(0.95, ge=0, le=1)


class LedgerConfig(Strict):
    """Policies of the books."""

    idle: Literal["unattributed", "proportional"] = "unattributed"
    overhead: Literal["unattributed", "proportional"] = "unattributed"
    meters: tuple[Literal["pdu", "redfish", "dcmi", "psu_input", "sensor", "platform", "psys"], ...] = (
        "pdu",
        "redfish",
        "dcmi",
        "psu_input",
        "sensor",
        "platform",
        "psys",
    )


class WorkUnit(Strict):
    """One counter of work, such as generated tokens: a series of the clusters' sources, and whose work it is."""

    unit: Name = Field(description="Value of the label unit; counters of one unit are added up.")
    metric: MetricName
    clusters: tuple[str, ...] = Field((), description="Clusters whose sources have it; default all.")
    labels: dict[LabelName, str] = Field({}, description="Label equalities that a series must fulfil.")
    scale: float = Field(1.0, gt=0)
    namespace: tuple[LabelName, ...] = Field(
        ("exported_namespace", "namespace"), min_length=1, description="Labels to look at; the first non-empty counts."
    )
    pod: tuple[LabelName, ...] = Field(("exported_pod", "pod"), min_length=1)


class LimitsConfig(Strict):
    """How much one answer may contain."""

    body_bytes: Size = 64 * 2**20
    series_per_source: int = Field(2_000_000, gt=0)
    labels: int = Field(64, gt=0)
    label_name_bytes: Size = 256
    label_value_bytes: Size = 4096


class StorageConfig(Strict):
    """Where counters and history are kept."""

    path: str = "data"
    retention: Duration = 30 * 86400.0


class HistoryConfig(Access):
    """Where history is kept: in files under storage.path, or in a store that scrapes this exporter."""

    backend: Literal["embedded", "prometheus"] = "embedded"
    url: BaseUrl | None = Field(None, description="Prometheus, Thanos, Mimir or VictoriaMetrics, up to /api/v1.")
    copy_to: StorageUri | None = Field(
        None, description="Where every finished file is copied, for others to read: s3://, gs://, abfss://, file://..."
    )

    @model_validator(mode="after")
    def _needs_url(self) -> HistoryConfig:
        if (self.backend == "prometheus") != (self.url is not None):
            raise ValueError("url belongs to backend: prometheus, and is needed there")
        if self.backend == "embedded" and self.model_fields_set - {"backend", "copy_to"}:
            raise ValueError("credentials and TLS belong to backend: prometheus")
        if self.backend == "prometheus" and self.copy_to is not None:
            raise ValueError("copy_to belongs to backend: embedded; the store keeps its own files")
        return self


class RemoteWriteConfig(Access):
    """A store that every cycle is pushed to, where it cannot scrape this exporter."""

    url: Url
    name: Name | None = Field(None, description="Value of the label remote of our own metrics; default host:port.")
    external_labels: dict[LabelName, str] = Field({}, description="Added to every series, unless it has the label.")
    queue_bytes: Size = Field(64 * 2**20, description="Compressed bytes that are kept while the store is away.")


class ShardingConfig(Strict):
    """This exporter is one of several equal ones, which divide the sites and their clusters among them."""

    index: int = Field(0, ge=0, description="Which one: 0 to total - 1.")
    total: int = Field(1, ge=1, le=1024, description="How many there are.")

    @model_validator(mode="after")
    def _one_of_them(self) -> ShardingConfig:
        if self.index >= self.total:
            raise ValueError(f"index ({self.index}) is 0 to {self.total - 1}, for there are {self.total} shards")
        return self


class Config(Strict):
    """The whole configuration."""

    global_: GlobalConfig = Field(default=GlobalConfig(), alias="global")
    clusters: tuple[ClusterConfig, ...] = Field(min_length=1)
    sites: tuple[SiteConfig, ...] = ()
    work_units: tuple[WorkUnit, ...] = ()
    ledger: LedgerConfig = LedgerConfig()
    limits: LimitsConfig = LimitsConfig()
    storage: StorageConfig = StorageConfig()
    history: HistoryConfig = HistoryConfig()
    sharding: ShardingConfig | None = None
    remote_write: tuple[RemoteWriteConfig, ...] = ()
    vendors_dir: str | None = None
    _all_labels: tuple[str, ...] | None = PrivateAttr(None)

    @property
    def cluster_labels(self) -> tuple[str, ...]:
        """The configured label names of all clusters, of other shards' too, sorted."""
        if self._all_labels is not None:
            return self._all_labels
        return tuple(sorted({label for cluster in self.clusters for label in cluster.labels}))

    def remember_labels(self, names: tuple[str, ...]) -> None:
        """Of a part: the label names of the whole, so that every shard's `kcloud_cluster_info` has the same labels."""
        self._all_labels = names
