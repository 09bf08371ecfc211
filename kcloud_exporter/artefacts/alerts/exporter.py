"""The exporter itself: without it every other alert is silent, so its absence is one."""

from __future__ import annotations

from typing import Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.alerts.alert import Alert

_GROUP: Final = "kcloud-exporter-alerts"
_WHO: Final = "kcloud-exporter {{ $labels.instance }}"

ALERTS: Final = (
    Alert(
        "KcloudExporterAbsent",
        _GROUP,
        "critical",
        300,
        "absent(up{$selector})",
        "No kcloud-exporter is scraped",
        "Prometheus has no target that fits {$selector}: power, energy and every alert about them are silent.",
    ),
    Alert(
        "KcloudExporterDown",
        _GROUP,
        "critical",
        180,
        "up{$selector} == 0",
        f"{_WHO} is down or not ready",
        f"{_WHO} does not answer, or has no snapshot to show: its clusters are not watched.",
    ),
    Alert(
        "KcloudSnapshotOld",
        _GROUP,
        "critical",
        60,
        f"{catalogue.SNAPSHOT_AGE} > $threshold",
        f"{_WHO} shows an old snapshot",
        f"{_WHO} answers, but its page is {{{{ $value | humanizeDuration }}}} old (limit $limit): cycles have stopped.",
        threshold=120,
        unit="s",
    ),
    Alert(
        "KcloudCycleSlow",
        _GROUP,
        "warning",
        900,
        "sum without (stage) (kcloud_exporter_cycle_duration_seconds) > $threshold",
        f"Cycles of {_WHO} are slow",
        f"One cycle of {_WHO} takes {{{{ $value | humanizeDuration }}}} (limit $limit); when it takes longer than the "
        "interval, cycles are left out.",
        threshold=10,
        unit="s",
    ),
    Alert(
        "KcloudConfigReloadFailed",
        _GROUP,
        "warning",
        60,
        "kcloud_exporter_config_last_reload_successful == 0",
        f"{_WHO} refused its new configuration",
        f"The last reload of {_WHO} failed; the old configuration is still running.",
    ),
    Alert(
        "KcloudStorageWriteFailing",
        _GROUP,
        "critical",
        60,
        "increase(kcloud_exporter_storage_write_failures_total[15m]) > 0",
        f"{_WHO} cannot write its counters",
        f"{_WHO} could not write {{{{ $value | humanize }}}} cycles to disk in 15 minutes: energy counted since then "
        "is lost with the next restart.",
    ),
    # The damage is found at the start, before the first scrape: an increase would never be seen.
    Alert(
        "KcloudStorageDamaged",
        _GROUP,
        "warning",
        60,
        "kcloud_exporter_storage_damaged_total > 0",
        f"{_WHO} found its counters damaged",
        f"{_WHO} found damage in its counters on disk at its last start: they were restored from the backup or begun "
        "anew. The alert ends with the next clean start.",
    ),
    Alert(
        "KcloudBackupFailing",
        _GROUP,
        "warning",
        60,
        "increase(kcloud_exporter_storage_backup_failures_total[3h]) > 0",
        f"{_WHO} cannot back its counters up",
        f"{_WHO} could not write the backup of its counters {{{{ $value | humanize }}}} times in 3 hours: damage to "
        "the counters would cost more than an hour of energy.",
    ),
    Alert(
        "KcloudHistoryStopped",
        _GROUP,
        "warning",
        300,
        "kcloud_exporter_history_working == 0",
        f"{_WHO} cannot write history",
        f"The disk does not take the history of {_WHO}: queries and exports of the past will have a gap. Metrics and "
        "counters go on.",
    ),
    Alert(
        "KcloudRemoteWriteFailing",
        _GROUP,
        "warning",
        900,
        "increase(kcloud_exporter_remote_write_failures_total[15m]) > 0",
        f"{_WHO} cannot write to {{{{ $labels.remote }}}}",
        f"{{{{ $value | humanize }}}} requests of {_WHO} to the store {{{{ $labels.remote }}}} failed in 15 minutes; "
        "samples wait in a bounded queue and are lost when it is full.",
    ),
)
