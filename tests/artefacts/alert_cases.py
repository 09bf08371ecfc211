"""For every alert: inputs over which it fires, what it then says, and inputs over which it must be silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.artefacts.promtool import Inputs

TARGET = 'job="kcloud",instance="a"'
EXPORTER = {"job": "kcloud", "instance": "a"}
SOURCE = {"cluster": "c1", "source": "dcgm@n1"}
OF_SOURCE = 'cluster="c1",source="dcgm@n1"'
GPU = 'cluster="c1",node="n1",uuid="GPU-1"'
GPU_NAMED = f'{GPU},kind="gpu",vendor="nvidia",model="H100"'
DEVICE = {"cluster": "c1", "node": "n1", "uuid": "GPU-1"}
NAMED = {"kind": "gpu", "vendor": "nvidia", "model": "H100"}
NODE = {"cluster": "c1", "node": "n1"}
SITE = {"site": "s1", "category": "pue2"}
OF_SITE = 'site="s1",category="pue2"'
PUE_1H = f"site_category:kcloud_site_pue:ratio_rate1h{{{OF_SITE}}}"


@dataclass(frozen=True)
class AlertCase:
    """Over `fires` the expression holds from minute `begins` on; over each of `silent` the alert never fires.

    `labels` are those that the alert has besides its severity.
    """

    fires: Inputs
    labels: Mapping[str, str]
    summary: str
    description: str
    silent: tuple[Inputs, ...]
    begins: int = 0


def state(sensor: str, value: int, node: str = "n1") -> dict[str, str]:
    """A sensor in a constant state."""
    return {f'kcloud_hardware_sensor_state{{cluster="c1",node="{node}",sensor="{sensor}",{TARGET}}}': f"{value}x200"}


EXPORTER_CASES: Mapping[str, AlertCase] = {
    "KcloudExporterAbsent": AlertCase(
        fires={'up{job="something-else",instance="a"}': "1x200"},
        labels={"job": "kcloud"},
        summary="No kcloud-exporter is scraped",
        description='Prometheus has no target that fits {job="kcloud"}: power, energy and every alert about them are '
        "silent.",
        silent=({f"up{{{TARGET}}}": "0x200"}, {f"up{{{TARGET}}}": "1x200"}),
    ),
    "KcloudExporterDown": AlertCase(
        fires={f"up{{{TARGET}}}": "0x200"},
        labels=EXPORTER,
        summary="kcloud-exporter a is down or not ready",
        description="kcloud-exporter a does not answer, or has no snapshot to show: its clusters are not watched.",
        silent=({f"up{{{TARGET}}}": "1x200"}, {'up{job="something-else",instance="a"}': "0x200"}),
    ),
    "KcloudSnapshotOld": AlertCase(
        fires={f"kcloud_snapshot_age_seconds{{{TARGET}}}": "600x200"},
        labels=EXPORTER,
        summary="kcloud-exporter a shows an old snapshot",
        description="kcloud-exporter a answers, but its page is 10m 0s old (limit 120 s): cycles have stopped.",
        silent=({f"kcloud_snapshot_age_seconds{{{TARGET}}}": "15x200"},),
    ),
    "KcloudCycleSlow": AlertCase(
        fires={
            f'kcloud_exporter_cycle_duration_seconds{{stage="gather",{TARGET}}}': "8x200",
            f'kcloud_exporter_cycle_duration_seconds{{stage="derive",{TARGET}}}': "4x200",
        },
        labels=EXPORTER,
        summary="Cycles of kcloud-exporter a are slow",
        description="One cycle of kcloud-exporter a takes 12s (limit 10 s); when it takes longer than the interval, "
        "cycles are left out.",
        silent=({f'kcloud_exporter_cycle_duration_seconds{{stage="gather",{TARGET}}}': "8x200"},),
    ),
    "KcloudConfigReloadFailed": AlertCase(
        fires={f"kcloud_exporter_config_last_reload_successful{{{TARGET}}}": "0x200"},
        labels=EXPORTER,
        summary="kcloud-exporter a refused its new configuration",
        description="The last reload of kcloud-exporter a failed; the old configuration is still running.",
        silent=({f"kcloud_exporter_config_last_reload_successful{{{TARGET}}}": "1x200"},),
    ),
    "KcloudStorageWriteFailing": AlertCase(
        fires={f"kcloud_exporter_storage_write_failures_total{{{TARGET}}}": "0x20 2+2x100"},
        begins=21,
        labels=EXPORTER,
        summary="kcloud-exporter a cannot write its counters",
        description="kcloud-exporter a could not write 6 cycles to disk in 15 minutes: energy counted since then is "
        "lost with the next restart.",
        silent=({f"kcloud_exporter_storage_write_failures_total{{{TARGET}}}": "7x200"},),
    ),
    "KcloudStorageDamaged": AlertCase(
        fires={f"kcloud_exporter_storage_damaged_total{{{TARGET}}}": "1x200"},
        labels=EXPORTER,
        summary="kcloud-exporter a found its counters damaged",
        description="kcloud-exporter a found damage in its counters on disk at its last start: they were restored from "
        "the backup or begun anew. The alert ends with the next clean start.",
        silent=({f"kcloud_exporter_storage_damaged_total{{{TARGET}}}": "0x200"},),
    ),
}

EXPORTER_CASES_OF_DISKS: Mapping[str, AlertCase] = {
    "KcloudBackupFailing": AlertCase(
        fires={f"kcloud_exporter_storage_backup_failures_total{{{TARGET}}}": "0x20 3x100"},
        begins=21,
        labels=EXPORTER,
        summary="kcloud-exporter a cannot back its counters up",
        description="kcloud-exporter a could not write the backup of its counters 3 times in 3 hours: damage to the "
        "counters would cost more than an hour of energy.",
        silent=({f"kcloud_exporter_storage_backup_failures_total{{{TARGET}}}": "7x200"},),
    ),
    "KcloudHistoryStopped": AlertCase(
        fires={f"kcloud_exporter_history_working{{{TARGET}}}": "0x200"},
        labels=EXPORTER,
        summary="kcloud-exporter a cannot write history",
        description="The disk does not take the history of kcloud-exporter a: queries and exports of the past will "
        "have a gap. Metrics and counters go on.",
        silent=({f"kcloud_exporter_history_working{{{TARGET}}}": "1x200"},),
    ),
    "KcloudRemoteWriteFailing": AlertCase(
        fires={f'kcloud_exporter_remote_write_failures_total{{remote="mimir",{TARGET}}}': "0+2x200"},
        begins=1,
        labels={**EXPORTER, "remote": "mimir"},
        summary="kcloud-exporter a cannot write to mimir",
        description="30 requests of kcloud-exporter a to the store mimir failed in 15 minutes; samples wait in a "
        "bounded queue and are lost when it is full.",
        silent=({f'kcloud_exporter_remote_write_failures_total{{remote="mimir",{TARGET}}}': "9x200"},),
    ),
}

SOURCE_CASES: Mapping[str, AlertCase] = {
    "KcloudSourceDown": AlertCase(
        fires={f"kcloud_source_up{{{OF_SOURCE},{TARGET}}}": "0x200"},
        labels=SOURCE,
        summary="Source dcgm@n1 of c1 is down",
        description="Source dcgm@n1 of c1 has failed for 5 minutes or more; what it measures is absent, and totals are "
        "lower bounds. kcloud_source_failures_total says why.",
        silent=(
            {f"kcloud_source_up{{{OF_SOURCE},{TARGET}}}": "1x200"},
            # A twin that can read it is enough; so is an answer now and then.
            {
                f"kcloud_source_up{{{OF_SOURCE},{TARGET}}}": "0x200",
                f'kcloud_source_up{{{OF_SOURCE},job="kcloud",instance="b"}}': "1x200",
            },
            {f"kcloud_source_up{{{OF_SOURCE},{TARGET}}}": "0x3 1 0x3 1 0x3 1"},
        ),
    ),
    "KcloudClusterUnreachable": AlertCase(
        fires={
            f"kcloud_source_up{{{OF_SOURCE},{TARGET}}}": "0x200",
            f'kcloud_source_up{{cluster="c1",source="kepler@n1",{TARGET}}}': "0x200",
        },
        labels={"cluster": "c1"},
        summary="No source of c1 answers",
        description="Every source of c1 has failed for 5 minutes or more: nothing is known of its power.",
        silent=(
            {
                f"kcloud_source_up{{{OF_SOURCE},{TARGET}}}": "0x200",
                f'kcloud_source_up{{cluster="c1",source="kepler@n1",{TARGET}}}': "1x200",
            },
        ),
    ),
    "KcloudClusterAbsent": AlertCase(
        fires={f'kcloud_cluster_info{{cluster="c1",site="s1",region="r",{TARGET}}}': "1x20"},
        begins=26,
        labels={"cluster": "c1", "site": "s1"},
        summary="c1 has vanished",
        description="c1 of s1 was shown within the last day and is not any more: no exporter is configured to read it, "
        "or that exporter is down.",
        silent=(
            {f'kcloud_cluster_info{{cluster="c1",site="s1",region="r",{TARGET}}}': "1x200"},
            # Another shard has taken it over.
            {
                f'kcloud_cluster_info{{cluster="c1",site="s1",{TARGET}}}': "1x20",
                'kcloud_cluster_info{cluster="c1",site="s1",job="kcloud",instance="b"}': "_x20 1x180",
            },
        ),
    ),
    "KcloudSourceStale": AlertCase(
        fires={
            f"kcloud_source_last_success_timestamp_seconds{{{OF_SOURCE},{TARGET}}}": "0x200",
            f"kcloud_source_up{{{OF_SOURCE},{TARGET}}}": "1x200",
        },
        begins=6,
        labels=SOURCE,
        summary="Source dcgm@n1 of c1 is stale",
        description="Source dcgm@n1 of c1 gave its last good answer 8m 0s ago (limit 300 s) and is not reported as "
        "down: it hangs, or a clock is wrong.",
        silent=(
            {f"kcloud_source_last_success_timestamp_seconds{{{OF_SOURCE},{TARGET}}}": "0+60x200"},
            # That it is down is told by another alert.
            {
                f"kcloud_source_last_success_timestamp_seconds{{{OF_SOURCE},{TARGET}}}": "0x200",
                f"kcloud_source_up{{{OF_SOURCE},{TARGET}}}": "0x200",
            },
        ),
    ),
    "KcloudSamplesRejected": AlertCase(
        fires={f'kcloud_samples_rejected_total{{{OF_SOURCE},reason="negative",{TARGET}}}': "0+120x200"},
        begins=6,
        labels={**SOURCE, "reason": "negative"},
        summary="Source dcgm@n1 of c1 gives samples that are refused",
        description="Source dcgm@n1 of c1: 2 samples per second are refused as negative (limit 1 per second); they are "
        "in no sum.",
        silent=({f'kcloud_samples_rejected_total{{{OF_SOURCE},reason="negative",{TARGET}}}': "0+12x200"},),
    ),
    "KcloudClusterIncomplete": AlertCase(
        fires={f'kcloud_cluster_completeness_ratio{{cluster="c1",{TARGET}}}': "0.9x200"},
        labels={"cluster": "c1"},
        summary="c1 is only partly measured",
        description="Only 90% of the nodes of c1 are measured completely (limit 95 %): its totals are lower bounds, "
        "and PUE of its site is withheld.",
        silent=({f'kcloud_cluster_completeness_ratio{{cluster="c1",{TARGET}}}': "0.95x200"},),
    ),
    "KcloudNodesMissing": AlertCase(
        fires={f'kcloud_cluster_nodes{{cluster="c1",state="missing",{TARGET}}}': "2x200"},
        labels={"cluster": "c1", "state": "missing"},
        summary="Nodes of c1 are not measured at all",
        description="2 nodes of c1 are known, but no meter speaks of them.",
        silent=(
            {
                f'kcloud_cluster_nodes{{cluster="c1",state="missing",{TARGET}}}': "0x200",
                f'kcloud_cluster_nodes{{cluster="c1",state="measured",{TARGET}}}': "2x200",
            },
        ),
    ),
    "KcloudAcceleratorsMissing": AlertCase(
        fires={
            f"kcloud_accelerator_power_watts{{{GPU_NAMED},{TARGET}}}": "300x20",
            f"kcloud_accelerator_power_watts{{{GPU_NAMED.replace('GPU-1', 'GPU-2')},{TARGET}}}": "300x200",
        },
        begins=26,
        labels={"cluster": "c1", "vendor": "nvidia", "model": "H100"},
        summary="Accelerators of c1 have vanished",
        description="1 accelerators nvidia H100 of c1 that were seen in the last day report no power.",
        silent=({f"kcloud_accelerator_power_watts{{{GPU_NAMED},{TARGET}}}": "0x200"},),
    ),
    "KcloudEnergyGap": AlertCase(
        fires={f'kcloud_energy_gap_seconds_total{{cluster="c1",{TARGET}}}': "0x60 300x140"},
        begins=61,
        labels={"cluster": "c1"},
        summary="Energy of c1 has a gap",
        description="5m 0s of the last hour were not integrated for c1 (limit 60 s): nobody saw what was drawn. "
        "Energy, cost and carbon of that time are missing.",
        silent=(
            {f'kcloud_energy_gap_seconds_total{{cluster="c1",{TARGET}}}': "0x60 30x140"},
            # The twin saw what this one did not.
            {
                f'kcloud_energy_gap_seconds_total{{cluster="c1",{TARGET}}}': "0x60 300x140",
                'kcloud_energy_gap_seconds_total{cluster="c1",job="kcloud",instance="b"}': "0x200",
            },
        ),
    ),
}

POWER_CASES: Mapping[str, AlertCase] = {
    "KcloudNegativeResidual": AlertCase(
        fires={
            f'kcloud_node_power_residual_watts{{cluster="c1",node="n1",{TARGET}}}': "-100x200",
            f'kcloud_node_wall_power_watts{{cluster="c1",node="n1",{TARGET}}}': "1000x200",
        },
        labels=NODE,
        summary="Meters of c1/n1 contradict each other",
        description="The components of c1/n1 draw more than its whole-server meter shows; the difference is -10% of "
        "the meter (limit -5 %). One of them is wrong.",
        silent=(
            {
                f'kcloud_node_power_residual_watts{{cluster="c1",node="n1",{TARGET}}}': "-40x200",
                f'kcloud_node_wall_power_watts{{cluster="c1",node="n1",{TARGET}}}': "1000x200",
            },
            {
                f'kcloud_node_power_residual_watts{{cluster="c1",node="n1",{TARGET}}}': "300x200",
                f'kcloud_node_wall_power_watts{{cluster="c1",node="n1",{TARGET}}}': "1000x200",
            },
        ),
    ),
    "KcloudPueHigh": AlertCase(
        fires={PUE_1H: "1.8x200"},
        labels=SITE,
        summary="PUE of s1 is high",
        description="PUE (pue2) of s1 over the last hour is 1.80 (limit 1.6): cooling or power distribution wastes "
        "energy.",
        silent=({PUE_1H: "1.2x200"}, {PUE_1H: "1.2x30 1.8x50 1.2x120"}),
    ),
    "KcloudPueImplausible": AlertCase(
        fires={PUE_1H: "1.005x200"},
        labels=SITE,
        summary="PUE of s1 is too good to be true",
        description="PUE (pue2) of s1 over the last hour is 1.005 (limit 1.02): a facility meter covers less than it "
        "should, or IT power is counted that it does not feed.",
        silent=({PUE_1H: "1.1x200"},),
    ),
    "KcloudPueUnknown": AlertCase(
        fires={f"kcloud_site_facility_power_watts{{{OF_SITE},{TARGET}}}": "500x200"},
        labels=SITE,
        summary="PUE of s1 is withheld",
        description="Facility power of s1 (pue2) is 500W, but there is no PUE: too few nodes are measured, or the "
        "ratio would be below 1.",
        silent=(
            {
                f"kcloud_site_facility_power_watts{{{OF_SITE},{TARGET}}}": "500x200",
                f'kcloud_site_pue_ratio{{{OF_SITE},method="measured",{TARGET}}}': "1.3x200",
            },
        ),
    ),
    "KcloudFacilityMeterLost": AlertCase(
        fires={f"kcloud_site_facility_power_watts{{{OF_SITE},{TARGET}}}": "500x20"},
        begins=26,
        labels=SITE,
        summary="A facility meter of s1 is lost",
        description="Facility power of s1 (pue2) was 500W within the last day and is unknown now: PUE and facility "
        "energy have a gap.",
        silent=({f"kcloud_site_facility_power_watts{{{OF_SITE},{TARGET}}}": "500x200"},),
    ),
    "KcloudSitePowerNearBudget": AlertCase(
        fires={f"kcloud_site_facility_power_watts{{{OF_SITE},{TARGET}}}": "760x200"},
        labels={"site": "s1"},
        summary="s1 is near its power budget",
        description="s1 draws 95% of its power budget (limit 90 %).",
        silent=(
            {f"kcloud_site_facility_power_watts{{{OF_SITE},{TARGET}}}": "700x200"},
            {f'kcloud_site_facility_power_watts{{site="without-budget",category="pue2",{TARGET}}}': "9000x200"},
        ),
    ),
    "KcloudSitePowerOverBudget": AlertCase(
        # Nobody measures the facility: the IT power of its clusters is what is known.
        fires={
            f'kcloud_cluster_power_watts{{cluster="c1",component="gpu",{TARGET}}}': "600x200",
            f'kcloud_cluster_power_watts{{cluster="c2",component="npu",{TARGET}}}': "360x200",
            f'kcloud_cluster_info{{cluster="c1",site="s1",{TARGET}}}': "1x200",
            f'kcloud_cluster_info{{cluster="c2",site="s1",{TARGET}}}': "1x200",
        },
        labels={"site": "s1"},
        summary="s1 is over its power budget",
        description="s1 draws 120% of its power budget (limit 100 %).",
        silent=({f"kcloud_site_facility_power_watts{{{OF_SITE},{TARGET}}}": "760x200"},),
    ),
    "KcloudClusterPowerNearBudget": AlertCase(
        fires={f'kcloud_cluster_power_watts{{cluster="c1",component="gpu",{TARGET}}}': "475x200"},
        labels={"cluster": "c1"},
        summary="c1 is near its power budget",
        description="c1 draws 95% of its power budget (limit 90 %).",
        silent=(
            {f'kcloud_cluster_power_watts{{cluster="c1",component="gpu",{TARGET}}}': "400x200"},
            {f'kcloud_cluster_power_watts{{cluster="without-budget",component="gpu",{TARGET}}}': "9000x200"},
        ),
    ),
    "KcloudNamespacePowerNearBudget": AlertCase(
        fires={f'kcloud_namespace_power_watts{{cluster="c1",namespace="ml",component="gpu",{TARGET}}}': "300x200"},
        labels={"cluster": "c1", "namespace": "ml"},
        summary="Namespace c1/ml is near its power budget",
        description="Namespace ml of c1 draws 120% of its power budget (limit 90 %).",
        silent=(
            {f'kcloud_namespace_power_watts{{cluster="c1",namespace="ml",component="gpu",{TARGET}}}': "200x200"},
            {f'kcloud_namespace_power_watts{{cluster="c2",namespace="ml",component="gpu",{TARGET}}}': "300x200"},
        ),
    ),
}

ACCELERATOR_CASES: Mapping[str, AlertCase] = {
    "KcloudAcceleratorUnhealthy": AlertCase(
        fires={f"kcloud_accelerator_healthy{{{GPU},{TARGET}}}": "0x200"},
        labels=DEVICE,
        summary="An accelerator of c1/n1 is broken",
        description="c1/n1, accelerator GPU-1: its exporter calls it unhealthy.",
        silent=({f"kcloud_accelerator_healthy{{{GPU},{TARGET}}}": "1x200"},),
    ),
    "KcloudAcceleratorHot": AlertCase(
        fires={f'kcloud_accelerator_temperature_celsius{{{GPU},sensor="npu",{TARGET}}}': "91x200"},
        labels={**DEVICE, "sensor": "npu"},
        summary="An accelerator of c1/n1 is hot",
        description="c1/n1, accelerator GPU-1: sensor npu is at 91 °C (limit 87 °C).",
        silent=(
            {f'kcloud_accelerator_temperature_celsius{{{GPU},sensor="gpu",{TARGET}}}': "80x200"},
            {f'kcloud_accelerator_temperature_celsius{{{GPU},sensor="memory",{TARGET}}}': "91x200"},
        ),
    ),
    "KcloudAcceleratorMemoryHot": AlertCase(
        fires={f'kcloud_accelerator_temperature_celsius{{{GPU},sensor="memory",{TARGET}}}': "103x200"},
        labels={**DEVICE, "sensor": "memory"},
        summary="Memory of an accelerator of c1/n1 is hot",
        description="c1/n1, accelerator GPU-1: sensor memory is at 103 °C (limit 98 °C).",
        silent=({f'kcloud_accelerator_temperature_celsius{{{GPU},sensor="memory",{TARGET}}}': "91x200"},),
    ),
    "KcloudAcceleratorIdleAllocated": AlertCase(
        fires={f'kcloud_accelerator_idle_power_watts{{{GPU},namespace="ml",pod="p",{TARGET}}}': "60x200"},
        labels={**DEVICE, "namespace": "ml", "pod": "p"},
        summary="ml/p holds an accelerator and does not use it",
        description="c1/n1, accelerator GPU-1 is held by ml/p, does no work and draws 60W (limit 5 W).",
        silent=({f'kcloud_accelerator_idle_power_watts{{{GPU},namespace="ml",pod="p",{TARGET}}}': "60x30 _x10 60x30"},),
    ),
    "KcloudAcceleratorAtPowerLimit": AlertCase(
        fires={
            f"kcloud_accelerator_power_watts{{{GPU_NAMED},{TARGET}}}": "700x200",
            f"kcloud_accelerator_power_limit_watts{{{GPU},{TARGET}}}": "700x200",
        },
        labels={**DEVICE, **NAMED},
        summary="An accelerator of c1/n1 runs at its power limit",
        description="c1/n1, accelerator GPU-1 (nvidia H100) draws 100% of its power limit (limit 99 %): it is slowed "
        "down to stay below it.",
        silent=(
            {
                f"kcloud_accelerator_power_watts{{{GPU_NAMED},{TARGET}}}": "650x200",
                f"kcloud_accelerator_power_limit_watts{{{GPU},{TARGET}}}": "700x200",
            },
        ),
    ),
}

HARDWARE_CASES: Mapping[str, AlertCase] = {
    "KcloudFanFailed": AlertCase(
        fires={f'kcloud_hardware_fan_speed_rpm{{cluster="c1",node="n1",sensor="Fan_SYS0",{TARGET}}}': "4000x20 0x180"},
        begins=21,
        labels={**NODE, "sensor": "Fan_SYS0"},
        summary="A fan of c1/n1 has failed",
        description="Fan Fan_SYS0 of c1/n1 stands still or is in a critical state.",
        silent=(
            state("FAN1", 0),
            # A fan that has rested all day is no failure.
            {f'kcloud_hardware_fan_speed_rpm{{cluster="c1",node="n1",sensor="FAN2",{TARGET}}}': "0x200"},
            {f'kcloud_hardware_fan_speed_rpm{{cluster="c1",node="n1",sensor="FAN2",{TARGET}}}': "4000x200"},
        ),
    ),
    "KcloudPowerSupplyFailed": AlertCase(
        fires=state("PS2 Status", 2),
        labels={**NODE, "sensor": "PS2 Status"},
        summary="A power supply of c1/n1 has failed",
        description="Sensor PS2 Status of c1/n1 is in a critical state: the server runs without redundancy.",
        silent=(state("PSU1 Status", 0), state("FAN1", 2)),
    ),
    "KcloudHardwareSensorCritical": AlertCase(
        fires=state("P12V", 2),
        labels={**NODE, "sensor": "P12V"},
        summary="A sensor of c1/n1 is critical",
        description="Sensor P12V of c1/n1 is in a critical state.",
        silent=(state("P12V", 1), state("FAN1", 2), state("PSU1 Status", 2)),
    ),
    "KcloudHardwareSensorWarning": AlertCase(
        fires=state("CPU1 Temp", 1),
        labels={**NODE, "sensor": "CPU1 Temp"},
        summary="A sensor of c1/n1 is outside its range",
        description="Sensor CPU1 Temp of c1/n1 is in a warning state.",
        silent=(state("CPU1 Temp", 0), state("CPU1 Temp", 2)),
    ),
    "KcloudInletHot": AlertCase(
        fires={f'kcloud_hardware_temperature_celsius{{cluster="c1",node="n1",sensor="Inlet Temp",{TARGET}}}': "41x200"},
        labels={**NODE, "sensor": "Inlet Temp"},
        summary="Air at the inlet of c1/n1 is hot",
        description="Sensor Inlet Temp of c1/n1 is at 41 °C (limit 35 °C): cooling of the rack or the room fails.",
        silent=(
            {f'kcloud_hardware_temperature_celsius{{cluster="c1",node="n1",sensor="Inlet Temp",{TARGET}}}': "24x200"},
            {f'kcloud_hardware_temperature_celsius{{cluster="c1",node="n1",sensor="CPU1 Temp",{TARGET}}}': "70x200"},
        ),
    ),
}

CASES = {
    **EXPORTER_CASES,
    **EXPORTER_CASES_OF_DISKS,
    **SOURCE_CASES,
    **POWER_CASES,
    **ACCELERATOR_CASES,
    **HARDWARE_CASES,
}
