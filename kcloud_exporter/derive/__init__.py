"""Derive: readings → the power ledger. Pure functions over columns."""
