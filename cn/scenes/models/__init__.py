"""Models of everything that can stand in a scene, built from simple solids."""
