"""Detectors of classes: networks, label maps, palettes."""
