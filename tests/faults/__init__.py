"""Faults on purpose: what a network, a source, a reader or an attacker may do, and what is seen of it."""
