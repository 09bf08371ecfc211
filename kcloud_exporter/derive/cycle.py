"""One cycle of one cluster's books: readings → ledger → tables, energy included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kcloud_exporter.derive.energy import EnergyBook, Interval
from kcloud_exporter.derive.inputs import inputs_of
from kcloud_exporter.derive.ledger import Ledger, Policy, balance
from kcloud_exporter.derive.tables import ClusterTables
from kcloud_exporter.model import Table
from kcloud_exporter.readings import Readings


def close_books(
    readings: Readings,
    tables: ClusterTables,
    energy: EnergyBook,
    span: Interval,
    now: float,
    *,
    idle: Policy = "unattributed",
    overhead: Policy = "unattributed",
) -> tuple[Ledger, dict[str, Table], Table]:
    """The ledger of this cycle, everything that is shown of it, and the watts per namespace that count as energy.

    The page shows the watts of the moment. Energy is made of the same books once more, with the mean power since
    the last sample where a device has a hardware counter: what the counter saw between two samples is in it.
    """
    inputs = inputs_of(readings)
    ledger = balance(inputs, idle=idle, overhead=overhead)
    shown = tables.build(readings, ledger)
    mean = readings.columns["accelerator_mean_power_watts"].value
    counted = ~np.isnan(mean) & ~np.isnan(inputs.device_power)
    power, counting = shown, ledger
    if counted.any():
        means = np.where(counted, mean, inputs.device_power)
        counting = balance(replace(inputs, device_power=means), idle=idle, overhead=overhead)
        power = tables.power(counting, means)
    shown |= energy.integrate(power, shown, span, now)
    return ledger, shown, tables.namespace_watts(counting)
