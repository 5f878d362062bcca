"""Pairs of condition and picture with their prompts: read from folders or rendered from the built-in scenes."""
