"""Sources and completeness: what is not seen, and for how long. Unknown is never a smaller number in silence."""

from __future__ import annotations

from typing import Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.alerts.alert import Alert
from kcloud_exporter.artefacts.promql import gap_once, once, selected
from kcloud_exporter.artefacts.recording import ACCELERATOR_COUNT

_GROUP: Final = "kcloud-source-alerts"
_SOURCE: Final = "Source {{ $labels.source }} of {{ $labels.cluster }}"
_MISSING: Final = 'state="missing"'
_SEEN: Final = f"max_over_time({ACCELERATOR_COUNT}[1d])"

ALERTS: Final = (
    Alert(
        "KcloudSourceDown",
        _GROUP,
        "warning",
        300,
        f"{once(catalogue.SOURCE_UP)} == 0",
        f"{_SOURCE} is down",
        f"{_SOURCE} has failed for 5 minutes or more; what it measures is absent, and totals are lower bounds. "
        "kcloud_source_failures_total says why.",
    ),
    Alert(
        "KcloudClusterUnreachable",
        _GROUP,
        "critical",
        300,
        f"max by (cluster) ({catalogue.SOURCE_UP}) == 0",
        "No source of {{ $labels.cluster }} answers",
        "Every source of {{ $labels.cluster }} has failed for 5 minutes or more: nothing is known of its power.",
    ),
    Alert(
        "KcloudClusterAbsent",
        _GROUP,
        "critical",
        600,
        f"max by (cluster, site) (last_over_time({catalogue.CLUSTER_INFO_NAME}[1d])) unless on (cluster) "
        f"max by (cluster) ({catalogue.CLUSTER_INFO_NAME})",
        "{{ $labels.cluster }} has vanished",
        "{{ $labels.cluster }} of {{ $labels.site }} was shown within the last day and is not any more: no exporter is "
        "configured to read it, or that exporter is down.",
    ),
    Alert(
        "KcloudSourceStale",
        _GROUP,
        "warning",
        60,
        f"time() - {once(catalogue.SOURCE_LAST_SUCCESS)} > $threshold\n"
        f"unless on (cluster, source) {once(catalogue.SOURCE_UP)} == 0",
        f"{_SOURCE} is stale",
        f"{_SOURCE} gave its last good answer {{{{ $value | humanizeDuration }}}} ago (limit $limit) and is not "
        "reported as down: it hangs, or a clock is wrong.",
        threshold=300,
        unit="s",
    ),
    Alert(
        "KcloudSamplesRejected",
        _GROUP,
        "info",
        1800,
        "sum by (cluster, source, reason) "
        f"(max by (cluster, source, reason) (rate({selected(catalogue.SAMPLES_REJECTED, '', '10m')}))) > $threshold",
        f"{_SOURCE} gives samples that are refused",
        f"{_SOURCE}: {{{{ $value | humanize }}}} samples per second are refused as {{{{ $labels.reason }}}} "
        "(limit $limit); they are in no sum.",
        threshold=1,
        unit="per second",
    ),
    Alert(
        "KcloudClusterIncomplete",
        _GROUP,
        "warning",
        600,
        f"{once(catalogue.CLUSTER_COMPLETENESS)} < $threshold",
        "{{ $labels.cluster }} is only partly measured",
        "Only {{ $value | humanizePercentage }} of the nodes of {{ $labels.cluster }} are measured completely (limit "
        "$limit): its totals are lower bounds, and PUE of its site is withheld.",
        threshold=0.95,
        unit="%",
    ),
    Alert(
        "KcloudNodesMissing",
        _GROUP,
        "warning",
        900,
        f"{once(catalogue.CLUSTER_NODES, _MISSING)} > $threshold",
        "Nodes of {{ $labels.cluster }} are not measured at all",
        "{{ $value | humanize }} nodes of {{ $labels.cluster }} are known, but no meter speaks of them.",
        threshold=0,
        unit="nodes",
    ),
    # The same rule for every vendor: a rule over one vendor's own series is silent on the others.
    Alert(
        "KcloudAcceleratorsMissing",
        _GROUP,
        "warning",
        600,
        f"({_SEEN} - {ACCELERATOR_COUNT}) > $threshold\nor\n({_SEEN} unless {ACCELERATOR_COUNT}) > $threshold",
        "Accelerators of {{ $labels.cluster }} have vanished",
        "{{ $value | humanize }} accelerators {{ $labels.vendor }} {{ $labels.model }} of {{ $labels.cluster }} that "
        "were seen in the last day report no power.",
        threshold=0,
        unit="accelerators",
    ),
    Alert(
        "KcloudEnergyGap",
        _GROUP,
        "warning",
        60,
        f"{gap_once(f'increase({catalogue.ENERGY_GAP}[1h])')} > $threshold",
        "Energy of {{ $labels.cluster }} has a gap",
        "{{ $value | humanizeDuration }} of the last hour were not integrated for {{ $labels.cluster }} (limit "
        "$limit): nobody saw what was drawn. Energy, cost and carbon of that time are missing.",
        threshold=60,
        unit="s",
    ),
)
