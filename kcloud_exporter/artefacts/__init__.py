"""Artefacts: recording rules, alerts, runbooks, dashboards and the metrics page, all written from the catalogue."""
