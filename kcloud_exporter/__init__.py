"""kcloud-exporter: one conserved power ledger for AI clouds, as Prometheus metrics."""

__version__ = "0.1.0"
