"""Measurements, each a ratio against its own bound in the same run. ``make bench`` runs the short ones."""
