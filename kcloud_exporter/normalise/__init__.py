"""Normalise: samples × vendor tables → readings of named quantities on known entities. Pure."""
