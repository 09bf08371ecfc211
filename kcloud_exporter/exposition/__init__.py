"""Exposition: one snapshot → the finished bytes of /metrics."""
