"""Detectors of surfaces: depth and normals, from networks and from ground truth."""
