"""Efficiency: PUE, carbon and price of sites, and how much of the power does work that belongs to somebody."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from kcloud_exporter import catalogue
from kcloud_exporter.api.aggregates import mean
from kcloud_exporter.api.answers import Model, lack
from kcloud_exporter.api.models import quantity
from kcloud_exporter.api.resources import ACCELERATORS, CLUSTERS, NAMESPACES, NODES, PODS, SITES
from kcloud_exporter.api.view import View


class Pue(Model):
    """Power usage effectiveness of a site, in one ISO/IEC 30134-2 category."""

    category: str = Field(description="pue1, pue2 or pue3: where the IT power is measured.", examples=["pue2"])
    method: str = Field(description="measured, or static: a constant of the configuration.", examples=["measured"])
    pue_ratio: float = Field(description="Facility power over IT power.", examples=[1.18])


class SiteEfficiency(Model):
    """One site."""

    site: str = Field(description="Its name.", examples=["icn1"])
    clusters: list[str] = Field(description="Its clusters.", examples=[["seoul-a", "seoul-b"]])
    it_power_watts: float | None = quantity("Power of all nodes of its clusters.", "watts")
    facility_power_watts: dict[str, float] = Field(description="By category.", examples=[{"pue2": 6550.0}])
    pue: list[Pue] = Field(description="Measured or configured; empty where neither is there.")
    carbon_intensity_grams_per_kwh: float | None = quantity("Of its electricity now.", "kwh")
    electricity_price_per_kwh: float | None = quantity("Of its electricity now.", "kwh")
    currency: str | None = Field(description="Of that price.", examples=["KRW"])


class Efficiency(Model):
    """What the power is good for."""

    total_it_power_watts: float | None = quantity("Power of all nodes.", "watts")
    attributed_power_watts: float | None = quantity("Power that belongs to pods.", "watts")
    attributed_percent: float | None = quantity("Its part of the whole.", "percent")
    unattributed_power_watts: float | None = quantity("Power that belongs to nobody.", "watts")
    accelerator_power_watts: float | None = quantity("Power of all accelerators.", "watts")
    accelerator_percent: float | None = quantity("Its part of the whole.", "percent")
    idle_accelerator_power_watts: float | None = quantity("Power that pods hold while they do no work.", "watts")
    average_accelerator_utilization_percent: float | None = quantity("Mean of those that tell it.", "percent")
    total_energy_joules: float | None = quantity("Energy of all nodes since they were first seen.", "joules")
    total_emissions_grams: float | None = quantity("CO2 of the energy of all namespaces.", "grams")
    sites: list[SiteEfficiency] = Field(description="The sites of the clusters.")


def efficiency(view: View, cluster: str | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(efficiency of a cluster or of all, what is not known of it). Raises RequestError (404)."""
    clusters, devices = view.frame(CLUSTERS, cluster), view.frame(ACCELERATORS, cluster)
    total, attributed = clusters.total("power_watts"), view.frame(PODS, cluster).total("power_watts")
    accelerated = devices.total("power_watts")
    names = {view.site_of(name) for name in view.clusters(cluster)}
    sites = [site(view, name) for name in sorted(names)]
    data = {
        "total_it_power_watts": total,
        "attributed_power_watts": attributed,
        "attributed_percent": percent(attributed, total),
        "unattributed_power_watts": view.frame(NODES, cluster).total("unattributed_power_watts"),
        "accelerator_power_watts": accelerated,
        "accelerator_percent": percent(accelerated, total),
        "idle_accelerator_power_watts": devices.total("idle_power_watts"),
        "average_accelerator_utilization_percent": mean(devices, "utilization_percent"),
        "total_energy_joules": clusters.total("energy_joules"),
        "total_emissions_grams": view.frame(NAMESPACES, cluster).total("emissions_grams"),
        "sites": sites,
    }
    lacks = [
        lack("pue", f"site {each['site']} has no facility meter and no constant, or too little of its IT is measured")
        for each in sites
        if not each["pue"]
    ]
    return data, lacks


def site(view: View, name: str) -> dict[str, Any]:
    """PUE, carbon intensity and price of one site."""
    rows = view.frame(SITES).where(site=name).rows()
    row = rows[0] if rows else {}
    facility = {key[1]: value for key, value in view.rows_of(catalogue.SITE_FACILITY_POWER.name) if key[0] == name}
    prices = [key[1] for key, _ in view.rows_of(catalogue.SITE_PRICE.name) if key[0] == name]
    return {
        "site": name,
        "clusters": [each for each in view.clusters() if view.site_of(each) == name],
        "it_power_watts": row.get("it_power_watts"),
        "facility_power_watts": facility,
        "pue": [
            {"category": key[1], "method": key[2], "pue_ratio": value}
            for key, value in view.rows_of(catalogue.SITE_PUE.name)
            if key[0] == name
        ],
        "carbon_intensity_grams_per_kwh": row.get("carbon_intensity_grams_per_kwh"),
        "electricity_price_per_kwh": row.get("electricity_price_per_kwh"),
        "currency": prices[0] if prices else None,
    }


def percent(part: float | None, whole: float | None) -> float | None:
    """A part of a whole in percent; None when either is not known."""
    return None if part is None or not whole else part / whole * 100
