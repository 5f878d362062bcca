"""Checkpoints of any layout, written whole."""
