"""Servers: fans, power supplies, temperatures, and whatever else a controller calls bad.

Sensors are named by the maker of the board, so kinds are told by their names: FAN1, Fan_SYS0, PSU1 Status, PS2.
"""

from __future__ import annotations

from typing import Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.alerts.alert import Alert
from kcloud_exporter.artefacts.promql import once, selected

_GROUP: Final = "kcloud-hardware-alerts"
_FAN: Final = "(?i).*fan.*"
_SUPPLY: Final = "(?i).*(psu|ps[0-9]|pwr supply|power supply).*"
FANS: Final = f'sensor=~"{_FAN}"'
SUPPLIES: Final = f'sensor=~"{_SUPPLY}"'
OTHERS: Final = f'sensor!~"{_FAN}|{_SUPPLY}"'
INLETS: Final = 'sensor=~"(?i).*(inlet|ambient|intake).*"'
_NODE: Final = "{{ $labels.cluster }}/{{ $labels.node }}"
_SPEED: Final = catalogue.HARDWARE_FAN_SPEED

ALERTS: Final = (
    # Some fans rest while the server is cool, so a fan counts as stopped only when its controller says so, or when
    # it has turned within the last day.
    Alert(
        "KcloudFanFailed",
        _GROUP,
        "critical",
        300,
        f"{once(catalogue.HARDWARE_SENSOR_STATE, FANS)} >= 2\n"
        "or\n"
        f"({once(_SPEED)} == 0\n"
        f"  and max by (cluster, node, sensor) (max_over_time({selected(_SPEED, '', '1d')})) > 0)",
        f"A fan of {_NODE} has failed",
        f"Fan {{{{ $labels.sensor }}}} of {_NODE} stands still or is in a critical state.",
    ),
    Alert(
        "KcloudPowerSupplyFailed",
        _GROUP,
        "critical",
        300,
        f"{once(catalogue.HARDWARE_SENSOR_STATE, SUPPLIES)} >= 2",
        f"A power supply of {_NODE} has failed",
        f"Sensor {{{{ $labels.sensor }}}} of {_NODE} is in a critical state: the server runs without redundancy.",
    ),
    Alert(
        "KcloudHardwareSensorCritical",
        _GROUP,
        "critical",
        300,
        f"{once(catalogue.HARDWARE_SENSOR_STATE, OTHERS)} >= 2",
        f"A sensor of {_NODE} is critical",
        f"Sensor {{{{ $labels.sensor }}}} of {_NODE} is in a critical state.",
    ),
    Alert(
        "KcloudHardwareSensorWarning",
        _GROUP,
        "warning",
        900,
        f"{once(catalogue.HARDWARE_SENSOR_STATE)} == 1",
        f"A sensor of {_NODE} is outside its range",
        f"Sensor {{{{ $labels.sensor }}}} of {_NODE} is in a warning state.",
    ),
    Alert(
        "KcloudInletHot",
        _GROUP,
        "warning",
        900,
        f"{once(catalogue.HARDWARE_TEMPERATURE, INLETS)} > $threshold",
        f"Air at the inlet of {_NODE} is hot",
        f"Sensor {{{{ $labels.sensor }}}} of {_NODE} is at {{{{ $value | humanize }}}} °C (limit $limit): cooling of "
        "the rack or the room fails.",
        threshold=35,
        unit="°C",
    ),
)
