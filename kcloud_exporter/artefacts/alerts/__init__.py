"""Alerts: symptoms that somebody has to act on, each with the page that says how."""

from kcloud_exporter.artefacts.alerts import accelerators, exporter, hardware, power, sources
from kcloud_exporter.artefacts.alerts.alert import Alert

ALERTS: tuple[Alert, ...] = (*exporter.ALERTS, *sources.ALERTS, *power.ALERTS, *accelerators.ALERTS, *hardware.ALERTS)
"""All alerts in the order of their groups."""
