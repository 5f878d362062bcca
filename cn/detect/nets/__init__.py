"""The detectors' networks, written by hand: they read the published files."""
