"""Vendors: one YAML table per exporter that says what its series mean."""
