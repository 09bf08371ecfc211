"""Power and PUE: meters that contradict each other, facilities that waste, budgets that run out."""

from __future__ import annotations

from typing import Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.alerts.alert import Alert
from kcloud_exporter.artefacts.promql import once
from kcloud_exporter.artefacts.recording import (
    CLUSTER_BUDGET,
    CLUSTER_POWER,
    FACILITY_POWER,
    NAMESPACE_BUDGET,
    NAMESPACE_POWER,
    SITE_BUDGET,
    SITE_POWER,
)

_GROUP: Final = "kcloud-power-alerts"
# What the site's contract limits is the facility; where nobody measures that, its IT is a lower bound.
_SITE_RATIO: Final = f"(max by (site) ({FACILITY_POWER}) or {SITE_POWER}) / on (site) {SITE_BUDGET}"
_PUE: Final = "site_category:kcloud_site_pue:ratio_rate1h"
_FACILITY: Final = once(catalogue.SITE_FACILITY_POWER)
_PAST: Final = f"max by (site, category) (last_over_time({catalogue.SITE_FACILITY_POWER}[1d]))"
_USED: Final = "{{ $value | humanizePercentage }} of its power budget"

ALERTS: Final = (
    Alert(
        "KcloudNegativeResidual",
        _GROUP,
        "warning",
        900,
        f"{once(catalogue.NODE_RESIDUAL)} / {once(catalogue.NODE_WALL_POWER)} < -$threshold",
        "Meters of {{ $labels.cluster }}/{{ $labels.node }} contradict each other",
        "The components of {{ $labels.cluster }}/{{ $labels.node }} draw more than its whole-server meter shows; the "
        "difference is {{ $value | humanizePercentage }} of the meter (limit -$limit). One of them is wrong.",
        threshold=0.05,
        unit="%",
    ),
    Alert(
        "KcloudPueHigh",
        _GROUP,
        "warning",
        3600,
        f"{_PUE} > $threshold",
        "PUE of {{ $labels.site }} is high",
        'PUE ({{ $labels.category }}) of {{ $labels.site }} over the last hour is {{ $value | printf "%.2f" }} (limit '
        "$limit): cooling or power distribution wastes energy.",
        threshold=1.6,
    ),
    Alert(
        "KcloudPueImplausible",
        _GROUP,
        "warning",
        3600,
        f"{_PUE} < $threshold",
        "PUE of {{ $labels.site }} is too good to be true",
        'PUE ({{ $labels.category }}) of {{ $labels.site }} over the last hour is {{ $value | printf "%.3f" }} (limit '
        "$limit): a facility meter covers less than it should, or IT power is counted that it does not feed.",
        threshold=1.02,
    ),
    Alert(
        "KcloudPueUnknown",
        _GROUP,
        "info",
        1800,
        f"{_FACILITY}\nunless on (site, category) {once(catalogue.SITE_PUE)}",
        "PUE of {{ $labels.site }} is withheld",
        "Facility power of {{ $labels.site }} ({{ $labels.category }}) is {{ $value | humanize }}W, but there is no "
        "PUE: too few nodes are measured, or the ratio would be below 1.",
    ),
    Alert(
        "KcloudFacilityMeterLost",
        _GROUP,
        "warning",
        600,
        f"{_PAST}\nunless on (site, category) {_FACILITY}",
        "A facility meter of {{ $labels.site }} is lost",
        "Facility power of {{ $labels.site }} ({{ $labels.category }}) was {{ $value | humanize }}W within the last "
        "day and is unknown now: PUE and facility energy have a gap.",
    ),
    Alert(
        "KcloudSitePowerNearBudget",
        _GROUP,
        "warning",
        600,
        f"{_SITE_RATIO} > $threshold",
        "{{ $labels.site }} is near its power budget",
        "{{ $labels.site }} draws " + _USED + " (limit $limit).",
        threshold=0.9,
        unit="%",
    ),
    Alert(
        "KcloudSitePowerOverBudget",
        _GROUP,
        "critical",
        120,
        f"{_SITE_RATIO} > $threshold",
        "{{ $labels.site }} is over its power budget",
        "{{ $labels.site }} draws " + _USED + " (limit $limit).",
        threshold=1,
        unit="%",
    ),
    Alert(
        "KcloudClusterPowerNearBudget",
        _GROUP,
        "warning",
        600,
        f"{CLUSTER_POWER} / on (cluster) {CLUSTER_BUDGET} > $threshold",
        "{{ $labels.cluster }} is near its power budget",
        "{{ $labels.cluster }} draws " + _USED + " (limit $limit).",
        threshold=0.9,
        unit="%",
    ),
    Alert(
        "KcloudNamespacePowerNearBudget",
        _GROUP,
        "warning",
        600,
        f"{NAMESPACE_POWER} / on (cluster, namespace) {NAMESPACE_BUDGET} > $threshold",
        "Namespace {{ $labels.cluster }}/{{ $labels.namespace }} is near its power budget",
        "Namespace {{ $labels.namespace }} of {{ $labels.cluster }} draws " + _USED + " (limit $limit).",
        threshold=0.9,
        unit="%",
    ),
)
