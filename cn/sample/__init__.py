"""Sampling as a user asks for it: which control belongs to a condition image, at what size, and how to do it again."""
