"""Pairs of condition and image with their prompts: read from folders or rendered from the built-in scenes."""
