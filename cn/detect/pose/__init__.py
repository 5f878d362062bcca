"""Detectors of people: networks, decoders, drawing, JSON."""
