"""Accelerators of any vendor, GPU, NPU or TPU, by one set of rules."""

from __future__ import annotations

from typing import Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.alerts.alert import DEVICE, Alert
from kcloud_exporter.artefacts.promql import once

_GROUP: Final = "kcloud-accelerator-alerts"
_OF_MEMORY, _OF_OTHERS = (f'sensor{match}"(?i).*(mem|hbm).*"' for match in ("=~", "!~"))

ALERTS: Final = (
    Alert(
        "KcloudAcceleratorUnhealthy",
        _GROUP,
        "critical",
        120,
        f"{once(catalogue.ACCELERATOR_HEALTHY)} == 0",
        "An accelerator of {{ $labels.cluster }}/{{ $labels.node }} is broken",
        f"{DEVICE}: its exporter calls it unhealthy.",
    ),
    Alert(
        "KcloudAcceleratorHot",
        _GROUP,
        "warning",
        600,
        f"{once(catalogue.ACCELERATOR_TEMPERATURE, _OF_OTHERS)} > $threshold",
        "An accelerator of {{ $labels.cluster }}/{{ $labels.node }} is hot",
        f"{DEVICE}: sensor {{{{ $labels.sensor }}}} is at {{{{ $value | humanize }}}} °C (limit $limit).",
        threshold=87,
        unit="°C",
    ),
    Alert(
        "KcloudAcceleratorMemoryHot",
        _GROUP,
        "warning",
        600,
        f"{once(catalogue.ACCELERATOR_TEMPERATURE, _OF_MEMORY)} > $threshold",
        "Memory of an accelerator of {{ $labels.cluster }}/{{ $labels.node }} is hot",
        f"{DEVICE}: sensor {{{{ $labels.sensor }}}} is at {{{{ $value | humanize }}}} °C (limit $limit).",
        threshold=98,
        unit="°C",
    ),
    Alert(
        "KcloudAcceleratorIdleAllocated",
        _GROUP,
        "info",
        3600,
        f"{once(catalogue.ACCELERATOR_IDLE_POWER)} > $threshold",
        "{{ $labels.namespace }}/{{ $labels.pod }} holds an accelerator and does not use it",
        f"{DEVICE} is held by {{{{ $labels.namespace }}}}/{{{{ $labels.pod }}}}, does no work and draws "
        "{{ $value | humanize }}W (limit $limit).",
        threshold=5,
        unit="W",
    ),
    Alert(
        "KcloudAcceleratorAtPowerLimit",
        _GROUP,
        "info",
        3600,
        f"{once(catalogue.ACCELERATOR_POWER)} / on (cluster, node, uuid) group_left () "
        f"{once(catalogue.ACCELERATOR_POWER_LIMIT)} > $threshold",
        "An accelerator of {{ $labels.cluster }}/{{ $labels.node }} runs at its power limit",
        f"{DEVICE} ({{{{ $labels.vendor }}}} {{{{ $labels.model }}}}) draws {{{{ $value | humanizePercentage }}}} of "
        "its power limit (limit $limit): it is slowed down to stay below it.",
        threshold=0.99,
        unit="%",
    ),
)
