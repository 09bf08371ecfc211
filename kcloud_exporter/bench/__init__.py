"""Bench: the reproducible benchmark. Ratios side by side in one run; absolute times belong to the machine."""
